"""A look at a ledger that changes nothing, for `aurea doctor`: which database, does it answer, what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from aurea.adapters.sql import schema
from aurea.adapters.sql.dialects import SQLITE, dialect_of, open_engine, shown
from aurea.adapters.sql.faults import typed
from aurea.adapters.sql.tables import HEAD, events


@dataclass(frozen=True)
class Look:
    """What was seen. `where` holds no password; `schema` None: there is no ledger yet, the first run makes it."""

    database: str
    where: str
    shared: bool
    schema: str | None
    runs: int = 0
    head: int = 0

    @property
    def current(self) -> bool:
        """Whether commands can use it as it is."""
        return self.schema in (None, HEAD) or not self.shared


def look(url: str) -> Look:
    """Look at the ledger at an SQLAlchemy URL. Errors as those of `SqlEventStore`."""
    engine = open_engine(url)
    dialect = dialect_of(engine)
    try:
        if dialect is SQLITE and not Path(str(engine.url.database)).exists():
            return Look(dialect.title, shown(engine.url), dialect.shared, None)
        with engine.connect() as connection:
            seen = Look(_named(connection), shown(engine.url), dialect.shared, schema.found_in(connection))
            if seen.schema is None:
                return seen
            schema.require_known(seen.schema, engine.url)
            counted = sa.select(sa.func.count(events.c.run.distinct()), sa.func.max(events.c.seq))
            runs, head = connection.execute(counted).one()
            return Look(seen.database, seen.where, seen.shared, seen.schema, runs, head or 0)
    except DBAPIError as fault:
        raise typed(fault, engine, f"the ledger {shown(engine.url)} could not be read") from fault
    finally:
        engine.dispose()


def _named(connection: sa.Connection) -> str:
    """The database by name and version."""
    dialect = connection.dialect
    number = ".".join(map(str, dialect.server_version_info or ()))
    title = dialect_of(connection).title
    if dialect.name == "mysql":
        title = "MariaDB" if getattr(dialect, "is_mariadb", False) else "MySQL"
    return f"{title} {number}".strip()
