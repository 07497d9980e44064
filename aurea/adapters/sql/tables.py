"""The tables of the ledger, the same on every database, and the schema number that this version knows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

# The revisions of `migrations/versions`, oldest first: what this version can migrate from, and what it works with.
REVISIONS = ("0001", "0002")
HEAD = REVISIONS[-1]
VERSION_TABLE = "aurea_alembic_version"

# MySQL chooses the type that holds so many bytes. There, texts compare as they are spelt, as they do elsewhere.
_LONG = 2**32 - 1
_EXACT: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


class AnyText(sa.types.TypeDecorator[str]):
    """Text of any length with any character, NUL and lone surrogates included, which models and commands do print.

    PostgreSQL's own text type refuses NUL, and all of them refuse lone surrogates; so the bytes are kept. In SQLite,
    where one column may hold both, that is done for the few texts which need it.
    """

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """How the column is declared."""
        if dialect.name == "sqlite":
            return sa.Text()
        return sa.LargeBinary(_LONG if dialect.name == "mysql" else None)

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        try:
            data = value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
        return value if dialect.name == "sqlite" else data

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        """From the database. Bytes that were never text become a text that fits no digest."""
        if value is None or isinstance(value, str):
            return value
        try:
            return bytes(value).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return bytes(value).decode("utf-8", "surrogateescape")


metadata = sa.MetaData()

# The columns stand in the order of the fields of `Row`.
events = sa.Table(
    "ledger_events",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("run", sa.String(64), nullable=False),
    sa.Column("item", sa.String(64)),
    sa.Column("attempt", sa.Integer),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("payload", sa.Text().with_variant(sa.Text(_LONG), "mysql")),
    sa.Column("salt", sa.String(32), nullable=False),
    sa.Column("payload_hash", sa.String(64), nullable=False),
    sa.Column("ts", sa.String(32), nullable=False),
    sa.Column("prev_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("ledger_events_run", "run", "seq"),
    **_EXACT,
)
bodies = sa.Table(
    "ledger_bodies",
    metadata,
    sa.Column("digest", sa.String(80), primary_key=True),
    sa.Column("text", AnyText, nullable=False),
    **_EXACT,
)
# One row. Whoever writes to the ledger locks it first: so there is one writer at a time, and never an outdated one.
version = sa.Table(
    VERSION_TABLE,
    metadata,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
    **_EXACT,
)
