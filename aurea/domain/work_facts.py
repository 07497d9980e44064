"""Facts about the work on items: attempts, model and tool calls, evidence, landings, and the money they take."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from aurea.domain.caps import Cap
from aurea.domain.evidence import Evidence, Finding, Landed, Report, Review, Verdict
from aurea.domain.facts import Fact, Level
from aurea.domain.messages import Usage, Value


class AttemptStarted(Fact):
    """One try at an item began in a fresh workspace on `base`. `prompt` is the body of what its agent is shown."""

    type: Literal["attempt.started"] = "attempt.started"
    base: str
    role: str
    model: str
    prompt: str


class PromptGiven(Fact):
    """What the role of a conversation is shown, in parts, is in `body`; of an attempt's own agent its start says that."""

    type: Literal["prompt.given"] = "prompt.given"
    level: ClassVar[Level] = "debug"
    conversation: str
    role: str
    body: str


class AttemptEnded(Fact):
    """The agent's part is over. `ref`, `sha`, `tree` keep what it wrote; `spent`: it counts against `max_attempts`.

    `escalated`: it asks for a person; `deferred`: it waits for work items that it had proposed.
    """

    type: Literal["attempt.ended"] = "attempt.ended"
    outcome: Literal[
        "submitted", "empty", "exhausted", "refused", "stalled", "lost", "abandoned", "escalated", "deferred"
    ]
    reason: str = ""
    limit: str | None = None
    spent: bool = True
    ref: str | None = None
    sha: str | None = None
    tree: str | None = None
    files: tuple[str, ...] = ()
    report: Report | None = None
    seconds: float = 0.0


class ModelAsked(Fact):
    """A model call is about to be made; `fingerprint` is the digest of what is asked."""

    type: Literal["model.asked"] = "model.asked"
    level: ClassVar[Level] = "debug"
    conversation: str
    role: str
    step: int
    provider: str
    model: str
    fingerprint: str


Saying = Literal["text", "reasoning", "tool"]


class ModelSaid(Fact):
    """What came of an answer since the last such event, while the model still goes on; for those who watch alone.

    `kind` text or reasoning: its words are in `body`; tool: there stand the names of tools that it begins to call. No
    `body`: it writes the arguments of one. `tokens`: about so many have come in all.
    """

    type: Literal["model.said"] = "model.said"
    level: ClassVar[Level] = "debug"
    conversation: str
    role: str
    step: int
    kind: Saying
    body: str = ""
    tokens: int


class ModelAnswered(Fact):
    """The answer is on disk (`body`). `usd` is what it cost; `seconds` what it took.

    `provider` and `model` are those that answered; `cached`: it came from an earlier answer to the same question.
    """

    type: Literal["model.answered"] = "model.answered"
    level: ClassVar[Level] = "debug"
    conversation: str
    role: str
    step: int
    provider: str
    model: str
    body: str
    usage: Usage
    usd: float
    priced: bool
    seconds: float
    finish: str
    tools: tuple[str, ...] = ()
    cached: bool = False


class ModelFailed(Fact):
    """One transport try of a model call failed: request number `attempt` of it, to this provider and model."""

    type: Literal["model.failed"] = "model.failed"
    level: ClassVar[Level] = "warning"
    conversation: str
    step: int
    attempt: int
    kind: str
    message: str
    retryable: bool
    retry_after: float | None = None
    provider: str = ""
    model: str = ""


class ModelFellBack(Fact):
    """A model call goes on with `to`, since `source` had no capacity (both `provider:model`); `reason` is the kind."""

    type: Literal["model.fell_back"] = "model.fell_back"
    level: ClassVar[Level] = "warning"
    conversation: str
    step: int
    source: str = Field(alias="from")
    to: str
    reason: str


class ModelWaiting(Fact):
    """A model call waits for about `seconds` before it goes to its provider, for whatever reason: nothing is wrong.

    limits: those of the spec, or the pause that the provider asked everybody for; busy: other calls are under way, and it
    has waited for so long; breaker: the provider is down; retry_after: the provider named the time; backoff: between tries.
    """

    type: Literal["model.waiting"] = "model.waiting"
    conversation: str
    step: int
    provider: str
    why: Literal["limits", "busy", "breaker", "retry_after", "backoff"]
    seconds: float


