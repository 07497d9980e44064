"""Block `aurea-ledger`: the database that remembers what deployed runs did."""

from __future__ import annotations

from pydantic import Field, SecretStr

from blocks.kept import Kept


class AureaLedger(Kept):
    """The database of the ledger."""

    _block_type_name = "Aurea ledger"
    _block_type_slug = "aurea-ledger"
    _description = "The database in which deployed runs of Aurea are recorded."

    url: SecretStr = Field(
        title="Database URL",
        description="As SQLAlchemy has it, for example postgresql://USER:PASSWORD@HOST/aurea",
    )

    def variables(self) -> dict[str, str]:
        """The URL."""
        return {"AUREA_LEDGER_URL": self.url.get_secret_value()}
