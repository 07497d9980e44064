"""A work item and its attempts, as far as a run's events tell of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from aurea.domain import events as ev
from aurea.domain.errors import IllegalMove
from aurea.domain.evidence import DEFAULTS, Cost, Finding, Landed, Question, Review, Verdict
from aurea.domain.lifecycle import Actor, ItemState, check_move
from aurea.domain.spec import ItemSpec


@dataclass
class Attempt:
    """One try at an item, as far as it got."""

    number: int
    base: str
    role: str
    model: str
    prompt: str
    started: datetime
    fallbacks: list[str] = field(default_factory=list)
    ended: ev.AttemptEnded | None = None
    closed: datetime | None = None
    precheck: ev.PrecheckEnded | None = None
    checks: list[str] = field(default_factory=list)
    reviews: dict[str, Review] = field(default_factory=dict)
    verdict: Verdict | None = None
    landing: ev.LandingStarted | None = None
    refused: ev.LandingRefused | None = None
    landed: Landed | None = None
    left: Literal["failed", "abandoned"] | None = None
    left_because: str = ""
    cost: Cost = field(default_factory=Cost)

    @property
    def spent(self) -> bool:
        """Whether it counts against `max_attempts`: a change that did not pass, never files that others lost."""
        return self.ended is None or self.ended.spent

    @property
    def escalated(self) -> bool:
        """Whether its agent asked for a person, which more attempts are no answer to."""
        return self.ended is not None and self.ended.outcome == "escalated"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the precheck found, in the change and then in what its agent says of it."""
        return (*self.precheck.findings, *self.precheck.claims) if self.precheck else ()

    @property
    def claims(self) -> tuple[Finding, ...]:
        """What its agent's report says and is not borne out, or leaves out."""
        return self.precheck.claims if self.precheck else ()

    @property
    def state(self) -> str:
        """failed, landed, abandoned or active, as `aurea.run/1` calls it."""
        if self.landed:
            return "landed"
        if self.ended and (self.ended.outcome == "abandoned" or not self.ended.spent):
            return "abandoned"
        returned = self.verdict is not None and self.verdict.decision != "approve"
        if self.refused or returned or (self.ended and self.ended.outcome != "submitted"):
            return "failed"
        return self.left or "active"

    @property
    def reason(self) -> str | None:
        """Why it did not land, in one line."""
        if self.refused:
            return self.refused.reason
        if self.verdict and self.verdict.decision != "approve":
            return "; ".join(self.verdict.reasons) or self.verdict.decision
        if self.ended and self.ended.outcome != "submitted":
            return self.ended.reason or self.ended.outcome
        return self.left_because or None

    def leave(self, outcome: Literal["failed", "abandoned"], reason: str) -> None:
        """Its item went on without it, which only counts where the attempt itself has not come to an end."""
        if self.state == "active":
            self.left, self.left_because = outcome, reason


@dataclass
class Item:
    """One work item: what it asks for, where it stands, and its attempts.

    `question` is the open question about it, `asked` the one whose answer it waits for in `waiting_human`, answered or
    not; `held` is one that it shares with others, such as that for money. `hints` are what people told its agents;
    `by_person`: goal or criteria are a person's words; `cancelled` is the reason of a person who cancelled it.
    """

    spec: ItemSpec
    state: ItemState = ItemState.PLANNED
    cause: str = ""
    since: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)
    landed: Landed | None = None
    question: str | None = None
    asked: str | None = None
    held: str | None = None
    hints: list[str] = field(default_factory=list)
    by_person: bool = False
    cancelled: str | None = None

    @property
    def current(self) -> Attempt | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def spent(self) -> int:
        """How many attempts count against `max_attempts`, without one that is still going on."""
        return sum(1 for attempt in self.attempts if attempt.spent and attempt.state == "failed")

    @property
    def returned_by_reviews(self) -> int:
        """How many attempts reviews alone sent back."""
        return sum(
            1 for a in self.attempts if a.verdict and a.verdict.decision == "return" and a.verdict.by == "reviewer"
        )

    def check_move(self, actor: str, move: ev.ItemMoved) -> None:
        """Refuse a move that starts elsewhere, or that nobody, or not this actor, may make: `IllegalMove`."""
        name = self.spec.id
        if self.state is not move.source:
            raise IllegalMove(f"item {name!r} is {self.state.value!r}, not {move.source.value!r}")
        try:
            mover = Actor(actor)
        except ValueError:
            raise IllegalMove(f"{actor!r} is nobody who moves work items") from None
        check_move(mover, move.source, move.target, move.cause)
        if move.target is ItemState.COMPLETE and self.landed is None:
            raise IllegalMove(f"item {name!r} cannot be complete: it has not landed")


@dataclass
class ToolRecord:
    """A tool call that began; `ended` is set once its outcome is stored."""

    started: ev.ToolStarted
    ended: ev.ToolEnded | None = None


@dataclass(frozen=True)
class Note:
    """What an agent handed in, with its place in the run: a planner's has no item, and its round as attempt."""

    item: str | None
    attempt: int
    at: datetime
    fact: ev.InsightPosted | ev.DecisionLogged | ev.EscalationRaised

    @property
    def author(self) -> str:
        """Who it was: `coder of storage, attempt 2`."""
        return f"{self.fact.conversation} of {self.item or 'the plan'}, attempt {self.attempt}"


@dataclass
class OpenQuestion:
    """A question that nobody has answered yet. `shown`: the flow run in which it can be answered.

    `deadline` is the one in force: as asked, or as a resume has set it since.
    """

    question: Question
    asked: datetime
    deadline: datetime | None = None
    shown: ev.QuestionShown | None = None

    @property
    def default(self) -> str:
        """What is answered at the deadline."""
        return self.question.default or DEFAULTS[self.question.kind]
