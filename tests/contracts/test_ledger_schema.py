"""How ledgers come to their schema: made, migrated after a copy, migrated on demand, refused."""

import logging
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from aurea.adapters.clock import SystemClock
from aurea.adapters.sql import SqlEventStore, migrate, schema, tables
from aurea.adapters.sql.dialects import dialect_of, open_engine, shown
from aurea.adapters.sql.look import look
from aurea.domain.errors import Blocked, Permanent, Transient, UsageError
from aurea.ledger.book import Book
from aurea.ledger.verify import verify
from aurea.testing import drafts

# A ledger as it was made before there was a table for the number of its schema.
FIRST = """
CREATE TABLE ledger_events (
    seq INTEGER NOT NULL, run VARCHAR(64) NOT NULL, item VARCHAR(64), attempt INTEGER, actor VARCHAR(255) NOT NULL,
    type VARCHAR(64) NOT NULL, payload TEXT, salt VARCHAR(32) NOT NULL, payload_hash VARCHAR(64) NOT NULL,
    ts VARCHAR(32) NOT NULL, prev_hash VARCHAR(64) NOT NULL, hash VARCHAR(64) NOT NULL, PRIMARY KEY (seq)
);
CREATE INDEX ledger_events_run ON ledger_events (run, seq);
CREATE TRIGGER ledger_events_no_update BEFORE UPDATE ON ledger_events
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_events_no_delete BEFORE DELETE ON ledger_events
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE ledger_bodies (digest VARCHAR(80) NOT NULL, text TEXT NOT NULL, PRIMARY KEY (digest));
CREATE TABLE ledger_meta ("key" VARCHAR(64) NOT NULL, value VARCHAR(255) NOT NULL, PRIMARY KEY ("key"));
INSERT INTO ledger_meta VALUES ('schema', '1');
"""


@pytest.fixture
def url(request, tmp_path, new_database):
    return f"sqlite:///{tmp_path}/ledger.db" if request.param == "sqlite" else new_database(request.param)


every = pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
shared = pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)


@pytest.fixture
def old(tmp_path):
    """A SQLite ledger of the first schema with two events of an open run."""
    path = tmp_path / "old" / "ledger.db"
    book = Book(SqlEventStore(f"sqlite:///{path}"), SystemClock())
    book.append("run-1", [drafts.created(), drafts.planned()])
    book.close()
    rows = SqlEventStore(f"sqlite:///{path}")
    found = list(rows.rows())
    rows.close()
    path.unlink()
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA journal_mode=WAL")
        plain.executescript(FIRST)
        marks = ",".join("?" * len(vars(found[0])))
        plain.executemany(f"INSERT INTO ledger_events VALUES ({marks})", [tuple(vars(row).values()) for row in found])
    plain.close()
    return path


def shape(url):
    """Tables, columns, indexes and triggers of a database."""
    engine = open_engine(url)
    with engine.connect() as connection:
        looked = sa.inspect(connection)
        found = {
            table: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in looked.get_columns(table)],
                looked.get_pk_constraint(table)["constrained_columns"],
                [(i["name"], i["column_names"]) for i in looked.get_indexes(table)],
                looked.get_table_options(table) if connection.dialect.name == "mysql" else None,
            )
            for table in looked.get_table_names()
        }
        triggers = {
            "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
            "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
            "mysql": "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
        }[connection.dialect.name]
        found["triggers"] = sorted(connection.exec_driver_sql(triggers).scalars())
    engine.dispose()
    return found


def told(url, statement):
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def outdate(url):
    """Take a ledger back to the first schema, as Alembic knows it."""
    told(url, "UPDATE aurea_alembic_version SET version_num = '0001'")
    told(url, "CREATE TABLE ledger_meta (name VARCHAR(64) NOT NULL)")


def test_the_revisions_are_those_that_this_version_knows():
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == tables.REVISIONS


@every
def test_a_ledger_made_at_once_is_like_one_brought_there_by_all_revisions(url):
    SqlEventStore(url).close()
    made = shape(url)
    assert {"ledger_events_no_delete", "ledger_events_no_update"} <= set(made["triggers"])
    engine = open_engine(url)
    with engine.begin() as connection:
        tables.metadata.drop_all(connection)
        tables.version.create(connection)
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
    assert shape(url) == made


