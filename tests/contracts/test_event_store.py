"""What every event store must do: the fake in memory and the SQL one are held to the same."""

import dataclasses
import sqlite3
import threading

import pytest
from sqlalchemy import event

from aurea.adapters.sql import SqlEventStore, place_of
from aurea.domain.errors import Blocked, Permanent, Transient, UsageError
from aurea.ports import Row
from aurea.testing.store import MemoryEventStore


def row(seq, run="run-1", **more):
    values = {
        "seq": seq, "run": run, "item": None, "attempt": None, "actor": "manager", "type": "run.resumed",
        "payload": '{"changes":{"name":"für später 🌱"}}', "salt": "5a17", "payload_hash": "p" * 64,
        "ts": "2026-01-01T00:00:00.000000Z", "prev_hash": str(seq - 1) * 8, "hash": str(seq) * 8,
    }  # fmt: skip
    return Row(**values | more)


def put(store, *rows, bodies=None):
    with store.transaction() as transaction:
        transaction.insert(rows, bodies or {})


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mysql"])
def store(request, tmp_path, new_database):
    match request.param:
        case "memory":
            made = MemoryEventStore()
        case "sqlite":
            made = SqlEventStore(f"sqlite:///{tmp_path}/new/ledger.db")
        case kind:
            made = SqlEventStore(new_database(kind))
    yield made
    made.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def sqlite(path):
    made = SqlEventStore(f"sqlite:///{path}")
    yield made
    made.close()


def test_rows_of_some_types_since_a_moment_across_all_runs(store):
    night, noon = "2026-01-01T23:59:59.999999Z", "2026-01-02T12:00:00.000000Z"
    put(
        store,
        row(1, type="budget.settled", ts=night),
        row(2, type="budget.reserved", ts=noon),
        row(3, run="run-2", type="budget.settled", ts=noon),
        row(4, type="run.resumed", ts=noon),
    )
    wanted, midnight = ("budget.reserved", "budget.settled"), "2026-01-02T00:00:00.000000Z"
    assert [found.seq for found in store.rows_of(wanted, midnight, 0)] == [2, 3]
    assert [found.seq for found in store.rows_of(wanted, midnight, 2)] == [3]
    assert store.rows_of(wanted, midnight, 3) == []


def test_an_empty_ledger_has_no_head(store):
    with store.transaction() as transaction:
        assert transaction.head() == (0, "")
    assert (list(store.rows()), store.runs(), store.body("sha256:x"), store.first()) == ([], [], None, "")


def test_rows_come_back_as_they_were_put_in_order(store):
    rows = [row(1), row(2, "run-2", item="storage", attempt=3), row(3, payload=None, salt="")]
    put(store, *rows)
    assert list(store.rows()) == rows
    assert list(store.rows("run-1")) == [rows[0], rows[2]]
    assert list(store.rows(after=1)) == rows[1:]
    assert list(store.rows("run-1", after=1)) == [rows[2]]
    assert store.runs() == ["run-2", "run-1"]
    assert store.first() == "11111111"


def test_a_transaction_sees_the_head_and_the_rows_of_others(store):
    put(store, row(1), row(2, "run-2"), row(3))
    with store.transaction() as transaction:
        assert transaction.head() == (3, "33333333")
        assert transaction.rows_after(1, ["run-1"]) == [row(3)]
        assert transaction.rows_after(0, ["run-1", "run-2"]) == [row(1), row(2, "run-2"), row(3)]


def test_a_block_that_raises_leaves_nothing(store):
    with pytest.raises(LookupError), store.transaction() as transaction:
        transaction.insert([row(1)], {"sha256:a": "text"})
        raise LookupError
    assert (list(store.rows()), store.body("sha256:a")) == ([], None)


def test_texts_are_kept_once(store):
    put(store, bodies={"sha256:a": "first\0 ü\r\n", "sha256:b": "x" * 300_000, "sha256:d": "half \ud83c of a 🌱"})
    put(store, row(1), bodies={"sha256:a": "second", "sha256:c": ""})
    assert store.body("sha256:a") == "first\0 ü\r\n"
    assert [digest for digest, _ in store.bodies()] == ["sha256:a", "sha256:b", "sha256:c", "sha256:d"]
    assert (store.body("sha256:c"), store.body("sha256:d")) == ("", "half \ud83c of a 🌱")


def test_names_are_told_apart_by_every_character(store):
    rows = [row(1, "run-1", item="a"), row(2, "RUN-1", item="A"), row(3, "rün-1", item="ä", actor="Zoë 🌱")]
    put(store, *rows, bodies={"sha256:a": "small", "sha256:A": "capital"})
    assert list(store.rows()) == rows
    assert list(store.rows("run-1")) == rows[:1]
    assert store.runs() == ["rün-1", "RUN-1", "run-1"]
    assert (store.body("sha256:a"), store.body("sha256:A")) == ("small", "capital")