class ToolStarted(Fact):
    """A tool is about to act. `arguments`: the body they are kept in; `before`: digest of the file about to change."""

    type: Literal["tool.started"] = "tool.started"
    level: ClassVar[Level] = "debug"
    conversation: str
    step: int
    call: str
    tool: str
    arguments: str
    summary: str = ""
    before: str = ""


class ToolEnded(Fact):
    """A tool call is over; `body` keeps what the model was told. `refused` names the reason."""

    type: Literal["tool.ended"] = "tool.ended"
    level: ClassVar[Level] = "debug"
    conversation: str
    step: int
    call: str
    tool: str
    outcome: Literal["ok", "error", "refused", "interrupted"]
    reason: str = ""
    body: str
    seconds: float = 0.0


class CheckEnded(Fact):
    """A check ran to its end, or could not."""

    type: Literal["check.ended"] = "check.ended"
    evidence: Evidence


class PrecheckEnded(Fact):
    """The model-free look at an attempt's change. `claims` is what its agent's report says and is not borne out."""

    type: Literal["precheck.ended"] = "precheck.ended"
    passed: bool
    tree: str
    findings: tuple[Finding, ...] = ()
    claims: tuple[Finding, ...] = Field(default=(), exclude_if=lambda value: not value)


class ReviewEnded(Fact):
    """A reviewer gave its answer."""

    type: Literal["review.ended"] = "review.ended"
    evidence: Evidence
    review: Review


class VerdictGiven(Fact):
    """What follows from the evidence on this attempt."""

    type: Literal["verdict.given"] = "verdict.given"
    verdict: Verdict


class LandingStarted(Fact):
    """A candidate, `tip` with the attempt's change, goes to the gate. `commit` is what the ref would move to."""

    type: Literal["landing.started"] = "landing.started"
    tip: str
    commit: str
    tree: str
    gate: str


class LandingRefused(Fact):
    """The candidate may not land; the item goes back with the reason."""

    type: Literal["landing.refused"] = "landing.refused"
    level: ClassVar[Level] = "warning"
    kind: Literal["conflict", "red", "empty", "returned"]
    tip: str
    reason: str
    details: str = ""
    files: tuple[str, ...] = ()


class LandingLanded(Fact):
    """The target moved from `parent` to `landed.sha`."""

    type: Literal["landing.landed"] = "landing.landed"
    landed: Landed
    parent: str


class BaseMoved(Fact):
    """The base followed the target, as `land: target` asks, or as a repository that Aurea made does."""

    type: Literal["base.moved"] = "base.moved"
    ref: str
    old: str
    new: str


class CapPassed(Value):
    """A cap that one last call may pass, and its limit."""

    cap: Cap
    limit_usd: float


class BudgetReserved(Fact):
    """`usd` is held back for a model call of `role` that is about to be made.

    `over`: the caps under which it does not fit; it goes out all the same, as the one last call that each allows.
    """

    type: Literal["budget.reserved"] = "budget.reserved"
    level: ClassVar[Level] = "debug"
    conversation: str
    step: int
    usd: float
    role: str = Field(default="", exclude_if=lambda value: not value)
    over: tuple[CapPassed, ...] = Field(default=(), exclude_if=lambda value: not value)


class BudgetSettled(Fact):
    """A reservation ended; `usd` is what counts. `in_doubt`: the process died before the answer, maybe billed."""

    type: Literal["budget.settled"] = "budget.settled"
    level: ClassVar[Level] = "debug"
    conversation: str
    step: int
    usd: float
    reserved: float
    in_doubt: bool = False
    role: str = Field(default="", exclude_if=lambda value: not value)


class BreakerChanged(Fact):
    """A provider's circuit breaker opened, closed or let one trial through; `failures` in a row stand behind it."""

    type: Literal["breaker.changed"] = "breaker.changed"
    level: ClassVar[Level] = "warning"
    provider: str
    state: Literal["open", "half_open", "closed"]
    failures: int = 0