def test_a_file_of_the_first_schema_is_copied_and_migrated_and_its_runs_go_on(old, tmp_path, caplog):
    before = old.read_bytes()
    with caplog.at_level(logging.WARNING, "aurea"):
        book = Book(SqlEventStore(f"sqlite:///{old}"), SystemClock())
    copy = old.with_name("ledger.db.schema-0001")
    assert [str(copy) in message for message in caplog.messages] == [True]
    with sqlite3.connect(copy) as plain:
        assert plain.execute("SELECT value FROM ledger_meta").fetchall() == [("1",)]
        assert plain.execute("SELECT count(*) FROM ledger_events").fetchall() == [(2,)]
    plain.close()
    assert len(before) == copy.stat().st_size
    book.append("run-1", [drafts.asked(1)])
    assert book.state("run-1").last_seq == 3
    book.close()
    store = SqlEventStore(f"sqlite:///{old}")
    assert verify(store, tmp_path).problems == ()
    store.close()
    assert sorted(path.name for path in old.parent.iterdir()) == ["ledger.db", "ledger.db.schema-0001"]
    SqlEventStore(f"sqlite:///{tmp_path}/new.db").close()
    assert shape(f"sqlite:///{old}") == shape(f"sqlite:///{tmp_path}/new.db")


def test_of_many_processes_that_find_an_old_file_one_migrates_it(old):
    stores, threads = [], []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: stores.append(SqlEventStore(f"sqlite:///{old}"))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert [len(list(store.rows())) for store in stores] == [2, 2, 2, 2]
    for store in stores:
        store.close()
    assert len(list(old.parent.glob("*.schema-*"))) == 1


def test_a_file_that_cannot_be_copied_is_left_as_it_was(old, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrate.shutil, "copymode", full)
    with pytest.raises(Blocked, match="could not be copied"):
        SqlEventStore(f"sqlite:///{old}")
    monkeypatch.undo()
    assert look(f"sqlite:///{old}").schema == "0001"
    assert [path.name for path in old.parent.iterdir()] == ["ledger.db"]
    SqlEventStore(f"sqlite:///{old}").close()


def test_an_older_copy_is_kept(old):
    old.with_name("ledger.db.schema-0001").write_text("of last year")
    assert migrate.migrate(f"sqlite:///{old}").copy == old.with_name("ledger.db.schema-0001-2")
    assert old.with_name("ledger.db.schema-0001").read_text() == "of last year"


@shared
def test_a_shared_ledger_is_migrated_only_when_asked(url):
    assert migrate.migrate(url).before is None
    outdate(url)
    with pytest.raises(UsageError, match="schema 0001") as caught:
        SqlEventStore(url)
    assert "aurea migrate" in caught.value.remedy
    assert not look(url).current
    done = migrate.migrate(url)
    assert (done.before, done.after, done.copy) == ("0001", tables.HEAD, None)
    assert migrate.migrate(url).before == tables.HEAD
    SqlEventStore(url).close()
    assert "ledger_meta" not in shape(url)


@every
def test_a_ledger_migrated_by_a_newer_version_is_refused_even_in_the_middle(url):
    book = Book(SqlEventStore(url), SystemClock())
    book.append("run-1", [drafts.created()])
    told(url, "UPDATE aurea_alembic_version SET version_num = '0099'")
    with pytest.raises(UsageError, match="0099"):
        book.append("run-1", [drafts.planned()])
    book.close()
    for refused in (SqlEventStore, migrate.migrate, look):
        with pytest.raises(UsageError, match="0099") as caught:
            refused(url)
        assert "older program refuses a newer ledger" in caught.value.remedy


