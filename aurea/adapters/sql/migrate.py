"""Bringing a ledger to the schema of this version: a SQLite file is copied first, a shared database only when asked."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from aurea.adapters.sql import schema
from aurea.adapters.sql.dialects import alone, dialect_of, open_engine, shown
from aurea.adapters.sql.faults import typed
from aurea.adapters.sql.tables import HEAD, version
from aurea.domain.errors import AureaError, Blocked


@dataclass(frozen=True)
class Migration:
    """What was done: from schema `before` (None: there was no ledger) to `after`; `copy` is the ledger as it was."""

    ledger: str
    before: str | None
    after: str
    copy: Path | None = None

    def __str__(self) -> str:
        if self.before is None:
            return f"the ledger {self.ledger} was made, with schema {self.after}"
        if self.before == self.after:
            return f"the ledger {self.ledger} has schema {self.after}: there is nothing to do"
        kept = f"; as it was it is kept in {self.copy}" if self.copy else ""
        return f"the ledger {self.ledger} was migrated from schema {self.before} to {self.after}{kept}"


def migrate(url: str) -> Migration:
    """Make or migrate the ledger at an SQLAlchemy URL, as `aurea migrate` does. Errors as those of `SqlEventStore`."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            before = schema.found_in(connection)
        if before is None:
            schema.create(engine)
        elif before != HEAD:
            return upgrade(engine)
        return Migration(shown(engine.url), before, HEAD)
    except DBAPIError as fault:
        raise typed(fault, engine, f"the ledger {shown(engine.url)} could not be migrated") from fault
    finally:
        engine.dispose()


def upgrade(engine: sa.Engine) -> Migration:
    """Migrate an older ledger. All of it or, but for MySQL, nothing; other processes wait, or refuse it afterwards."""
    from alembic import command
    from alembic.config import Config

    with alone(engine) as connection:
        before = schema.found_in(connection)
        if before is None or before == HEAD:  # another process was faster
            return Migration(shown(engine.url), before, HEAD)
        schema.require_known(before, engine.url)
        kept = None if dialect_of(engine).shared else _copy(connection, before)
        version.create(connection, checkfirst=True)
        # Locked, so that whoever is about to write waits, and then sees that the schema is no longer the one it knows.
        if connection.scalar(sa.select(version.c.version_num).with_for_update()) is None:
            connection.execute(sa.insert(version), {"version_num": before})
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return Migration(shown(engine.url), before, HEAD, kept)


def _copy(connection: sa.Connection, before: str) -> Path:
    """Copy a SQLite ledger beside itself while its write lock is held; whole and on disk when this returns."""
    file = Path(connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar_one())
    names = (file.with_name(f"{file.name}.schema-{before}" + (f"-{n}" if n > 1 else "")) for n in count(1))
    place = next(name for name in names if not name.exists())
    half = place.with_name(place.name + ".half")
    try:
        half.unlink(missing_ok=True)
        # Read by a connection of its own: SQLite waits for ever for the end of a write transaction of the same one.
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(half)) as target:
            source.backup(target)
        shutil.copymode(file, half)
        with half.open("rb") as written:
            os.fsync(written.fileno())
        half.replace(place)
    except (OSError, sqlite3.Error) as fault:
        half.unlink(missing_ok=True)
        raise _not_copied(place, fault) from fault
    return place


def _not_copied(place: Path, fault: Exception) -> AureaError:
    return Blocked(
        f"the ledger has to be migrated, and could not be copied to {str(place)!r} before: {fault}",
        remedy="free space on its disk, or check the permissions of its folder; the ledger is as it was",
    )
