"""What a database complains of, in Aurea's terms: can trying again help, and if not, what can the reader do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from aurea.adapters.sql.dialects import dialect_of
from aurea.domain.errors import AureaError, Blocked, Permanent, Transient


@dataclass(frozen=True)
class _Kind:
    """A family of faults, and how each database names its members: SQLite by name, PostgreSQL by SQLSTATE, MySQL by number."""

    error: type[Transient | Permanent]
    remedy: str
    sqlite: tuple[str, ...] = ()
    postgresql: tuple[str, ...] = ()
    mysql: tuple[int, ...] = ()


_AWAY = _Kind(
    Transient,
    "start the database if it is down ({start}), or correct AUREA_LEDGER_URL; `aurea doctor` looks again",
    # Connections that cannot be made or were lost, a server that starts, stops, is full or only reads (a fail-over).
    postgresql=("08", "57P", "53300", "25006"),
    mysql=(0, 1040, 1053, 1290, 1792, 1836, 1927, 2002, 2003, 2006, 2013, 2055, 4031),
)
_KINDS = (
    _Kind(
        Transient,
        "another process holds the ledger; find it and wait or end it",
        sqlite=("SQLITE_BUSY", "SQLITE_LOCKED"),
        postgresql=("55P03", "40"),
        mysql=(1020, 1205, 1213),
    ),
    _Kind(
        Blocked,
        "free space on its disk, then `aurea resume`; what was acknowledged is safe",
        sqlite=("SQLITE_FULL", "SQLITE_IOERR"),
        postgresql=("53", "58030"),
        mysql=(3, 1021, 1026, 1114),
    ),
    _Kind(
        Blocked,
        "check the permissions of the file and of its folder",
        sqlite=("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"),
    ),
    _Kind(
        Blocked,
        "check the user, the password and the database in AUREA_LEDGER_URL, and what this user may do there",
        postgresql=("28", "3D", "42501"),
        mysql=(1044, 1045, 1049, 1142, 1227, 1698),
    ),
    _Kind(
        Blocked,
        "let the server's administrator set log_bin_trust_function_creators=1, or run `aurea migrate` as one",
        mysql=(1419,),
    ),
    _Kind(Blocked, "let the server's administrator raise max_allowed_packet", mysql=(1153,)),
    _Kind(
        Permanent,
        "the file is damaged or no ledger: move it away, or restore it from a backup",
        sqlite=("SQLITE_CORRUPT", "SQLITE_NOTADB"),
    ),
    _AWAY,
)


def typed(fault: DBAPIError, engine: sa.Engine, what: str) -> AureaError:
    """The fault of a database as one of Aurea's errors; `what` could not be done."""
    dialect = dialect_of(engine)
    message = f"{what}: {_said(fault, engine.url)}"
    kind = _kind(fault, dialect.name)
    if kind is not None:
        return kind.error(message, remedy=kind.remedy.format(start=dialect.start))
    if isinstance(fault, IntegrityError) and _name(fault) != "SQLITE_CONSTRAINT_TRIGGER":
        return Transient(message, remedy="another process wrote at the same moment; try again")
    return Permanent(message)


def _kind(fault: DBAPIError, dialect: str) -> _Kind | None:
    if dialect == "sqlite":
        name = _name(fault)
        return next((kind for kind in _KINDS if kind.sqlite and name.startswith(kind.sqlite)), None)
    if dialect == "postgresql":
        state = getattr(fault.orig, "sqlstate", None) or ""
        found = next((kind for kind in _KINDS if kind.postgresql and state.startswith(kind.postgresql)), None)
    else:
        number = _number(fault)
        found = next((kind for kind in _KINDS if number in kind.mysql), None)
    # Drivers number no fault of which the server did not tell them.
    gone = fault.connection_invalidated or (dialect == "postgresql" and not state and "Operational" in _name(fault))
    return _AWAY if found is None and gone else found


def _name(fault: DBAPIError) -> str:
    return getattr(fault.orig, "sqlite_errorname", None) or type(fault.orig).__name__


def _number(fault: DBAPIError) -> int | None:
    arguments: tuple[Any, ...] = getattr(fault.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _said(fault: DBAPIError, url: sa.URL) -> str:
    """The driver's own words on one line, without the password."""
    arguments: tuple[Any, ...] = getattr(fault.orig, "args", ())
    text = " ".join(str(arguments[1] if _number(fault) is not None and len(arguments) > 1 else fault.orig).split())
    password = str(url.password or "")
    return text.replace(password, "***") if password else text
