"""The closed set of facts a ledger may hold, and the envelope in which it holds them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from aurea.domain.agent_facts import (
    AgentEquipped,
    ConversationCompacted,
    Difference,
    GuardianLooked,
    LimitLifted,
    LimitReached,
    McpNoted,
    ModelRepaired,
    PartialHandedIn,
    ReplayDrifted,
)
from aurea.domain.facts import (
    Fact,
    ItemMoved,
    Level,
    OrderGiven,
    PlanAccepted,
    PlanChanged,
    PlanProposed,
    PlanRejected,
    PlanReopened,
    QualityJudged,
    QuestionAnswered,
    QuestionAsked,
    QuestionShown,
    QuestionWithdrawn,
    RunCleaned,
    RunCreated,
    RunEnded,
    RunEnding,
    RunLinked,
    RunResumed,
)
from aurea.domain.team_facts import (
    DecisionLogged,
    EscalationRaised,
    InsightPosted,
    SubtasksJudged,
    SubtasksProposed,
)
from aurea.domain.work_facts import (
    AttemptEnded,
    AttemptStarted,
    BaseMoved,
    BreakerChanged,
    BudgetReserved,
    BudgetSettled,
    CheckEnded,
    LandingLanded,
    LandingRefused,
    LandingStarted,
    ModelAnswered,
    ModelAsked,
    ModelFailed,
    ModelFellBack,
    ModelSaid,
    ModelWaiting,
    PrecheckEnded,
    PromptGiven,
    ReviewEnded,
    ToolEnded,
    ToolStarted,
    VerdictGiven,
)

__all__ = [
    "FACTS",
    "AgentEquipped",
    "AnyFact",
    "AttemptEnded",
    "AttemptStarted",
    "BaseMoved",
    "BreakerChanged",
    "BudgetReserved",
    "BudgetSettled",
    "CheckEnded",
    "ConversationCompacted",
    "DecisionLogged",
    "Difference",
    "Draft",
    "EscalationRaised",
    "Event",
    "Fact",
    "GuardianLooked",
    "InsightPosted",
    "ItemMoved",
    "LandingLanded",
    "LandingRefused",
    "LandingStarted",
    "Level",
    "LimitLifted",
    "LimitReached",
    "McpNoted",
    "ModelAnswered",
    "ModelAsked",
    "ModelFailed",
    "ModelFellBack",
    "ModelRepaired",
    "ModelSaid",
    "ModelWaiting",
    "OrderGiven",
    "PartialHandedIn",
    "PlanAccepted",
    "PlanChanged",
    "PlanProposed",
    "PlanRejected",
    "PlanReopened",
    "PrecheckEnded",
    "PromptGiven",
    "QualityJudged",
    "QuestionAnswered",
    "QuestionAsked",
    "QuestionShown",
    "QuestionWithdrawn",
    "ReplayDrifted",
    "ReviewEnded",
    "RunCleaned",
    "RunCreated",
    "RunEnded",
    "RunEnding",
    "RunLinked",
    "RunResumed",
    "SubtasksJudged",
    "SubtasksProposed",
    "ToolEnded",
    "ToolStarted",
    "VerdictGiven",
    "payload",
    "timestamp",
]

AnyFact = Annotated[
    Union[
        RunCreated, RunResumed, RunLinked, RunEnded, RunCleaned,
        PlanProposed, PlanRejected, PlanAccepted, PlanChanged, PlanReopened, OrderGiven,
        ItemMoved, AttemptStarted, PromptGiven, AttemptEnded,
        ModelAsked, ModelSaid, ModelAnswered, ModelFailed, ModelFellBack, ModelWaiting, ToolStarted, ToolEnded,
        ModelRepaired, ConversationCompacted, GuardianLooked, LimitReached, LimitLifted,
        PartialHandedIn, ReplayDrifted, AgentEquipped, McpNoted,
        InsightPosted, DecisionLogged, EscalationRaised, SubtasksProposed, SubtasksJudged,
        CheckEnded, PrecheckEnded, ReviewEnded, VerdictGiven,
        LandingStarted, LandingRefused, LandingLanded, BaseMoved,
        QuestionAsked, QuestionShown, QuestionAnswered, QuestionWithdrawn, QualityJudged,
        BudgetReserved, BudgetSettled, BreakerChanged,
    ],
    Field(discriminator="type"),
]  # fmt: skip

FACTS: TypeAdapter[AnyFact] = TypeAdapter(AnyFact)


class Draft(BaseModel):
    """A fact that somebody wants recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fact: AnyFact
    actor: str = "manager"
    item: str | None = None
    attempt: int | None = None


class Event(BaseModel):
    """A fact as the ledger holds it. `seq` rises by one over the whole ledger; `hash` closes the chain up to here."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seq: int
    ts: datetime
    run: str
    item: str | None
    attempt: int | None
    actor: str
    fact: AnyFact
    hash: str

    @property
    def type(self) -> str:
        """The name of the fact."""
        return self.fact.type

    def document(self) -> dict[str, Any]:
        """The event as `aurea.event/1`: what `tail --json` prints and `events.jsonl` holds."""
        return {
            "schema": "aurea.event/1",
            "seq": self.seq,
            "ts": timestamp(self.ts),
            "run": self.run,
            "item": self.item,
            "attempt": self.attempt,
            "actor": self.actor,
            "level": type(self.fact).level,
            "type": self.fact.type,
            "payload": payload(self.fact),
            "hash": self.hash,
        }


def payload(fact: Fact) -> dict[str, Any]:
    """The fact without its name, as JSON values, under the names that stand on disk."""
    return fact.model_dump(mode="json", by_alias=True, exclude={"type"})


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
