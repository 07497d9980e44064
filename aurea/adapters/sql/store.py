"""The ledger in an SQL database: one append-only table of events, and the texts that they refer to."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from aurea.adapters.sql import schema, tables
from aurea.adapters.sql.dialects import dialect_of, open_engine, shown, writing
from aurea.adapters.sql.faults import typed
from aurea.ports import Row

_PAGE = 1000
_log = logging.getLogger(__name__)

_insert_event = sa.insert(tables.events)
_insert_body = sa.insert(tables.bodies)
_first = sa.select(tables.events.c.hash).order_by(tables.events.c.seq).limit(1)
_in_order = sa.select(tables.events).order_by(tables.events.c.seq)
_head = sa.select(tables.events.c.seq, tables.events.c.hash).order_by(tables.events.c.seq.desc()).limit(1)


class SqlEventStore:
    """An event store at an SQLAlchemy URL. Thread-safe; several processes may have one database open.

    What is acknowledged is on disk, and there is one writer at a time, for whom the others wait a minute. A SQLite file
    is made with its folders where there is none, and migrated where an older version made it, after a copy. The tables
    are made in an empty database; a shared one is never migrated here. `UsageError` for a URL or a ledger that cannot
    be used as it is; `Transient`, `Blocked` or `Permanent` with a remedy for what the database says.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        try:
            with self._explained("opened"):
                self._prepare()
        except BaseException:
            self._engine.dispose()
            raise

    def transaction(self) -> AbstractContextManager[_Transaction]:
        """A write transaction; committed and durable when the block ends well, rolled back otherwise."""
        return self._transaction()

    def rows(self, run: str | None = None, after: int = 0) -> Iterator[Row]:
        """Rows in order, of one run or of all. Read page by page, so that a slow reader holds nothing open."""
        query = sa.select(tables.events).order_by(tables.events.c.seq).limit(_PAGE)
        if run is not None:
            query = query.where(tables.events.c.run == run)
        while True:
            with self._reading() as connection:
                page = [Row(*found) for found in connection.execute(query.where(tables.events.c.seq > after))]
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].seq

    def rows_of(self, types: Collection[str], since: str, after: int) -> list[Row]:
        """Rows of these types of all runs that were recorded at `since` or later and stand behind `after`, in order."""
        column = tables.events.c
        wanted = (column.seq > after, column.ts >= since, column.type.in_(tuple(types)))
        with self._reading() as connection:
            return [Row(*found) for found in connection.execute(_in_order.where(*wanted))]

    def bodies(self) -> Iterator[tuple[str, str]]:
        """All texts with their digests, in the order of the digests."""
        query = (
            sa.select(tables.bodies.c.digest, tables.bodies.c.text).order_by(tables.bodies.c.digest).limit(_PAGE // 10)
        )
        after = ""
        while True:
            with self._reading() as connection:
                page = [(name, text) for name, text in connection.execute(query.where(tables.bodies.c.digest > after))]
            yield from page
            if len(page) < _PAGE // 10:
                return
            after = page[-1][0]

    def first(self) -> str:
        """The hash of the first row, which no other ledger has; empty in an empty one."""
        with self._reading() as connection:
            return connection.scalar(_first) or ""

    def runs(self) -> list[str]:
        """Ids of all runs, newest first."""
        first = sa.func.min(tables.events.c.seq)
        with self._reading() as connection:
            return list(
                connection.scalars(sa.select(tables.events.c.run).group_by(tables.events.c.run).order_by(first.desc()))
            )

    def body(self, digest: str) -> str | None:
        """The text kept under `digest`, or None."""
        with self._reading() as connection:
            return connection.scalar(sa.select(tables.bodies.c.text).where(tables.bodies.c.digest == digest))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[_Transaction]:
        with self._explained("written"), writing(self._engine) as connection:
            schema.lock(connection)
            yield _Transaction(connection)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._explained("read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as fault:
            raise typed(fault, self._engine, f"the ledger {shown(self._engine.url)} could not be {doing}") from fault

    def _prepare(self) -> None:
        """Make the tables where there are none, bring a file up to date, and refuse what does not fit."""
        with self._engine.connect() as connection:
            found = schema.found_in(connection)
        if found is None:
            schema.create(self._engine)
        elif dialect_of(self._engine).shared:
            schema.require_current(found, self._engine.url)
        elif found != tables.HEAD:
            from aurea.adapters.sql.migrate import upgrade

            done = upgrade(self._engine)
            if done.before != done.after:  # else another process was faster
                _log.warning("%s", done)


class _Transaction:
    """A write transaction on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last row; `(0, "")` in an empty ledger."""
        found = self._connection.execute(_head).one_or_none()
        return (found.seq, found.hash) if found else (0, "")

    def rows_after(self, seq: int, runs: Sequence[str]) -> list[Row]:
        """Rows of these runs behind `seq`, in order."""
        query = (
            sa.select(tables.events)
            .where(tables.events.c.seq > seq, tables.events.c.run.in_(runs))
            .order_by(tables.events.c.seq)
        )
        return [Row(*found) for found in self._connection.execute(query)]

    def insert(self, rows: Sequence[Row], bodies: Mapping[str, str]) -> None:
        """Add rows and the texts they refer to by digest (a text that is there already is left)."""
        names = sorted(bodies)
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            there = set(
                self._connection.scalars(sa.select(tables.bodies.c.digest).where(tables.bodies.c.digest.in_(page)))
            )
            missing = [{"digest": name, "text": bodies[name]} for name in page if name not in there]
            if missing:
                self._connection.execute(_insert_body, missing)
        if rows:
            # A row's own dictionary is exactly its columns; `dataclasses.asdict` would cost ten times as much.
            self._connection.execute(_insert_event, [vars(row) for row in rows])
