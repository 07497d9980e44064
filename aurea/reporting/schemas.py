"""The shapes that other programs read - run, manifest, question, event - as models, and their JSON schemas."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from aurea.domain.caps import Cap
from aurea.domain.events import AnyFact, Level
from aurea.domain.evidence import Cost, Decision, Finding, Kind, Outcome, QuestionKind, Report
from aurea.domain.lifecycle import ItemState

RunStatus = Literal["running", "waiting", "paused", "succeeded", "failed", "cancelled", "interrupted"]


class Shape(BaseModel):
    """Base of every shape: frozen, and open to readers, because keys may be added under the same schema number."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class RefEntry(Shape):
    """A ref and the commit it stands on."""

    ref: str
    sha: str


class CriterionEntry(Shape):
    """A criterion, whether it is met (null: not shown), and the evidence for that."""

    text: str
    met: bool | None
    evidence: list[str]


class VerdictEntry(Shape):
    """The latest verdict on an item."""

    decision: Decision
    by: Literal["gate", "reviewer"]
    criteria: list[CriterionEntry]
    reasons: list[str]


class LandedEntry(Shape):
    """Where an item landed: commit, tree, digest of the gate, rung of the merge, and the attempt that it was."""

    sha: str
    tree: str
    gate: str
    rung: str
    attempt: int


class AttemptEntry(Shape):
    """One try at an item. `seconds` is the agent's time; `checks` and `reviews` name evidence.

    `fallbacks` are models that went on where `model` had no capacity or was down. `not_borne_out` counts the statements
    of its report that were found not to hold; `findings` names them.
    """

    number: int
    state: Literal["failed", "landed", "abandoned", "active"]
    reason: str | None
    spent: bool
    limit: str | None
    role: str
    model: str
    fallbacks: list[str]
    base: str
    ref: str | None
    files: list[str]
    checks: list[str]
    reviews: list[str]
    findings: list[Finding]
    not_borne_out: int = 0
    report: Report | None
    partial: PartialEntry | None
    seconds: float
    started_at: str
    ended_at: str | None
    cost: Cost


class PartialEntry(Shape):
    """What an agent handed in when its money was used up, before it was done."""

    summary: str
    unfinished: list[str]


class ItemEntry(Shape):
    """One work item, with everything that was tried for it. `question` names an open question about it."""

    id: str
    title: str
    goal: str
    criteria: list[str]
    role: str
    state: ItemState
    cause: str
    depends_on: list[str]
    priority: int
    attempts: list[AttemptEntry]
    verdict: VerdictEntry | None
    landed: LandedEntry | None
    question: str | None
    cost: Cost


class EvidenceEntry(Shape):
    """One executed check or review. `tail` is the end of its output where it did not pass, else empty."""

    id: str
    kind: Kind
    name: str
    item: str | None
    attempt: int | None
    tree: str
    passed: bool
    outcome: Outcome
    exit_code: int | None
    seconds: float
    log: str | None
    tail: str


class QuestionDocument(Shape):
    """An open question, as `aurea inbox` lists it. `form` holds the JSON schema of the fields for each choice."""

    question: str
    run: str
    item: str | None
    kind: QuestionKind
    title: str
    why: str
    cost: Cost
    choices: list[str]
    form: dict[str, dict[str, Any]]
    default: str | None
    deadline: str | None
    flow_run: str | None
    ui_url: str | None
    asked_at: str
    cap: Cap | None


class NoteEntry(Shape):
    """What an agent handed in for others. `title` is that of a decision, or the kind of an escalation."""

    type: Literal["insight", "decision", "escalation"]
    item: str | None
    attempt: int
    by: str
    at: str
    title: str
    text: str


class CapEntry(Shape):
    """A hard stop of an item, a role, or a day (UTC), and what this run has spent of it; on a day others spend too."""

    scope: Literal["item", "role", "day"]
    name: str
    limit_usd: float
    spent_usd: float


class BudgetEntry(Shape):
    """Money: the hard stop (null: none), what is spent, what is held back for calls on their way, and more hard stops."""

    limit_usd: float | None
    spent_usd: float
    reserved_usd: float
    caps: list[CapEntry]