def test_a_payload_may_be_long(store):
    put(store, row(1, payload='{"x":"' + "ü🌱" * 100_000 + '"}'))
    assert len(next(store.rows()).payload) == 200_008


def test_long_ledgers_are_read_whole(store):
    put(
        store,
        *(row(seq, f"run-{seq % 2}") for seq in range(1, 2502)),
        bodies={f"sha256:{n:03}": "x" for n in range(250)},
    )
    assert [found.seq for found in store.rows()] == list(range(1, 2502))
    assert len(list(store.rows("run-1"))) == 1251
    assert len(list(store.bodies())) == 250


def test_writers_on_many_threads_take_turns(store):
    def write(_):
        for _ in range(10):
            with store.transaction() as transaction:
                seq, _ = transaction.head()
                transaction.insert([row(seq + 1)], {})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.seq for found in store.rows()] == list(range(1, 41))


# --- what a file has beyond that ---------------------------------------------------------------------------------


def test_a_file_keeps_what_was_put(sqlite, path):
    put(sqlite, row(1), bodies={"sha256:a": "text"})
    again = SqlEventStore(f"sqlite:///{path}")
    assert (list(again.rows()), again.body("sha256:a")) == ([row(1)], "text")
    again.close()


def test_a_file_is_written_through_and_can_be_read_meanwhile(sqlite, path):
    with sqlite._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000
    with sqlite.transaction() as transaction:
        transaction.insert([row(1)], {})
        assert list(sqlite.rows()) == []


def test_the_table_has_the_columns_of_the_contract_and_resists_accidents(sqlite, path):
    put(sqlite, row(1))
    with sqlite3.connect(path) as plain:
        columns = [found[1] for found in plain.execute("PRAGMA table_info(ledger_events)")]
        assert columns == [field.name for field in dataclasses.fields(Row)]
        for accident in ("UPDATE ledger_events SET actor = 'x'", "DELETE FROM ledger_events"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                plain.execute(accident)
    plain.close()
    with pytest.raises(Transient):
        put(sqlite, row(1))


def test_many_openings_at_once_make_one_ledger(path):
    stores, threads = [], []
    for _ in range(6):
        threads.append(threading.Thread(target=lambda: stores.append(SqlEventStore(f"sqlite:///{path}"))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(stores) == 6
    put(stores[0], row(1))
    assert list(stores[5].rows()) == [row(1)]
    for store in stores:
        store.close()


@pytest.mark.parametrize("number", ["0003", "10", "", "newer"])
def test_a_newer_ledger_is_refused(sqlite, path, number):
    with sqlite3.connect(path) as plain:
        plain.execute("UPDATE aurea_alembic_version SET version_num = ?", (number,))
    plain.close()
    with pytest.raises(UsageError, match="schema") as caught:
        SqlEventStore(f"sqlite:///{path}")
    assert "older program refuses a newer ledger" in caught.value.remedy


def test_a_full_disk_blocks_and_harms_nothing(sqlite):
    put(sqlite, row(1))
    sqlite.close()
    event.listen(sqlite._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 30"))
    with pytest.raises(Blocked, match="full") as caught:
        put(sqlite, row(2), bodies={"sha256:a": "x" * 1_000_000})
    assert "free space" in caught.value.remedy
    assert (list(sqlite.rows()), sqlite.body("sha256:a")) == ([row(1)], None)
    put(sqlite, row(2))


def test_a_locked_ledger_is_worth_another_try(sqlite, path):
    event.listen(sqlite._engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 20"))
    sqlite._engine.dispose()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Transient, match="locked"):
        put(sqlite, row(1))
    other.execute("ROLLBACK")
    other.close()
    put(sqlite, row(1))


def test_a_file_that_is_no_ledger_is_named(path):
    path.write_bytes(b"certainly no database, but long enough to be looked at" * 100)
    with pytest.raises(Permanent, match="not a database") as caught:
        SqlEventStore(f"sqlite:///{path}")
    assert "no ledger" in caught.value.remedy


def test_a_folder_in_its_place_blocks(path):
    path.mkdir()
    with pytest.raises(Blocked, match="unable to open"):
        SqlEventStore(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense", "nosuchdb://localhost/ledger"])
def test_a_url_that_cannot_be_used_says_so(url):
    with pytest.raises(UsageError):
        SqlEventStore(url)


def test_one_ledger_has_one_place_however_its_url_is_spelt(tmp_path):
    spelt = ("postgres://me:secret@LOCALHOST:5432/x?sslmode=require", "postgresql+psycopg://127.0.0.1/x")
    assert {place_of(url, tmp_path) for url in spelt} == {"postgresql://localhost/x"}
    assert place_of("mariadb://db.example.org:3307/x", tmp_path) == "mysql://db.example.org:3307/x"
    assert place_of(f"sqlite:///{tmp_path / 'home' / 'ledger.db'}", tmp_path / "home") == "sqlite:///ledger.db"
    assert place_of("sqlite:////srv/ledger.db", tmp_path) == "sqlite:////srv/ledger.db"
