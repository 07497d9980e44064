"""Facts about a run as a whole: its beginning and end, its plan, the moves of its items, its questions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from aurea.domain.evidence import Base, Question
from aurea.domain.lifecycle import ItemState
from aurea.domain.spec import ItemSpec

Level = Literal["debug", "info", "warning", "error"]


class Fact(BaseModel):
    """Base of every payload: frozen and closed. `type` names it for good, `level` says how loudly it matters."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    level: ClassVar[Level] = "info"
    type: str


class RunCreated(Fact):
    """A run began. `spec` is the resolved spec; `made_repo`: Aurea made the repository and may check it out."""

    type: Literal["run.created"] = "run.created"
    project: str
    spec: dict[str, Any]
    spec_digest: str
    repo: str
    made_repo: bool
    base: Base
    target_ref: str
    provider: str
    model: str
    sandbox: str
    folder: str
    version: str


class RunResumed(Fact):
    """A process took the run up again, with these changes to its spec."""

    type: Literal["run.resumed"] = "run.resumed"
    changes: dict[str, Any] = Field(default_factory=dict)


class RunLinked(Fact):
    """The Prefect flow run in which this run is to be watched."""

    type: Literal["run.linked"] = "run.linked"
    flow_run: str
    ui_url: str | None = None


RunEnding = Literal["succeeded", "failed", "cancelled", "interrupted", "waiting", "paused"]


class RunEnded(Fact):
    """No process works on the run any more; `waiting`, `paused` and `interrupted` runs can be resumed."""

    type: Literal["run.ended"] = "run.ended"
    state: RunEnding
    reason: str | None = None
    reason_code: str | None = None


class RunCleaned(Fact):
    """What a run that is over had left was removed on order: `refs` attempt refs, and its folder where `folder` says so."""

    type: Literal["run.cleaned"] = "run.cleaned"
    folder: bool
    refs: int


class PlanProposed(Fact):
    """A planner, or the spec, proposed these items."""

    type: Literal["plan.proposed"] = "plan.proposed"
    round: int
    items: tuple[ItemSpec, ...]
    notes: str = ""


class PlanRejected(Fact):
    """A proposal broke these rules."""

    type: Literal["plan.rejected"] = "plan.rejected"
    level: ClassVar[Level] = "warning"
    round: int
    reasons: tuple[str, ...]


class PlanAccepted(Fact):
    """The run works by this plan; its items are `planned` from here on."""

    type: Literal["plan.accepted"] = "plan.accepted"
    round: int
    items: tuple[ItemSpec, ...]
    critical_path: tuple[str, ...]


class PlanChanged(Fact):
    """A decision changed the plan: items that are new, or that stand instead of the ones of the same id.

    `hints` are a person's words to the agents, by item. `question` is the question that was answered so.
    """

    type: Literal["plan.changed"] = "plan.changed"
    items: tuple[ItemSpec, ...]
    hints: dict[str, str] = Field(default_factory=dict)
    question: str | None = None


class PlanReopened(Fact):
    """The planner is asked, in planning round `round`, to revise the item that the event is about.

    It has failed `failures` times, or its agent says that the plan does not fit.
    """

    type: Literal["plan.reopened"] = "plan.reopened"
    round: int
    failures: int


class OrderGiven(Fact):
    """Somebody ordered the process at work to stop: the whole run, or the item that the event is about.

    `pause` starts no new attempts and lets running ones finish, unless `interrupt` is set; `cancel` ends for good.
    """

    type: Literal["order.given"] = "order.given"
    order: Literal["cancel", "pause"]
    interrupt: bool = False
    reason: str = ""


class QualityJudged(Fact):
    """The quality gate looked at the run's tables once `tip` had landed.

    `failures` are the critical expectations that do not hold, in words, `warnings` the others; `body` keeps every
    result. `note` says why `judged_by` is not the usual judge, where it is not.
    """

    type: Literal["quality.judged"] = "quality.judged"
    tip: str
    passed: bool
    judged_by: str
    note: str = ""
    expectations: int
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    body: str
    seconds: float


class ItemMoved(Fact):
    """A work item changed its state. `question`: it waits for the answer to it, as others may do too."""

    type: Literal["item.moved"] = "item.moved"
    source: ItemState = Field(alias="from")
    target: ItemState = Field(alias="to")
    cause: str
    question: str | None = Field(default=None, exclude_if=lambda value: value is None)


class QuestionAsked(Fact):
    """A person is asked."""

    type: Literal["question.asked"] = "question.asked"
    level: ClassVar[Level] = "warning"
    question: Question


class QuestionShown(Fact):
    """A question stands in Prefect from here on, as the paused flow run in which it can be answered."""

    type: Literal["question.shown"] = "question.shown"
    level: ClassVar[Level] = "debug"
    question: str
    flow_run: str
    ui_url: str | None = None


class QuestionWithdrawn(Fact):
    """A question is closed without an answer: what it was about is over."""

    type: Literal["question.withdrawn"] = "question.withdrawn"
    question: str
    reason: str


class QuestionAnswered(Fact):
    """A question is closed: what was chosen, through which door, and whether the door knew who it was."""

    type: Literal["question.answered"] = "question.answered"
    question: str
    choice: str
    fields: dict[str, Any] = Field(default_factory=dict)
    reason: str | None = None
    door: Literal["cli", "ui", "rest", "deadline"]
    authenticated: bool = False
