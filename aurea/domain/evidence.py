"""What is known and how: executed checks, reviews, verdicts and questions."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, Field

from aurea.domain.caps import Cap
from aurea.domain.messages import Usage, Value

Outcome = Literal["passed", "failed", "timeout", "not_run"]
Kind = Literal["baseline", "check", "review", "gate"]
Decision = Literal["approve", "return", "escalate"]


def evidence_id(kind: str, name: str, item: str | None, attempt: int | None, tree: str) -> str:
    """The id of a piece of evidence: the same check of the same attempt on the same tree has the same id."""
    joined = "\0".join((kind, name, item or "", str(attempt or 0), tree))
    return "ev-" + hashlib.sha256(joined.encode()).hexdigest()[:12]


class Evidence(Value):
    """One executed check or review. `tail` is the end of what it printed; `log` is the whole, in the run folder."""

    id: str
    kind: Kind
    name: str
    item: str | None = None
    attempt: int | None = None
    tree: str
    passed: bool
    outcome: Outcome
    exit_code: int | None = None
    seconds: float = 0.0
    log: str | None = None
    tail: str = ""


class Finding(Value):
    """One remark of a reviewer or of the precheck."""

    file: str | None = None
    line: int | None = None
    severity: Literal["blocker", "major", "minor", "note"] = "major"
    text: str


class CriterionReview(Value):
    """What one reviewer says of one criterion."""

    criterion: str
    met: Literal["yes", "no", "unknown"] = "unknown"
    reason: str = ""


class Review(Value):
    """A reviewer's answer, as `submit_review` gave it."""

    decision: Decision
    criteria: tuple[CriterionReview, ...] = ()
    findings: tuple[Finding, ...] = ()
    summary: str = ""


class Criterion(Value):
    """An acceptance criterion, whether it is met (`None`: not shown), and the evidence for that."""

    text: str
    met: bool | None
    evidence: tuple[str, ...] = ()


class Verdict(Value):
    """What follows from the evidence on one attempt. `by`: whether checks or reviews decided."""

    decision: Decision
    by: Literal["gate", "reviewer"]
    criteria: tuple[Criterion, ...] = ()
    reasons: tuple[str, ...] = ()


class Report(Value):
    """A worker's after-action report, as `submit_report` gave it. `unfinished`: what it says is left to do."""

    summary: str
    approach: str = ""
    challenges: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    criteria: tuple[dict[str, str], ...] = ()
    unfinished: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)  # came later: older ones stay


QuestionKind = Literal["plan", "land", "escalation", "budget", "blocked"]

CHOICES: dict[str, tuple[str, ...]] = {
    "plan": ("approve", "revise", "stop"),
    "land": ("approve", "return", "stop"),
    "escalation": ("retry", "abandon_item", "abandon_branch", "spawn_item", "approve_anyway", "stop"),
    "budget": ("raise", "switch_model", "stop"),
    "blocked": ("retry", "stop"),
}

# What follows where nobody answers in time: nothing is spent, nothing is given away, and what has landed stays.
DEFAULTS: dict[str, str] = {
    "plan": "stop",
    "land": "stop",
    "escalation": "abandon_item",
    "budget": "stop",
    "blocked": "stop",
}


def deadline(asked: datetime, within: float | str) -> datetime | None:
    """When a question that is put at `asked` is answered by its default; None where `within` is `none`: never."""
    return None if isinstance(within, str) else asked + timedelta(seconds=within)


class Question(Value):
    """A question raised to a person. `item` is the work item it is about, where it is about one; `cap` is the budget
    that was reached, `role` whose call did not fit.

    Where nobody has answered at `deadline`, `default` is the answer; without a deadline it waits for ever.
    """

    id: str
    kind: QuestionKind
    item: str | None = None
    title: str
    why: str
    default: str | None = None
    deadline: AwareDatetime | None = None
    cap: Cap | None = Field(default=None, exclude_if=lambda value: value is None)  # came later, as did the next
    role: str | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def choices(self) -> tuple[str, ...]:
        """What may be answered."""
        return CHOICES[self.kind]


class Cost(Value):
    """What was spent. `priced` is false where a call had no known price."""

    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    priced: bool = True

    def with_call(self, usage: Usage, usd: float, *, priced: bool) -> Cost:
        """The cost with one more model call."""
        return self.model_copy(
            update={
                "model_calls": self.model_calls + 1,
                "input_tokens": self.input_tokens + usage.input_tokens,
                "output_tokens": self.output_tokens + usage.output_tokens,
                "cached_tokens": self.cached_tokens + usage.cached_tokens,
                "usd": round(self.usd + usd, 9),
                "priced": self.priced and priced,
            }
        )

    def with_tool(self) -> Cost:
        """The cost with one more tool call."""
        return self.model_copy(update={"tool_calls": self.tool_calls + 1})


class Landed(Value):
    """Where a work item landed: the commit, its tree, the digest of the gate, and the rung of the merge."""

    sha: str
    tree: str
    gate: str
    rung: str = "clean"


class Base(Value):
    """A ref and the commit it named when the run began."""

    ref: str
    sha: str
