"""The first schema: events, the texts they refer to, and the number of the schema in a table of its own."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from aurea.adapters.sql.dialects import dialect_of

revision = "0001"
down_revision = None

_LONG = 2**32 - 1
_EXACT: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "if_not_exists": True,
}


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ledger_events",
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
        **_EXACT,
    )
    op.create_index("ledger_events_run", "ledger_events", ["run", "seq"], if_not_exists=True)
    text = sa.Text().with_variant(sa.LargeBinary(), "postgresql").with_variant(sa.LargeBinary(_LONG), "mysql")
    op.create_table(
        "ledger_bodies",
        sa.Column("digest", sa.String(80), primary_key=True),
        sa.Column("text", text, nullable=False),
        **_EXACT,
    )
    op.create_table(
        "ledger_meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(255), nullable=False),
        **_EXACT,
    )
    for statement in dialect_of(op.get_bind()).append_only:
        op.execute(statement)
