"""Which schema a ledger has: found with plain SQL, made where there is none, refused where it does not fit."""

from __future__ import annotations

import sqlalchemy as sa

from aurea.adapters.sql.dialects import alone, dialect_of, shown
from aurea.adapters.sql.tables import HEAD, REVISIONS, events, metadata, version
from aurea.domain.errors import UsageError

_row = sa.select(version.c.version_num)
_locked = _row.with_for_update()


def found_in(connection: sa.Connection) -> str | None:
    """The schema of the ledger in this database; None where there is none, or only the half of one."""
    # Looked for first: of a ledger that is being made meanwhile, the events are there no earlier than the version.
    there = sa.inspect(connection).has_table(events.name)
    if sa.inspect(connection).has_table(version.name):
        return connection.scalar(_row)
    # Ledgers had the first schema before they had a table that says so.
    return REVISIONS[0] if there else None


def require_known(found: str, url: sa.URL) -> None:
    """`UsageError` where a newer version of Aurea has written this schema."""
    if found not in REVISIONS:
        raise UsageError(
            f"the ledger {shown(url)} has the schema {found!r}; this version of Aurea knows {HEAD}",
            remedy="an older program refuses a newer ledger: use the version of Aurea that wrote it",
        )


def require_current(found: str | None, url: sa.URL) -> None:
    """`UsageError` unless the schema is the one that this version writes."""
    require_known(found or "", url)
    if found != HEAD:
        raise UsageError(
            f"the ledger {shown(url)} has the schema {found}; this version of Aurea writes {HEAD}",
            remedy="when no older version of Aurea is at work on it: `aurea migrate`",
        )


def lock(connection: sa.Connection) -> None:
    """Be the one writer until the transaction ends, in a ledger of the schema that this version writes."""
    require_current(connection.scalar(_locked), connection.engine.url)


def create(engine: sa.Engine) -> None:
    """Make the tables of an empty database, unless another process just did."""
    with alone(engine) as connection:
        if found_in(connection) is not None:
            return
        if (
            engine.dialect.name == "postgresql"
            and (kept := connection.scalar(sa.text("SHOW server_encoding"))) != "UTF8"
        ):
            raise UsageError(
                f"the database {shown(engine.url)} keeps texts in {kept}",
                remedy="make it with `createdb --encoding UTF8 --template template0 NAME`",
            )
        version.create(connection, checkfirst=True)
        metadata.create_all(connection)
        for statement in dialect_of(engine).append_only:
            connection.exec_driver_sql(statement)
        connection.execute(sa.insert(version), {"version_num": HEAD})
