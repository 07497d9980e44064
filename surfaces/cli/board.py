"""What a watcher sees of a run at one moment: a fold of its events, drawn as a table that fits the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from aurea.domain import events as ev
from aurea.domain.evidence import Cost
from aurea.domain.lifecycle import ItemState
from aurea.domain.state import Item, RunState
from aurea.reporting.text import count, cut, duration, many, money
from surfaces.cli.palette import MARKS, STYLES

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_AT_WORK = (ItemState.ACTIVE, ItemState.AWAITING_QA, ItemState.MERGING)
_PHASES = {ItemState.ACTIVE: "implement", ItemState.AWAITING_QA: "check", ItemState.MERGING: "land"}
# What is shown first where not everything fits.
_RANK = {
    **dict.fromkeys(_AT_WORK, 0), ItemState.WAITING_HUMAN: 1, ItemState.FAILED: 1, ItemState.READY: 2,
    ItemState.BLOCKED: 2, ItemState.PLANNED: 3, ItemState.COMPLETE: 4, ItemState.ABANDONED: 4,
}  # fmt: skip


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
        """The run in one line: what landed, how long, tokens, and money against the budget."""
        state, cost = self.state, self.state.cost
        done = sum(1 for item in state.items.values() if item.state is ItemState.COMPLETE)
        plan = f"{done}/{len(state.items)} landed" if state.items else self._doing.get(None, "planning")
        spent = money(cost.usd) + (f" of {money(limit)}" if (limit := self._limit()) is not None else "")
        elapsed = duration((now - state.started).total_seconds()) if state.started else "0.0s"
        project = state.created.project if state.created else state.id
        tokens = f"{count(_tokens(cost))} tokens"
        return " · ".join((project, plan, elapsed, spent, tokens, many(cost.model_calls, "model call")))

    def view(self, now: datetime, *, width: int, height: int) -> Group:
        """The table for a terminal of this size; what does not fit is counted in the last line."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        lines = self.lines(now)
        room = max(height - 4, 1)
        shown = sorted(range(len(lines)), key=lambda i: _RANK[lines[i].state])[:room]
        table = Table(box=None, padding=(0, 1), show_header=bool(lines), header_style="dim", width=width)
        names = min(max((len(line.name) for line in lines), default=4), max(width // 4, 8))
        table.add_column("", width=1)
        table.add_column("item", width=names, no_wrap=True, overflow="ellipsis")
        table.add_column("phase", width=13, no_wrap=True)
        table.add_column("try", no_wrap=True)
        numbers = ("time", "tokens", "cost") if width >= 72 else ("time",)
        for name in numbers:
            table.add_column(name, justify="right", no_wrap=True)
        if width >= 56:
            table.add_column("now", ratio=1, no_wrap=True, overflow="ellipsis")
        for index in sorted(shown):
            line, style = lines[index], STYLES[lines[index].state.value]
            cells = [Text(MARKS[line.state.value], style), Text(line.name), Text(line.phase, style), Text(line.attempt)]
            cells += [Text(text) for text in (line.elapsed, line.tokens, line.cost)[: len(numbers)]]
            table.add_row(*cells, *([Text(line.doing, "dim")] if width >= 56 else []))
        parts: list[RenderableType] = [Text(cut(self.headline(now), width), "bold"), table]
        if len(shown) < len(lines):
            parts.append(Text(f"  and {len(lines) - len(shown)} more", "dim"))
        return Group(*parts)

    def _line(self, item: Item, now: datetime) -> Line:
        at_work = item.state in _AT_WORK
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

    def _limit(self) -> float | None:
        value = self._setting("budget_usd")
        return float(value) if isinstance(value, (int, float)) else None

    def _max_attempts(self) -> object:
        return self._setting("max_attempts")

    def _setting(self, name: str) -> object:
        spec = self.state.created.spec if self.state.created else {}
        return self.state.changes.get(name, spec.get(name))


def _doing(fact: ev.AnyFact) -> str | None:
    """What an event says about what is done now; None where it says nothing."""
    match fact:
        case ev.ToolStarted():
            return f"{fact.tool} {fact.summary}".rstrip()
        case ev.ModelAsked():
            return f"{fact.conversation} thinks (step {fact.step})"
        case ev.ModelFailed():
            return f"{fact.conversation}: {fact.kind}" + (", trying again" if fact.retryable else "")
        case ev.CheckEnded():
            return f"{fact.evidence.kind} {fact.evidence.name} {fact.evidence.outcome.replace('_', ' ')}"
        case ev.AttemptStarted():
            return "prepares the workspace"
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
