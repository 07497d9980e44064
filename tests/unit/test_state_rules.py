"""What a run's history refuses to hold, and what the fold makes of the rest."""

from datetime import UTC, datetime

import pytest

from aurea.domain import events as ev
from aurea.domain.errors import IllegalMove, Permanent
from aurea.domain.evidence import Question, Verdict
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.state import RunState
from aurea.testing import drafts

S = ItemState
ITEM = drafts.ITEM


def fold(*told):
    """The state of a run after these drafts, each of which it had to allow."""
    state = RunState("run-1")
    for draft in told:
        take(state, draft)
    return state


def take(state, draft):
    state.check(draft)
    now = datetime(2026, 1, 1, 0, 0, state.last_seq % 60, tzinfo=UTC)
    seq = state.last_seq + 1
    state.apply(ev.Event(seq=seq, ts=now, run=state.id, hash=str(seq), **dict(draft)))


def begun():
    return fold(
        drafts.created(), drafts.planned(), drafts.moved(S.PLANNED, S.READY), drafts.moved(S.READY, S.ACTIVE),
        drafts.started(),
    )  # fmt: skip


def question(name="q-1", item=ITEM):
    return Question(id=name, kind="escalation", item=item, title="what now?", why="it failed twice")


def answered(name="q-1", choice="retry", actor="ada"):
    return ev.Draft(fact=ev.QuestionAnswered(question=name, choice=choice, door="cli"), actor=actor)


def test_a_run_begins_with_its_beginning():
    with pytest.raises(Permanent, match="there is no run"):
        RunState("run-1").check(drafts.planned())
    with pytest.raises(Permanent, match="exists already"):
        fold(drafts.created()).check(drafts.created())


def test_a_move_starts_where_the_item_is():
    with pytest.raises(IllegalMove, match="is 'active', not 'ready'"):
        begun().check(drafts.moved(S.READY, S.ACTIVE))


def test_only_known_actors_move_items():
    with pytest.raises(IllegalMove, match="nobody who moves"):
        begun().check(drafts.moved(S.ACTIVE, S.FAILED, actor="ada"))


@pytest.mark.parametrize("actor", [Actor.LANDER, Actor.DIRECTOR])
def test_nothing_is_complete_before_it_landed(actor):
    state = begun()
    take(state, drafts.moved(S.ACTIVE, S.AWAITING_QA, actor=Actor.AGENT))
    take(state, drafts.moved(S.AWAITING_QA, S.MERGING, actor=Actor.GATE))
    complete = drafts.moved(S.MERGING, S.COMPLETE, actor=actor)
    with pytest.raises(IllegalMove, match="has not landed"):
        state.check(complete)
    take(state, drafts.landed())
    take(state, complete)
    assert state.items[ITEM].state is S.COMPLETE
    assert state.tip == "1" * 40


def test_nothing_lands_twice():
    state = begun()
    take(state, drafts.landed())
    with pytest.raises(IllegalMove, match="has landed already"):
        state.check(drafts.landed())


def test_attempts_are_counted_without_gaps():
    state = begun()
    for number in (1, 3):
        with pytest.raises(Permanent, match="the next is 2"):
            state.check(drafts.started(number))
    take(state, drafts.started(2))


@pytest.mark.parametrize("place", [{"item": "nowhere"}, {"item": ITEM, "attempt": 7}])
def test_events_stand_at_known_items_and_attempts(place):
    with pytest.raises(Permanent, match="has no"):
        begun().check(ev.Draft(fact=ev.BudgetSettled(conversation="c", step=1, usd=0, reserved=0), **place))


def test_a_question_is_answered_once_with_what_it_offers_by_a_person():
    state = begun()
    take(state, ev.Draft(fact=ev.QuestionAsked(question=question())))
    assert state.items[ITEM].question == "q-1"
    for draft, reason in [
        (answered("q-2"), "not open"),
        (answered(choice="approve"), "does not offer"),
        (answered(actor="manager"), "never by the manager"),
    ]:
        with pytest.raises(Permanent, match=reason):
            state.check(draft)
    take(state, answered())
    assert state.items[ITEM].question is None
    with pytest.raises(Permanent, match="not open"):
        state.check(answered())
    with pytest.raises(Permanent, match="takes a new id"):
        state.check(ev.Draft(fact=ev.QuestionAsked(question=question())))


def test_an_item_waits_for_its_latest_question_until_that_one_is_answered():
    state = begun()
    for name in ("q-1", "q-2"):
        take(state, ev.Draft(fact=ev.QuestionAsked(question=question(name))))
    take(state, answered("q-1"))
    assert state.items[ITEM].question == "q-2"


def test_an_attempt_that_its_item_fails_counts_even_without_a_verdict():
    state = begun()
    take(state, ev.Draft(fact=ev.AttemptEnded(outcome="submitted"), item=ITEM, attempt=1))
    take(state, drafts.moved(S.ACTIVE, S.FAILED))
    item = state.items[ITEM]
    assert (item.current.state, item.current.reason, item.spent) == ("failed", "it is time", 1)


def test_a_lost_workspace_spends_no_attempt():
    state = begun()
    lost = ev.AttemptEnded(outcome="lost", reason="the folder is gone", spent=False)
    take(state, ev.Draft(fact=lost, item=ITEM, attempt=1))
    take(state, drafts.moved(S.ACTIVE, S.FAILED))
    item = state.items[ITEM]
    assert (item.current.state, item.spent) == ("abandoned", 0)


def test_an_attempt_of_an_abandoned_item_is_abandoned_and_so_is_one_that_another_follows():
    state = begun()
    take(state, drafts.started(2))
    take(state, drafts.moved(S.ACTIVE, S.ABANDONED))
    assert [attempt.state for attempt in state.items[ITEM].attempts] == ["abandoned", "abandoned"]
    assert state.items[ITEM].spent == 0


def test_a_returned_attempt_fails_by_its_verdict():
    state = begun()
    verdict = Verdict(decision="return", by="reviewer", reasons=("no test", "no docs"))
    take(state, ev.Draft(fact=ev.VerdictGiven(verdict=verdict), item=ITEM, attempt=1))
    take(state, drafts.moved(S.ACTIVE, S.FAILED))
    item = state.items[ITEM]
    assert (item.current.state, item.current.reason) == ("failed", "no test; no docs")
    assert (item.spent, item.returned_by_reviews) == (1, 1)


def test_money_is_held_back_until_it_is_settled():
    state = begun()
    place = {"conversation": "coder", "step": 1}
    take(state, ev.Draft(fact=ev.BudgetReserved(**place, usd=0.5), item=ITEM, attempt=1))
    assert (state.reserved_usd, state.spent_usd) == (0.5, 0)
    take(state, ev.Draft(fact=ev.BudgetSettled(**place, usd=0.1, reserved=0.5), item=ITEM, attempt=1))
    assert (state.reserved_usd, state.spent_usd) == (0, 0.1)


def test_a_resumed_run_is_not_over_and_knows_its_changes():
    state = fold(drafts.created(), ev.Draft(fact=ev.RunEnded(state="interrupted")))
    assert state.ended
    take(state, ev.Draft(fact=ev.RunResumed(changes={"budget_usd": 9})))
    take(state, ev.Draft(fact=ev.RunResumed(changes={"concurrency": 2})))
    assert (state.ended, state.closed, state.changes) == (None, None, {"budget_usd": 9, "concurrency": 2})


def test_moments_are_written_in_utc():
    berlin = datetime.fromisoformat("2026-07-01T14:00:00.5+02:00")
    assert ev.timestamp(berlin) == "2026-07-01T12:00:00.500000Z"
