"""The book: group commit that refuses one and keeps the others, states that follow, listeners, other processes."""

import asyncio
import logging
import threading
import time

import pytest

from aurea.domain.errors import Blocked, IllegalMove, Permanent
from aurea.domain.events import Draft, RunResumed
from aurea.domain.lifecycle import ItemState
from aurea.ledger import chain
from aurea.ledger.book import Book
from aurea.ledger.verify import verify
from aurea.testing import drafts
from aurea.testing.clock import SimulatedClock
from aurea.testing.store import MemoryEventStore

S = ItemState
RUN = "run-1"


@pytest.fixture
def store():
    return MemoryEventStore()


@pytest.fixture
def book(store):
    made = Book(store, SimulatedClock())
    yield made
    made.close()


@pytest.fixture
def other(store):
    """The book of another process on the same ledger."""
    made = Book(store, SimulatedClock())
    yield made
    made.close()


def begin(book, run=RUN, items=("storage", "api")):
    return book.append(run, [drafts.created(), drafts.planned(*items)])


def ready(item="storage"):
    return drafts.moved(S.PLANNED, S.READY, item=item)


def refolded(store, run=RUN):
    """The state of a run as a fresh process would see it."""
    fresh = Book(store, SimulatedClock())
    state = fresh.state(run)
    fresh.close()
    return state


def test_what_is_recorded_is_durable_and_in_the_state(book, store):
    events = begin(book)
    state = book.state(RUN)
    assert [event.seq for event in events] == [1, 2]
    assert list(state.items) == ["storage", "api"]
    book.append(RUN, [ready()])
    assert state.items["storage"].state is S.READY
    assert book.state(RUN) is state
    assert state == refolded(store)
    assert [event.seq for event in book.events(RUN, after=1)] == [2, 3]


def test_drafts_are_recorded_all_or_none(book, store):
    begin(book)
    state = book.state(RUN)
    with pytest.raises(IllegalMove):
        book.append(RUN, [ready(), ready()], {chain.digest("a text"): "a text"})
    assert state.items["storage"].state is S.PLANNED
    assert (state.last_seq, len(list(store.rows())), list(store.bodies())) == (2, 2, [])
    book.append(RUN, [ready()])
    assert state == refolded(store)


def test_an_unknown_run_is_refused_in_reading_and_writing(book, store):
    with pytest.raises(Permanent, match="no run 'run-1'"):
        book.state(RUN)
    with pytest.raises(Permanent, match="no run 'run-1'"):
        book.append(RUN, [drafts.planned()])
    with pytest.raises(Permanent, match="no run 'run-1'"):
        book.refresh(RUN)
    begin(book)
    assert book.runs() == [RUN]


async def test_a_refused_job_harms_no_other_of_its_batch(book, store):
    begin(book)
    begin(book, "run-2")
    state = book.state(RUN)
    with store._lock:  # so that all of these are waiting when the writer comes round
        jobs = [
            book.record(RUN, [ready("storage")]),
            book.record(RUN, [ready("api"), ready("api")]),
            book.record(RUN, [drafts.moved(S.READY, S.ACTIVE), drafts.started()]),
            book.record("run-2", [ready("storage")]),
            book.record(RUN, [ready("storage")]),
            book.record("run-3", [drafts.planned()]),
            book.record(RUN, [ready("api")]),
        ]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        await asyncio.sleep(0.05)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list, IllegalMove, list, list, IllegalMove, Permanent, list]
    assert (state.items["storage"].state, state.items["api"].state) == (S.ACTIVE, S.READY)
    assert [row.seq for row in store.rows()] == list(range(1, 10))
    assert state == refolded(store)


async def test_a_failed_commit_reaches_every_caller_and_leaves_no_trace(book, store):
    begin(book)
    state = book.state(RUN)
    store.fail_with = Blocked("the disk is full", remedy="free space")
    with pytest.raises(Blocked, match="disk is full"):
        await book.record(RUN, [ready()])
    assert (state.items["storage"].state, state.last_seq) == (S.PLANNED, 2)
    await book.record(RUN, [ready()])
    assert state.items["storage"].state is S.READY
    assert state == refolded(store)