class ReplayEntry(Shape):
    """What was played from a cassette: how many answers, and at how many places something else was asked than then.

    `kinds` counts the differences, `summary` tells them in a line, `file` lists them.
    """

    answers: int
    drifted: int
    kinds: dict[str, int]
    summary: str
    file: str


class PlanEntry(Shape):
    """The size of the plan and its longest chain of dependencies."""

    nodes: int
    edges: int
    critical_path: list[str]


class RunDocument(Shape):
    """State of a run: `aurea.run/1`."""

    version: Literal["aurea.run/1"] = Field("aurea.run/1", alias="schema")
    run: str
    project: str
    objective: str
    state: RunStatus
    reason: str | None
    reason_code: str | None
    spec_digest: str
    provider: str
    model: str
    sandbox: str
    template: str
    folder: str
    flow_run: str | None
    ui_url: str | None
    repo: str
    made_repo: bool
    base: RefEntry
    target: RefEntry
    landed_to_base: bool
    started_at: str
    ended_at: str | None
    seconds: float
    items: list[ItemEntry]
    evidence: list[EvidenceEntry]
    questions: list[QuestionDocument]
    notes: list[NoteEntry]
    cost: Cost
    budget: BudgetEntry
    plan: PlanEntry
    unproven: bool
    replay: ReplayEntry | None = None


class FileEntry(Shape):
    """A file of the landed tree that the run added or changed; `item` is the item whose landing changed it last."""

    path: str
    sha256: str
    bytes: int
    media_type: str
    item: str


class LedgerPoint(Shape):
    """Where the run's chain stood when the manifest was written, and how many events the run had by then."""

    seq: int
    hash: str
    events: int


class Manifest(Shape):
    """What a run leaves behind: `aurea.manifest/1`. `checks` are the executed checks, `reviews` the reviews."""

    version: Literal["aurea.manifest/1"] = Field("aurea.manifest/1", alias="schema")
    run: str
    project: str
    objective: str
    spec_digest: str
    provider: str
    model: str
    sandbox: str
    state: RunStatus
    reason: str | None
    reason_code: str | None
    unproven: bool
    repo: str
    base: RefEntry
    target: RefEntry
    landed_to_base: bool
    started_at: str
    ended_at: str | None
    seconds: float
    items: list[ItemEntry]
    checks: list[EvidenceEntry]
    reviews: list[EvidenceEntry]
    cost: Cost
    budget: BudgetEntry
    plan: PlanEntry
    files: list[FileEntry]
    ledger: LedgerPoint
    replay: ReplayEntry | None = None


class EventDocument(Shape):
    """One event as `aurea tail --json` and `events.jsonl` give it: `aurea.event/1`."""

    version: Literal["aurea.event/1"] = Field("aurea.event/1", alias="schema")
    seq: int
    ts: str
    run: str
    item: str | None
    attempt: int | None
    actor: str
    level: Level
    type: str
    payload: dict[str, Any]
    hash: str


_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: Literal["run", "manifest", "question", "event"]) -> dict[str, Any]:
    """The JSON schema of one of the documents that Aurea writes."""
    if name == "event":
        return _event_schema()
    shapes: dict[str, type[Shape]] = {"run": RunDocument, "manifest": Manifest, "question": QuestionDocument}
    return {"$schema": _DIALECT, **shapes[name].model_json_schema(mode="serialization")}


def _event_schema() -> dict[str, Any]:
    """The envelope, and for each known type what its payload holds; types that are not known yet stay allowed."""
    facts = get_args(get_args(AnyFact)[0])
    refs, definitions = models_json_schema([(fact, "serialization") for fact in facts], by_alias=True)
    rules = []
    for fact in facts:
        place = refs[(fact, "serialization")]["$ref"].rsplit("/", 1)[1]
        schema = definitions["$defs"][place]
        schema["properties"].pop("type")
        schema["required"] = [field for field in schema.get("required", []) if field != "type"]
        known = fact.model_fields["type"].default
        rules.append(
            {
                "if": {"properties": {"type": {"const": known}}},
                "then": {"properties": {"payload": {"$ref": f"#/$defs/{place}"}}},
            }
        )
    return {
        "$schema": _DIALECT,
        **EventDocument.model_json_schema(mode="serialization"),
        "$defs": definitions["$defs"],
        "allOf": rules,
    }
