"""Facts about how agents work together: what they tell each other, what they ask for, what work they propose."""

from __future__ import annotations

from typing import ClassVar, Literal

from aurea.domain.facts import Fact, Level
from aurea.domain.spec import ItemSpec

EscalationKind = Literal[
    "needs_research",
    "needs_replanning",
    "needs_clarification",
    "blocked_external",
    "spec_mismatch",
    "scope_too_large",
]


class InsightPosted(Fact):
    """An agent told the agents after it one thing worth knowing."""

    type: Literal["insight.posted"] = "insight.posted"
    conversation: str
    text: str


class DecisionLogged(Fact):
    """An agent decided on the design; agents after it keep to that."""

    type: Literal["decision.logged"] = "decision.logged"
    conversation: str
    title: str
    text: str


class EscalationRaised(Fact):
    """An agent asked for what it cannot decide or get by itself."""

    type: Literal["escalation.raised"] = "escalation.raised"
    level: ClassVar[Level] = "warning"
    conversation: str
    kind: EscalationKind
    text: str


class SubtasksProposed(Fact):
    """An agent proposed work items; with `wait` its own item goes on after they have landed."""

    type: Literal["subtasks.proposed"] = "subtasks.proposed"
    conversation: str
    items: tuple[ItemSpec, ...]
    wait: bool = False


class SubtasksJudged(Fact):
    """The manager took proposed work items into the plan, or refused them for these reasons."""

    type: Literal["subtasks.judged"] = "subtasks.judged"
    accepted: bool
    items: tuple[str, ...]
    reasons: tuple[str, ...] = ()
