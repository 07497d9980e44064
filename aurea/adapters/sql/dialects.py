"""What differs between the databases: how each is reached, what every connection is told, how one process is alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError

from aurea.domain.errors import Blocked, Transient, UsageError

LOCK_WAIT_S = 60
_CONNECT_S = 10
_ANSWER_S = 90  # longer than any lock is waited for; a long migration may have `?read_timeout=` in the URL
_OPEN_TRIES = 50
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REFUSED = "the ledger is append-only"


@dataclass(frozen=True)
class Dialect:
    """One kind of database. `start` says how its server is started, where it has one that may be down."""

    name: str
    title: str
    driver: str
    extra: str = ""
    start: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    session: str = ""
    port: int | None = None
    alone: tuple[str, str] = ("", "")
    append_only: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether other users and machines may have this database open."""
        return bool(self.extra)


SQLITE = Dialect(
    name="sqlite",
    title="SQLite",
    driver="pysqlite",
    arguments=MappingProxyType({"timeout": LOCK_WAIT_S, "check_same_thread": False}),
    append_only=tuple(
        f"CREATE TRIGGER IF NOT EXISTS ledger_events_no_{verb.lower()} BEFORE {verb} ON ledger_events "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        for verb in ("UPDATE", "DELETE")
    ),
)

POSTGRESQL = Dialect(
    name="postgresql",
    title="PostgreSQL",
    driver="psycopg",
    extra="postgresql",
    port=5432,
    start="`systemctl start postgresql`, or `docker start` its container",
    arguments=MappingProxyType(
        {
            "connect_timeout": _CONNECT_S, "client_encoding": "utf8", "application_name": "aurea",
            "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000,
        }
    ),
    # A process that hangs in the middle of a write (a sleeping laptop) must not keep all others from writing.
    session="SELECT set_config('lock_timeout', '60s', false), "
    "set_config('idle_in_transaction_session_timeout', '60s', false), "
    "set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)",
    alone=("SELECT pg_advisory_lock(4702394921427289928)", "SELECT pg_advisory_unlock(4702394921427289928)"),
    append_only=(
        "CREATE OR REPLACE FUNCTION ledger_events_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
        *(
            f"CREATE OR REPLACE TRIGGER ledger_events_no_{verb.lower()} BEFORE {verb} ON ledger_events "
            f"FOR EACH {'STATEMENT' if verb == 'TRUNCATE' else 'ROW'} EXECUTE FUNCTION ledger_events_append_only()"
            for verb in ("UPDATE", "DELETE", "TRUNCATE")
        ),
    ),
)  # fmt: skip

MYSQL = Dialect(
    name="mysql",
    title="MySQL or MariaDB",
    driver="pymysql",
    extra="mysql",
    port=3306,
    start="`systemctl start mariadb` or `systemctl start mysql`, or `docker start` its container",
    arguments=MappingProxyType(
        {
            "connect_timeout": _CONNECT_S, "read_timeout": _ANSWER_S, "write_timeout": _ANSWER_S,
            "charset": "utf8mb4", "program_name": "aurea",
        }
    ),
    # Without a strict mode a text that is too long would be cut in silence. MySQL skips what only MariaDB knows.
    session="SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), "
    f"innodb_lock_wait_timeout = {LOCK_WAIT_S} /*M!, idle_transaction_timeout = {LOCK_WAIT_S} */",
    alone=(
        f"SELECT GET_LOCK(CONCAT('aurea:', SHA1(DATABASE())), {LOCK_WAIT_S})",
        "SELECT RELEASE_LOCK(CONCAT('aurea:', SHA1(DATABASE())))",
    ),
    append_only=tuple(
        f"CREATE TRIGGER IF NOT EXISTS ledger_events_no_{verb.lower()} BEFORE {verb} ON ledger_events "
        f"FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{_REFUSED}'"
        for verb in ("UPDATE", "DELETE")
    ),
)  # fmt: skip

_BY_SCHEME = {
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "postgres": POSTGRESQL,
    "mysql": MYSQL,
    "mariadb": MYSQL,
}
_BY_NAME = {dialect.name: dialect for dialect in _BY_SCHEME.values()}
_EXAMPLES = "AUREA_LEDGER_URL is like sqlite:////home/me/ledger.db, postgresql://me@host/aurea or mysql://me@host/aurea"


def dialect_of(bound: sa.Engine | sa.Connection) -> Dialect:
    """The kind of database behind an engine or a connection."""
    return _BY_NAME[bound.dialect.name]


