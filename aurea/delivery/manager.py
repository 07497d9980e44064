"""The manager's decisions: which items may start, in which order, and how a run ends. Pure functions of the state."""

from __future__ import annotations

from collections.abc import Collection

from aurea.domain.caps import RUN
from aurea.domain.events import RunEnded
from aurea.domain.evidence import Question
from aurea.domain.lifecycle import ItemState
from aurea.domain.plan import tails
from aurea.domain.state import Item, RunState

AT_WORK = frozenset(
    {ItemState.READY, ItemState.ACTIVE, ItemState.AWAITING_QA, ItemState.MERGING, ItemState.FAILED}
)  # fmt: skip


def newly_ready(state: RunState) -> list[str]:
    """Planned items whose dependencies have all landed."""
    return [
        name
        for name, item in state.items.items()
        if item.state is ItemState.PLANNED
        and all(state.items[other].state is ItemState.COMPLETE for other in item.spec.depends_on)
    ]


def unblocked(state: RunState) -> list[str]:
    """Items that waited for others in the middle of their work, all of which have landed."""
    blocked = [name for name, item in state.items.items() if item.state is ItemState.BLOCKED]
    return [name for name in blocked if not state.unlanded(name)]


def startable(state: RunState, busy: Collection[str], room: int) -> list[str]:
    """At most `room` items that somebody should take up now: highest priority, then longest remaining chain, first.

    Items already begun (a run that was taken up again) come before fresh ones.
    """
    chain = tails(state.edges)
    waiting = [
        name
        for name, item in state.items.items()
        if item.state in AT_WORK and item.question is None and name not in busy
        if not any(concerns(asked.question, item) for asked in state.questions.values())
    ]
    waiting.sort(key=lambda n: (state.items[n].state is ItemState.READY, -state.items[n].spec.priority, -chain[n]))
    return waiting[: max(room, 0)]


def released(state: RunState) -> list[str]:
    """Items that waited, as others did, for a missing key, money or a disk; not those about which a person is asked."""
    waiting = [n for n, item in state.items.items() if item.state is ItemState.WAITING_HUMAN and item.asked is None]
    return [name for name in waiting if not _still_held(state, state.items[name])]


def _still_held(state: RunState, item: Item) -> bool:
    if item.held is not None:
        return item.held in state.questions
    return any(asked.question.kind in ("blocked", "budget") for asked in state.questions.values())


def stops_all(question: Question) -> bool:
    """Whether nothing new begins until this is answered: something is missing, or the money of run or day is spent."""
    cap = question.cap or RUN
    return question.kind == "blocked" or (question.kind == "budget" and cap.scope in ("run", "day"))


def concerns(question: Question, item: Item) -> bool:
    """Whether an open question for money is about what an item needs next."""
    cap = question.cap
    if question.kind != "budget" or cap is None:
        return False
    return cap.name == (item.spec.id if cap.scope == "item" else _next_role(item))


def _next_role(item: Item) -> str:
    """Whose model calls an item needs next."""
    if item.state is ItemState.MERGING:
        return ""
    current = item.current
    submitted = current is not None and current.ended is not None and current.state == "active"
    return "reviewer" if submitted else item.spec.role


def ending(state: RunState) -> RunEnded:
    """How a run ends on which nobody can do anything more."""
    if state.order is not None and state.order.order == "cancel":
        return cancelled(state.order.reason)
    if state.order is not None:
        return RunEnded(state="paused", reason=state.order.reason or "paused by a person", reason_code="paused")
    if state.questions:
        titles = "; ".join(asked.question.title for asked in state.questions.values())
        return RunEnded(state="waiting", reason=f"waits for a person: {titles}")
    landed = [name for name, item in state.items.items() if item.state is ItemState.COMPLETE]
    given_up = [name for name, item in state.items.items() if item.state is ItemState.ABANDONED]
    left = [name for name in state.items if name not in landed and name not in given_up]
    if landed and not left:
        return RunEnded(state="succeeded", reason=f"abandoned: {', '.join(given_up)}" if given_up else None)
    if landed:
        return RunEnded(state="failed", reason=f"did not land: {', '.join(left)}", reason_code="partial")
    return RunEnded(state="failed", reason="nothing landed", reason_code="nothing_landed")


def cancelled(why: str = "") -> RunEnded:
    """The end of a run that a person cancelled."""
    reason = "cancelled by a person" + (f": {why}" if why else "")
    return RunEnded(state="cancelled", reason=reason, reason_code="cancelled")
