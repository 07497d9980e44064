"""What a watcher sees of a run at one moment: a fold of its events, told as one line per item."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aurea.domain import events as ev
from aurea.domain.caps import RUN, limit_of
from aurea.domain.effective import effective_spec
from aurea.domain.evidence import Cost
from aurea.domain.lifecycle import ItemState
from aurea.domain.state import Item, RunState
from aurea.reporting.lines import waits
from aurea.reporting.text import count, cut, duration, many, money

AT_WORK = (ItemState.ACTIVE, ItemState.AWAITING_QA, ItemState.MERGING)
_PHASES = {ItemState.ACTIVE: "implement", ItemState.AWAITING_QA: "check", ItemState.MERGING: "land"}


class Line(NamedTuple):
    """One item of the table."""

    state: ItemState
    name: str
    phase: str
    attempt: str
    elapsed: str
    tokens: str
    cost: str
    doing: str


class Board:
    """Follows one run. Used by one thread only."""

    def __init__(self, run: str) -> None:
        self.state = RunState(run)
        self._doing: dict[str | None, str] = {}
        self._reviewed: set[str | None] = set()

    def take(self, event: ev.Event) -> bool:
        """Take an event in; False where it is of another run or known already."""
        if event.run != self.state.id or event.seq <= self.state.last_seq:
            return False
        self.state.apply(event)
        if isinstance(event.fact, ev.ModelAsked) and event.fact.conversation.startswith("reviewer"):
            self._reviewed.add(event.item)
        elif isinstance(event.fact, ev.ItemMoved):
            self._reviewed.discard(event.item)
        doing = _doing(event.fact)
        if doing is not None:
            self._doing[event.item] = doing
        return True

    def lines(self, now: datetime) -> list[Line]:
        """One line per item, in the order of the plan."""
        return [self._line(item, now) for item in self.state.items.values()]

    def headline(self, now: datetime) -> str:
        """The run in one line, and what it does where there is no plan yet."""
        return headline(self.state, now, self._doing.get(None, "planning"))

    def _line(self, item: Item, now: datetime) -> Line:
        at_work = item.state in AT_WORK
        cost = self.state.item_cost.get(item.spec.id, Cost())
        end = now if at_work else item.since or now
        elapsed = duration((end - item.attempts[0].started).total_seconds()) if item.attempts else ""
        return Line(
            state=item.state,
            name=item.spec.id,
            phase=self._phase(item),
            attempt=f"{len(item.attempts)}/{self._max_attempts()}" if item.attempts else "",
            elapsed=elapsed,
            tokens=count(_tokens(cost)) if _tokens(cost) else "",
            cost=money(cost.usd) if cost.usd else "",
            doing=cut(self._doing.get(item.spec.id, "") if at_work else _why(item), 200),
        )

    def _phase(self, item: Item) -> str:
        if item.state is ItemState.AWAITING_QA and item.spec.id in self._reviewed:
            return "review"
        return _PHASES.get(item.state, item.state.value.replace("_", " "))

    def _max_attempts(self) -> object:
        return _setting(self.state, "max_attempts")


def headline(state: RunState, now: datetime, planning: str = "no plan yet") -> str:
    """A run in one line: what landed, how long, money against the budget, tokens."""
    cost = state.cost
    limit = limit_of(effective_spec(state), RUN) if state.created else None
    done = sum(1 for item in state.items.values() if item.state is ItemState.COMPLETE)
    plan = f"{done}/{len(state.items)} landed" if state.items else planning
    spent = money(cost.usd) + (f" of {money(limit)}" if limit is not None else "")
    elapsed = duration((now - state.started).total_seconds()) if state.started else "0.0s"
    project = state.created.project if state.created else state.id
    tokens = f"{count(_tokens(cost))} tokens"
    return " · ".join((project, plan, elapsed, spent, tokens, many(cost.model_calls, "model call")))


def _setting(state: RunState, name: str) -> object:
    spec = state.created.spec if state.created else {}
    return state.changes.get(name, spec.get(name))


def _doing(fact: ev.AnyFact) -> str | None:
    """What an event says about what is done now; None where it says nothing."""
    match fact:
        case ev.ToolStarted():
            return f"{fact.tool} {fact.summary}".rstrip()
        case ev.ModelAsked():
            return f"{fact.conversation} thinks (step {fact.step})"
        case ev.ModelSaid():
            doing = "thinks" if fact.kind == "reasoning" else "writes"
            return f"{fact.conversation} {doing}, {many(fact.tokens, 'token')} so far (step {fact.step})"
        case ev.ModelFailed():
            return f"{fact.conversation}: {fact.kind}" + (", trying again" if fact.retryable else "")
        case ev.ModelWaiting():
            return f"{fact.conversation} {waits(fact)}"
        case ev.CheckEnded():
            return f"{fact.evidence.kind} {fact.evidence.name} {fact.evidence.outcome.replace('_', ' ')}"
        case ev.AttemptStarted():
            return "prepares the workspace"
        case ev.QuestionAsked():
            return "waits for a person"
        case ev.ItemMoved() if fact.target is ItemState.AWAITING_QA:
            return "checks run"
        case ev.ItemMoved() if fact.target is ItemState.MERGING:
            return "waits for the gate"
        case _:
            return None


def _why(item: Item) -> str:
    if item.state is ItemState.PLANNED:
        return "waits for " + ", ".join(item.spec.depends_on) if item.spec.depends_on else ""
    return item.cause if item.state is not ItemState.COMPLETE else ""


def _tokens(cost: Cost) -> int:
    return cost.input_tokens + cost.output_tokens