async def test_a_commit_that_was_reported_failed_but_is_there_is_taken_in(book, store):
    begin(book)
    state = book.state(RUN)
    insert = type(store).transaction

    def doubtful(self):
        type(store).transaction = insert
        raise_after = insert(self)

        class Doubtful:
            def __enter__(self):
                return raise_after.__enter__()

            def __exit__(self, *fault):
                raise_after.__exit__(*fault)
                raise Blocked("no answer to the commit")

        return Doubtful()

    type(store).transaction = doubtful
    try:
        with pytest.raises(Blocked):
            await book.record(RUN, [ready("storage")])
    finally:
        type(store).transaction = insert
    await book.record(RUN, [ready("api")])
    assert (state.items["storage"].state, state.items["api"].state) == (S.READY, S.READY)
    assert state == refolded(store)


async def test_states_change_on_the_home_loop_only_between_its_turns(book):
    begin(book)
    await book.record(RUN, [ready("storage")])
    state = book.state(RUN)
    thread = threading.Thread(target=book.append, args=(RUN, [ready("api")]))
    thread.start()
    thread.join()  # durable by now, and this loop has had no turn
    assert book.state(RUN).items["api"].state is S.PLANNED
    await asyncio.sleep(0)
    assert state.items["api"].state is S.READY


