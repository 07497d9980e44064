"""The states of a work item, and the one table of who may move it from where to where."""

from __future__ import annotations

from enum import StrEnum

from aurea.domain.errors import IllegalMove


class ItemState(StrEnum):
    """Where a work item stands on the line."""

    PLANNED = "planned"
    READY = "ready"
    ACTIVE = "active"
    AWAITING_QA = "awaiting_qa"
    MERGING = "merging"
    COMPLETE = "complete"
    BLOCKED = "blocked"
    FAILED = "failed"
    WAITING_HUMAN = "waiting_human"
    ABANDONED = "abandoned"


class Actor(StrEnum):
    """Who caused a fact. Only these may move items; answers to questions carry a person's name instead."""

    MANAGER = "manager"
    AGENT = "agent"
    GATE = "gate"
    REVIEWER = "reviewer"
    LANDER = "lander"
    DIRECTOR = "director"


S = ItemState

FINAL: frozenset[ItemState] = frozenset({S.COMPLETE, S.ABANDONED})
UNFINISHED: frozenset[ItemState] = frozenset(ItemState) - FINAL

MOVES: dict[Actor, frozenset[tuple[ItemState, ItemState]]] = {
    Actor.MANAGER: frozenset(
        {
            (S.PLANNED, S.READY),
            (S.READY, S.ACTIVE),
            (S.ACTIVE, S.FAILED),
            (S.ACTIVE, S.WAITING_HUMAN),
            (S.AWAITING_QA, S.WAITING_HUMAN),
            (S.FAILED, S.READY),
            (S.FAILED, S.WAITING_HUMAN),
            (S.PLANNED, S.BLOCKED),
            (S.READY, S.BLOCKED),
            (S.BLOCKED, S.READY),
            (S.WAITING_HUMAN, S.READY),
        }
        | {(state, S.ABANDONED) for state in UNFINISHED}
    ),
    Actor.AGENT: frozenset({(S.ACTIVE, S.AWAITING_QA)}),
    Actor.GATE: frozenset({(S.AWAITING_QA, S.MERGING), (S.AWAITING_QA, S.FAILED)}),
    Actor.REVIEWER: frozenset({(S.AWAITING_QA, S.MERGING), (S.AWAITING_QA, S.FAILED)}),
    Actor.LANDER: frozenset({(S.MERGING, S.COMPLETE), (S.MERGING, S.FAILED)}),
    # A person may do anything to what is not finished; the reason is checked with the move.
    Actor.DIRECTOR: frozenset((a, b) for a in UNFINISHED for b in ItemState if a is not b),
}


def check_move(actor: Actor, source: ItemState, target: ItemState, cause: str) -> None:
    """Raise `IllegalMove` unless `actor` may move an item from `source` to `target`.

    Every move names its cause; for the Director it is the reason that makes an override a recorded one.
    """
    if (source, target) not in MOVES[actor]:
        raise IllegalMove(f"{actor.value!r} may not move a work item from {source.value!r} to {target.value!r}")
    if not cause.strip():
        raise IllegalMove(f"the move from {source.value!r} to {target.value!r} names no cause")