@shared
def test_many_that_open_an_empty_database_make_one_ledger(url):
    stores, threads = [], []
    for _ in range(5):
        threads.append(threading.Thread(target=lambda: stores.append(SqlEventStore(url))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(stores) == 5
    for store in stores:
        store.close()
    assert look(url).schema == tables.HEAD


@shared
def test_one_who_looks_while_a_ledger_is_made_takes_it_for_no_older_one(url):
    maker, looker, seen = open_engine(url), open_engine(url), []

    def look_meanwhile(*_):
        with looker.connect() as connection:
            seen.append(schema.found_in(connection))

    sa.event.listen(maker, "after_cursor_execute", look_meanwhile)
    schema.create(maker)
    assert len(seen) > 5 and set(seen) <= {None, tables.HEAD}
    maker.dispose()

    told(url, f"DROP TABLE {', '.join(tables.metadata.tables)}")
    sa.event.listen(looker, "after_cursor_execute", lambda *_: schema.create(maker), once=True)
    with looker.connect() as connection:
        assert schema.found_in(connection) in (None, tables.HEAD), "made between two of its looks"
    for engine in (maker, looker):
        engine.dispose()


@shared
def test_rows_of_a_server_resist_accidents(url):
    book = Book(SqlEventStore(url), SystemClock())
    book.append("run-1", [drafts.created()])
    book.close()
    for accident in ("UPDATE ledger_events SET actor = 'x'", "DELETE FROM ledger_events"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            told(url, accident)


@shared
def test_an_edited_row_is_found(url, tmp_path):
    book = Book(SqlEventStore(url), SystemClock())
    book.append("run-1", [drafts.created(), drafts.planned(), drafts.asked(1)])
    book.close()
    engine = open_engine(url)
    off = "DROP TRIGGER ledger_events_no_update" + (
        " ON ledger_events" if dialect_of(engine).name == "postgresql" else ""
    )
    engine.dispose()
    told(url, off)
    told(url, "UPDATE ledger_events SET actor = 'nobody' WHERE seq = 2")
    store = SqlEventStore(url)
    found = verify(store, tmp_path)
    store.close()
    assert (found.ok, found.first_bad) == (False, 2)


@shared
def test_one_who_holds_the_ledger_too_long_does_not_stop_the_others_for_ever(url):
    first, second = SqlEventStore(url), SqlEventStore(url)
    name = second._engine.dialect.name
    statement = "SET lock_timeout = '200ms'" if name == "postgresql" else "SET SESSION innodb_lock_wait_timeout = 1"
    with second._engine.connect() as connection:
        connection.exec_driver_sql(statement)
        connection.commit()
    with first.transaction(), pytest.raises(Transient, match=r"(?i)lock"), second.transaction():
        pass
    with second.transaction() as transaction:
        assert transaction.head() == (0, "")
    first.close()
    second.close()


def test_a_usual_command_does_not_load_alembic_nor_a_driver_it_does_not_need(tmp_path):
    program = (
        "import sys; from aurea.adapters.sql import SqlEventStore\n"
        f"for _ in range(2): SqlEventStore('sqlite:///{tmp_path}/ledger.db').close()\n"
        "print([name for name in ('alembic', 'psycopg', 'pymysql') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_driver_that_is_not_there_is_named(monkeypatch):
    for url, module, extra in (
        ("postgres://h/aurea", "psycopg", "postgresql"),
        ("mariadb://h/aurea", "pymysql", "mysql"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError, match=module) as caught:
            SqlEventStore(url)
        assert caught.value.remedy == f"pip install 'aurea[{extra}]'"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:geheim@127.0.0.1:1/aurea?password=geheim",
        "mysql://ada:geheim@127.0.0.1:1/aurea?ssl_key=geheim",
        "postgresql+asyncpg://ada:geheim@h/aurea",
        "postgresql://ada:geheim@h:geheim/aurea",
        "mysql://ada:geheim@h",
        "ada:geheim@h/aurea",
        "oracle://ada:geheim@h/aurea",
    ],
)
def test_no_message_holds_a_secret(url):
    with pytest.raises((Permanent, Transient)) as caught:
        SqlEventStore(url)
    assert "geheim" not in str(caught.value)
    if ":1/" in url:
        assert "geheim" not in shown(sa.make_url(url))
        assert "127.0.0.1" in str(caught.value)