async def test_iterating_over_a_state_is_safe_while_others_record(book):
    begin(book)
    await book.record(RUN, [drafts.asked(0)])
    state = book.state(RUN)
    threads = [
        threading.Thread(target=lambda n=n: [book.append(RUN, [drafts.asked(s, f"c{n}")]) for s in range(100)])
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    seen = {1}
    while any(thread.is_alive() for thread in threads):
        for _ in state.asked:
            time.sleep(0.0001)  # gives the other threads their chance
        seen.add(len(state.asked))
        await asyncio.sleep(0)
    for thread in threads:
        thread.join()
    await asyncio.sleep(0)
    seen.add(len(state.asked))
    assert len(state.asked) == 301
    assert len(seen) > 1


def test_a_second_event_loop_takes_over_when_the_first_is_gone(book, store):
    begin(book)
    state = book.state(RUN)
    asyncio.run(book.record(RUN, [ready("storage")]))
    book.append(RUN, [drafts.asked(1)])
    assert len(state.asked) == 1
    asyncio.run(book.record(RUN, [ready("api")]))
    assert state == refolded(store)


async def test_loops_on_other_threads_may_record_too(book):
    begin(book)
    await book.record(RUN, [ready("storage")])
    done = await asyncio.to_thread(lambda: asyncio.run(book.record(RUN, [ready("api")])))
    assert done[0].item == "api"
    assert book.state(RUN).items["api"].state is S.READY


async def test_nobody_elsewhere_depends_on_the_home_loop_having_time(book):
    begin(book)
    await book.record(RUN, [ready("storage")])
    thread = threading.Thread(target=lambda: asyncio.run(book.record(RUN, [ready("api")])))
    thread.start()
    thread.join(timeout=10)  # blocks the home loop
    assert not thread.is_alive()
    await asyncio.sleep(0)
    assert book.state(RUN).items["api"].state is S.READY


async def test_a_cancelled_record_is_still_recorded(book, store):
    begin(book)
    with store._lock:
        task = asyncio.ensure_future(book.record(RUN, [ready()]))
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await book.record(RUN, [drafts.asked(1)])
    assert book.state(RUN).items["storage"].state is S.READY


def test_listeners_hear_everything_in_order_before_the_caller_goes_on(book, caplog):
    heard = []
    unsubscribe = book.subscribe(lambda events: heard.extend(event.seq for event in events))

    def broken(events):
        raise ValueError("a display that fails")

    book.subscribe(broken)
    with caplog.at_level(logging.ERROR):
        begin(book)
    assert heard == [1, 2]
    assert "a listener of the ledger failed at events 1 to 2" in caplog.text
    unsubscribe()
    book.append(RUN, [ready()])
    assert heard == [1, 2]


def test_a_listener_reads_states_and_may_not_append(book):
    seen = []

    def listener(events):
        seen.append(book.state(RUN).last_seq)
        with pytest.raises(RuntimeError, match="may not append"):
            book.append(RUN, [drafts.asked(1)])
        seen.append("refused")

    book.subscribe(listener)
    begin(book)
    assert seen == [2, "refused"]


def test_what_another_process_records_is_seen_before_the_next_append(book, other, store):
    heard = []
    begin(book)
    state = book.state(RUN)
    book.subscribe(lambda events: heard.extend(event.seq for event in events))
    other.append(RUN, [ready("storage")])
    begin(other, "run-2")
    with pytest.raises(IllegalMove, match="is 'ready'"):
        book.append(RUN, [ready("storage")])
    assert state.items["storage"].state is S.READY
    book.append(RUN, [ready("api")])
    assert heard == [3, 6]
    other.append(RUN, [drafts.asked(1)])
    assert other.state(RUN) == refolded(store)
    assert book.refresh(RUN) is state
    assert state == refolded(store)
    assert heard == [3, 6, 7]


def test_foreign_events_survive_a_failed_commit(book, other, store):
    begin(book)
    state = book.state(RUN)
    other.append(RUN, [ready("storage")])
    store.fail_with = Blocked("the disk is full")
    with pytest.raises(Blocked):
        book.append(RUN, [drafts.asked(1)])
    assert state.items["storage"].state is S.READY
    book.append(RUN, [drafts.asked(1)])
    assert state == refolded(store)


def test_a_run_that_others_wrote_to_between_open_and_append_is_whole(book, other, store):
    begin(other)
    state = book.state(RUN)
    other.append(RUN, [ready("storage")])
    book.append("run-9", [drafts.created()])
    assert state.items["storage"].state is S.READY
    book.append(RUN, [ready("api")])
    assert state == refolded(store)


def test_nothing_is_added_to_a_ledger_whose_end_was_cut(book, store):
    begin(book)
    del store._rows[1:]
    with pytest.raises(Permanent, match="was cut or changed"):
        book.append(RUN, [drafts.asked(1)])
    assert len(list(store.rows())) == 1


def test_texts_are_kept_with_the_events_and_under_their_own_digest_only(book, store):
    digest = chain.digest("a long answer")
    book.append(RUN, [drafts.created()], {digest: "a long answer"})
    assert book.body(digest) == "a long answer"
    with pytest.raises(Permanent, match="not its digest"):
        book.append(RUN, [drafts.asked(1)], {digest: "another"})
    with pytest.raises(Permanent, match="holds no text"):
        book.body("sha256:unknown")
    store._bodies[digest] = "a changed answer"
    with pytest.raises(Permanent, match="was changed"):
        book.body(digest)


def test_facts_that_json_cannot_hold_are_refused(book):
    begin(book)
    for value in (object(), "\ud800"):
        with pytest.raises(Permanent, match="as JSON"):
            book.append(RUN, [Draft(fact=RunResumed(changes={"x": value}))])
    assert book.append(RUN, [drafts.asked(1)])[0].seq == 3


def test_closing_writes_what_is_queued_and_refuses_more(store):
    book = Book(store, SimulatedClock())
    begin(book)
    threads = [threading.Thread(target=book.append, args=(RUN, [drafts.asked(n)])) for n in range(20)]
    with store._lock:
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        closing = threading.Thread(target=book.close)
        closing.start()
    for thread in [*threads, closing]:
        thread.join()
    assert len(list(store.rows())) == 22
    with pytest.raises(Permanent, match="closed"):
        book.append(RUN, [drafts.asked(99)])
    book.close()


async def test_many_recorders_share_their_commits(book, store, tmp_path):
    begin(book)
    commits = []
    insert = store.transaction
    store.transaction = lambda: commits.append(1) or insert()
    await asyncio.gather(*(record_many(book, f"c{n}") for n in range(50)))
    assert len(book.state(RUN).asked) == 1000
    assert len(commits) < 500
    assert verify(store, tmp_path).ok


async def record_many(book, conversation):
    for step in range(20):
        await book.record(RUN, [drafts.asked(step, conversation)])