def open_engine(text: str) -> sa.Engine:
    """An engine for the ledger at an SQLAlchemy URL; nothing is connected yet, a SQLite file's folder is made.

    `UsageError` for a URL that cannot be used and for a driver that is not installed. No message holds a password.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):  # their messages may quote a password that was not escaped
        raise UsageError("the URL of the ledger cannot be read", remedy=_EXAMPLES) from None
    scheme, _, driver = url.drivername.partition("+")
    dialect = _BY_SCHEME.get(scheme)
    if dialect is None:
        raise UsageError(f"a ledger cannot be kept in {scheme!r}", remedy=_EXAMPLES)
    if driver not in ("", dialect.driver):
        remedy = f"write {dialect.name}+{dialect.driver}://…"
        raise UsageError(f"the ledger is not reached through {driver!r} but {dialect.driver!r}", remedy=remedy)
    if not url.database or url.database == ":memory:":
        if dialect is SQLITE:
            raise UsageError("a ledger in memory would prove nothing", remedy="name a file: sqlite:////home/me/x.db")
        raise UsageError("the URL of the ledger names no database", remedy=_EXAMPLES)
    url = url.set(drivername=f"{dialect.name}+{dialect.driver}")
    return _sqlite_engine(url) if dialect is SQLITE else _server_engine(url, dialect)


def _server_engine(url: sa.URL, dialect: Dialect) -> sa.Engine:
    arguments = {name: value for name, value in dialect.arguments.items() if name not in url.query}
    answer_s = url.query.get("read_timeout", _ANSWER_S)
    if dialect is POSTGRESQL:
        url = url.difference_update_query(["read_timeout"])  # a word of the other driver's
    try:
        engine = sa.create_engine(
            url, connect_args=arguments, pool_pre_ping=True, isolation_level="READ COMMITTED", hide_parameters=True
        )
    except ImportError as fault:
        raise UsageError(
            f"a ledger on {dialect.title} needs the driver {dialect.driver!r}, which cannot be loaded: {fault}",
            remedy=f"pip install 'aurea[{dialect.extra}]'",
        ) from fault

    if dialect is POSTGRESQL:
        _listen(engine, answer_s)

    @event.listens_for(engine, "connect")
    def tell(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(dialect.session)
        cursor.close()
        connection.commit()

    return engine


def _listen(engine: sa.Engine, answer_s: object) -> None:
    """Have connections to PostgreSQL given up whose server says nothing, as its driver can do for MySQL's."""
    from aurea.adapters.sql.silence import heard_within

    try:
        connection = heard_within(float(str(answer_s)))
    except ValueError:
        raise UsageError(f"the ledger's read_timeout={answer_s!r} is no number of seconds", remedy=_EXAMPLES) from None

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, words: list[Any], named: dict[str, Any]) -> Any:
        return connection.connect(*words, **named)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    try:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise Blocked(f"the folder of the ledger {url.database!r} cannot be made: {fault.strerror}") from fault
    engine = sa.create_engine(url, connect_args=dict(SQLITE.arguments))
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: object) -> None:
    """Set up a new SQLite connection; Python's own guesses at where transactions begin are switched off."""
    connection.isolation_level = None
    for left in range(_OPEN_TRIES, -1, -1):
        try:
            # The first of all connections changes the file; SQLite does not wait for a lock there, so we do.
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except connection.OperationalError as fault:
            if fault.sqlite_errorname != "SQLITE_BUSY" or not left:
                raise
            time.sleep(0.05)
    connection.execute("PRAGMA synchronous=FULL")


def _on_begin(connection: sa.Connection) -> None:
    # A transaction that begins as a reader and turns writer fails at once when another one writes.
    writes = connection.get_execution_options().get("aurea_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a write transaction: committed when the block ends well, else rolled back."""
    with engine.connect() as plain, plain.execution_options(aurea_writes=True) as connection, connection.begin():
        yield connection


@contextmanager
def alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """`writing`, while no other process creates or migrates this ledger; `Transient` while one does so for long."""
    enter, leave = dialect_of(engine).alone
    if not enter:
        with writing(engine) as connection:
            yield connection
        return
    # The lock is another connection's, so that it is let go after the commit, and by itself should this process die.
    with engine.connect() as keeper:
        if keeper.exec_driver_sql(enter).scalar() == 0:
            raise Transient(
                f"another process makes or migrates the ledger {shown(engine.url)}", remedy="try again later"
            )
        keeper.commit()
        try:
            with writing(engine) as connection:
                yield connection
        finally:
            keeper.exec_driver_sql(leave)


def shown(url: sa.URL) -> str:
    """Where a ledger is, in words fit for messages: no password, and none of the options, which may hold one."""
    if url.get_backend_name() == "sqlite":
        return repr(url.database)
    place = sa.URL.create(url.get_backend_name(), url.username, None, url.host, url.port, url.database)
    return place.render_as_string()


def place_of(text: str, home: Path) -> str:
    """Where the ledger at an SQLAlchemy URL is: a file in `home` relative to it, and no user, password or option.

    So one ledger has one place, however its home was moved and whoever looks at it; other names of a host aside.
    """
    url = sa.make_url(text)
    dialect = _BY_SCHEME[url.get_backend_name()]
    if dialect is SQLITE:
        # As they are spelt: a link that somebody puts in the file's stead does not make it another one.
        file, root = Path(str(url.database)).absolute(), home.absolute()
        return f"sqlite:///{file.relative_to(root) if file.is_relative_to(root) else file}"
    port = f":{url.port}" if url.port not in (None, dialect.port) else ""
    host = (url.host or "localhost").lower()
    return f"{dialect.name}://{'localhost' if host in _LOOPBACK else host}{port}/{url.database}"
