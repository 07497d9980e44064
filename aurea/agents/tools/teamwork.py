"""The tools by which an agent works with others: insights, design decisions, escalations, proposals of work items.

Each only hands in: what becomes of it is decided at the desk (`aurea.ports.Desk`), which is the manager's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from aurea.agents.results import PlannedItem
from aurea.agents.tools.base import SUMMARY, AgentTool, Arguments, parse
from aurea.agents.tools.text import storable
from aurea.domain.team_facts import EscalationKind
from aurea.ports.agents import Desk, Ending

INSIGHT = 2_000
TITLE = 160
DECISION = 4_000
ESCALATION = 4_000

T = TypeVar("T", bound=BaseModel)


def _text(limit: int) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=limit)


def _kind(value: Any) -> Any:
    return str(value).strip().lower().replace(" ", "_").replace("-", "_") if isinstance(value, str) else value


class InsightArguments(Arguments):
    """`post_insight`."""

    text: Annotated[str, _text(INSIGHT), Field(description="one thing, in a few sentences, with file names")]


class DecisionArguments(Arguments):
    """`log_design_decision`."""

    title: Annotated[str, _text(TITLE), Field(description="the decision in one line")]
    text: Annotated[str, _text(DECISION), Field(description="why, and what else was considered")]


class EscalationArguments(Arguments):
    """`raise_escalation`."""

    kind: Annotated[EscalationKind, BeforeValidator(_kind)]
    text: Annotated[str, _text(ESCALATION), Field(description="what you need to know or have, and what you found")]


class SubtasksArguments(Arguments):
    """`create_subtasks`."""

    items: Annotated[tuple[PlannedItem, ...], Field(min_length=1)]
    wait: Annotated[bool, Field(description="true: this item cannot go on before they have landed")] = False


class DeskTool(AgentTool[T]):
    """Base of the tools that hand something in. Handing in again what is there already changes nothing."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    @property
    def waited(self) -> float:
        """Seconds that others took for their answers."""
        return self.desk.waited

    def summary(self, arguments: Mapping[str, object]) -> str:
        """Its title, its kind, how it begins, or which items it names."""
        for key in ("title", "kind", "text"):
            if value := arguments.get(key):
                return " ".join(str(value).split())[:SUMMARY]
        items = arguments.get("items")
        named = [str(item.get("id", "")) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        return ", ".join(named)[:SUMMARY]


class PostInsight(DeskTool[InsightArguments]):
    """Tell later agents of this run one thing they would otherwise have to find out: a trap, a convention, a command."""

    name = "post_insight"
    arguments = InsightArguments

    async def act(self, arguments: InsightArguments) -> str:
        """Whether it is new."""
        return await self.desk.insight(storable(arguments.text))


class LogDesignDecision(DeskTool[DecisionArguments]):
    """Record a design decision that other items should keep to. It cannot be taken back; a later one can replace it."""

    name = "log_design_decision"
    arguments = DecisionArguments

    async def act(self, arguments: DecisionArguments) -> str:
        """That it stands."""
        return await self.desk.decision(storable(arguments.title), storable(arguments.text))


class RaiseEscalation(DeskTool[EscalationArguments]):
    """Ask for what you cannot decide or get yourself. Ends your work on the item until a person has answered.

    Kinds: needs_clarification (the item can be read in two ways), spec_mismatch (it contradicts the code, the checks or
    itself), scope_too_large (too much for one change), needs_replanning (other items are needed first), blocked_external
    (something outside is missing), needs_research (something must be looked up, in the web where this run may: answered at
    once, your work goes on).
    """

    name = "raise_escalation"
    arguments = EscalationArguments

    async def act(self, arguments: EscalationArguments) -> str:
        """What follows."""
        return await self.desk.escalate(arguments.kind, storable(arguments.text))

    def ends(self, arguments: Mapping[str, object]) -> Ending | None:
        """All kinds but research are a person's to answer."""
        return None if parse(EscalationArguments, arguments).kind == "needs_research" else "escalated"


class CreateSubtasks(DeskTool[SubtasksArguments]):
    """Propose work items that belong to the objective but not into yours. The manager accepts all or none, with reasons.

    They are worked on beside yours; with `wait` yours stops here and goes on after they have landed.
    """

    name = "create_subtasks"
    arguments = SubtasksArguments

    async def act(self, arguments: SubtasksArguments) -> str:
        """The manager's answer."""
        items = [item.item() for item in arguments.items]
        return await self.desk.subtasks(items, wait=arguments.wait)

    def ends(self, arguments: Mapping[str, object]) -> Ending | None:
        """Only where the agent wants to wait for them."""
        return "deferred" if parse(SubtasksArguments, arguments).wait else None


def desk_tools(desk: Desk) -> list[AgentTool[Any]]:
    """All of them, at one desk."""
    return [PostInsight(desk), LogDesignDecision(desk), RaiseEscalation(desk), CreateSubtasks(desk)]
