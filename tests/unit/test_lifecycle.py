"""The transition table: no way leads into a corner, and nobody does another's work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.errors import IllegalMove
from aurea.domain.lifecycle import FINAL, MOVES, UNFINISHED, Actor, ItemState, check_move

S = ItemState
PROGRAMS = [actor for actor in Actor if actor is not Actor.DIRECTOR]


def reachable(start: ItemState, actors: list[Actor]) -> set[ItemState]:
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for target in {b for actor in actors for a, b in MOVES[actor] if a is here} - seen:
            seen.add(target)
            todo.append(target)
    return seen


def test_every_state_is_reached_without_a_person():
    assert reachable(S.PLANNED, PROGRAMS) == set(ItemState)


@given(
    moves=st.lists(st.sampled_from([(actor, *move) for actor in Actor for move in sorted(MOVES[actor])]), max_size=40)
)
def test_no_sequence_of_legal_moves_leaves_an_item_without_an_end(moves):
    state = S.PLANNED
    for actor, source, target in moves:
        if source is state:
            check_move(actor, source, target, "because")
            state = target
    if state not in FINAL:
        # The manager alone can end it, so that a run always can be ended by a program.
        check_move(Actor.MANAGER, state, S.ABANDONED, "the run was cancelled")
        assert S.COMPLETE in reachable(state, PROGRAMS)


@given(actor=st.sampled_from(Actor), source=st.sampled_from(ItemState), target=st.sampled_from(ItemState))
def test_a_move_is_legal_exactly_where_the_table_has_it(actor, source, target):
    if (source, target) in MOVES[actor]:
        check_move(actor, source, target, "because")
    else:
        with pytest.raises(IllegalMove, match="may not move"):
            check_move(actor, source, target, "because")


@pytest.mark.parametrize("actor", Actor)
def test_what_is_finished_stays_finished(actor):
    assert not {move for move in MOVES[actor] if move[0] in FINAL or move[0] is move[1]}


def test_who_may_do_what():
    assert MOVES[Actor.AGENT] == {(S.ACTIVE, S.AWAITING_QA)}
    assert MOVES[Actor.LANDER] == {(S.MERGING, S.COMPLETE), (S.MERGING, S.FAILED)}
    assert MOVES[Actor.GATE] == MOVES[Actor.REVIEWER] == {(S.AWAITING_QA, S.MERGING), (S.AWAITING_QA, S.FAILED)}
    assert {a for a, b in MOVES[Actor.MANAGER] if b is S.ABANDONED} == UNFINISHED
    assert not {b for _, b in MOVES[Actor.MANAGER]} & {S.COMPLETE, S.MERGING, S.AWAITING_QA}
    assert {a for a, b in MOVES[Actor.DIRECTOR] if b is S.ABANDONED} == UNFINISHED


@pytest.mark.parametrize("cause", ["", "  \n"])
def test_a_move_names_its_cause(cause):
    with pytest.raises(IllegalMove, match="names no cause"):
        check_move(Actor.DIRECTOR, S.MERGING, S.FAILED, cause)
