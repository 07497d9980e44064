"""The number of the schema stands in Alembic's table only."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Drop the table that held it before."""
    op.drop_table("ledger_meta", if_exists=True)
