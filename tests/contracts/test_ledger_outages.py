"""A database server that goes away in the middle: what is recorded waits, and is in the ledger once."""

import logging
import threading
import time

import pytest

from aurea.adapters.clock import SystemClock
from aurea.adapters.sql import SqlEventStore
from aurea.domain.errors import LedgerAway, Transient
from aurea.ledger import chain
from aurea.ledger.book import Book
from aurea.ledger.verify import verify
from aurea.testing import drafts

AWAY_S = 0.4


@pytest.fixture(params=["postgresql", "mysql"])
def direct(request, new_database):
    return new_database(request.param)


@pytest.fixture
def door(direct, new_door):
    return new_door(direct)


@pytest.fixture
def book(door):
    made = Book(SqlEventStore(door.url), SystemClock(), write_s=20, read_s=5)
    yield made
    door.open()
    made.close()


def recorded(direct, tmp_path):
    store = SqlEventStore(direct)
    found = verify(store, tmp_path)
    rows = list(store.rows())
    store.close()
    assert found.problems == ()
    return [row.type for row in rows]


def test_what_is_recorded_while_the_server_restarts_waits_for_it(book, direct, door, tmp_path, caplog):
    book.append("run-1", [drafts.created()])
    door.shut_for(AWAY_S)
    with caplog.at_level(logging.WARNING, "aurea"):
        began = time.monotonic()
        book.append("run-1", [drafts.planned()])
    assert time.monotonic() - began > AWAY_S * 0.9
    assert [message.split(" ")[0:3] for message in caplog.messages] == [
        ["nothing", "goes", "on"],
        ["the", "ledger", "answers"],
    ]
    assert recorded(direct, tmp_path) == ["run.created", "plan.accepted"]


@pytest.mark.parametrize("done", [True, False], ids=["committed", "not_committed"])
def test_a_commit_whose_end_was_not_seen_is_looked_up(book, direct, door, tmp_path, done):
    told = []
    book.append("run-1", [drafts.created()])
    book.subscribe(told.extend)
    text = "a prompt"
    door.trap_commit(AWAY_S, reaches_the_server=done)
    events = book.append("run-1", [drafts.planned(), drafts.asked(1)], {chain.digest(text): text})
    assert not door.armed
    assert [event.seq for event in events] == [2, 3]
    assert told == events
    book.append("run-1", [drafts.asked(2)])
    assert recorded(direct, tmp_path) == ["run.created", "plan.accepted", "model.asked", "model.asked"]
    assert len(book.state("run-1").asked) == 2
    assert book.body(chain.digest(text)) == text


def test_others_may_write_between_a_commit_and_its_look_up(book, direct, door, tmp_path):
    book.append("run-1", [drafts.created()])
    other = Book(SqlEventStore(direct), SystemClock())
    other.append("run-2", [drafts.created()])
    door.trap_commit(AWAY_S, reaches_the_server=True)
    writer = threading.Thread(target=lambda: book.append("run-1", [drafts.planned()]))
    writer.start()
    while door.armed:
        time.sleep(0.01)
    time.sleep(0.3)
    other.append("run-1", [drafts.asked(1)])
    other.close()
    writer.join()
    book.append("run-1", [drafts.asked(2)])
    assert sorted(place[-1] for place in book.state("run-1").asked) == [1, 2]
    assert len(recorded(direct, tmp_path)) == 5


def test_a_server_that_stays_away_is_given_up_until_it_is_back(direct, door, tmp_path):
    book = Book(SqlEventStore(door.url), SystemClock(), write_s=0.5, read_s=0.2)
    book.append("run-1", [drafts.created()])
    book.state("run-1")
    door.shut()
    assert book.refresh("run-1").last_seq == 1, "as last known, for those who look again and again"
    with pytest.raises(LedgerAway, match="longer than is waited") as caught:
        book.append("run-1", [drafts.planned()])
    assert caught.value.exit_code == 5
    assert "aurea resume" in caught.value.remedy
    began = time.monotonic()
    with pytest.raises(LedgerAway):
        book.append("run-1", [drafts.planned()])
    assert time.monotonic() - began < 0.4
    with pytest.raises(Transient, match="could not be read"):
        book.runs()
    assert book.refresh("run-1").last_seq == 1
    door.open()
    book.append("run-1", [drafts.planned()])
    assert book.refresh("run-1").plan is not None
    book.close()
    assert recorded(direct, tmp_path) == ["run.created", "plan.accepted"]


def test_readers_wait_a_moment(book, door):
    book.append("run-1", [drafts.created()])
    door.shut_for(AWAY_S)
    assert book.runs() == ["run-1"]
    door.shut_for(AWAY_S)
    assert [event.seq for event in book.events("run-1")] == [1]


def test_connections_that_the_server_ends_are_made_anew(book, direct, tmp_path):
    book.append("run-1", [drafts.created()])
    store = SqlEventStore(direct)
    with store._engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            others = "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity {others}"
            assert connection.exec_driver_sql(end).all()
        else:
            others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            found = connection.exec_driver_sql(others).scalars().all()
            assert found
            for number in found:
                connection.exec_driver_sql(f"KILL {number}")
    store.close()
    book.append("run-1", [drafts.planned()])
    assert recorded(direct, tmp_path) == ["run.created", "plan.accepted"]


@pytest.fixture
def soon_given_up(door):
    """The ledger through the door, where a second of silence is enough."""
    made = Book(SqlEventStore(f"{door.url}?read_timeout=1"), SystemClock(), write_s=20, read_s=5)
    yield made
    door.open()
    made.close()


def test_a_server_that_hangs_is_given_up_for_another_connection(soon_given_up, direct, door, tmp_path):
    soon_given_up.append("run-1", [drafts.created()])
    door.hush()
    soon_given_up.append("run-1", [drafts.planned()])
    door.hush()
    assert [event.type for event in soon_given_up.events("run-1")] == ["run.created", "plan.accepted"]
    assert recorded(direct, tmp_path) == ["run.created", "plan.accepted"]


def test_a_server_that_hangs_in_the_middle_of_a_write_is_waited_for(soon_given_up, direct, door, tmp_path, caplog):
    soon_given_up.append("run-1", [drafts.created()])
    door.hush_commit()
    with caplog.at_level(logging.WARNING, "aurea"):
        soon_given_up.append("run-1", [drafts.planned()])
    assert caplog.messages[0].startswith("nothing goes on without the ledger; waiting up to 20 s for it")
    assert recorded(direct, tmp_path) == ["run.created", "plan.accepted"]
