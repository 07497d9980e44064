"""Block `aurea-provider`: a model provider with its key, kept on the Prefect server, as the settings that the core reads."""

from __future__ import annotations

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound
from pydantic import Field, SecretStr, field_validator

from aurea.domain.errors import UsageError
from aurea.settings import VENDORS


class AureaProvider(Block):
    """A provider and model for deployed runs. Stands behind flags, spec, `aurea.yaml` and environment."""

    _block_type_name = "Aurea provider"
    _block_type_slug = "aurea-provider"

    provider: str = Field(description="openai, or another provider that `aurea doctor` lists")
    model: str | None = Field(default=None, description="absent: the provider's default model")
    key: SecretStr | None = Field(default=None, description="its API key; local servers need none")
    base_url: str | None = Field(
        default=None, description="where a compatible server answers; absent: the vendor's own"
    )

    @field_validator("provider")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in VENDORS:
            raise ValueError(f"unknown provider; known are {', '.join(VENDORS)}")
        return value

    def offer(self) -> dict[str, str]:
        """`provider` and, where it is named, `model`: what the block says beside a spec."""
        return {"provider": self.provider} | ({"model": self.model} if self.model else {})

    def variables(self) -> dict[str, str]:
        """Key and address under the vendor's own names; `UsageError` where the provider has no name for one of them."""
        named, address = VENDORS[self.provider]
        found = {}
        if self.base_url:
            if address is None:
                raise UsageError(f"block aurea-provider: {self.provider} takes no base_url")
            found[address] = self.base_url
        if self.key:
            if named == address:
                raise UsageError(f"block aurea-provider: {self.provider} takes no key, only base_url")
            found[named] = self.key.get_secret_value()
        return found


async def stored_provider(name: str = "default") -> AureaProvider | None:
    """The block `aurea-provider/<name>` of the server, or None where nobody has saved one."""
    try:
        return await AureaProvider.aload(name)
    except ValueError as fault:
        if isinstance(fault.__cause__, ObjectNotFound):
            return None
        raise
