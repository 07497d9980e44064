"""Block `aurea-provider`: a model provider with its key."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr

from aurea.domain.errors import UsageError
from aurea.settings import VENDORS
from blocks.kept import Kept


class AureaProvider(Kept):
    """Whose models a run asks, and with which key."""

    _block_type_name = "Aurea provider"
    _block_type_slug = "aurea-provider"
    _description = (
        "Whose models Aurea's runs ask, and with which key. Flags, spec, aurea.yaml and environment go first."
    )

    provider: Literal["openai", "anthropic", "google", "openrouter", "glm", "ollama", "mlx"] = Field(
        title="Provider", description="`aurea doctor` says which of them work today"
    )
    model: str | None = Field(default=None, title="Model", description="empty: the provider's default model")
    key: SecretStr | None = Field(default=None, title="API key", description="local servers need none")
    base_url: str | None = Field(
        default=None, title="Address", description="where a compatible server answers; empty: the vendor's own"
    )

    def defaults(self) -> dict[str, Any]:
        """`provider` and, where it is named, `model`."""
        return {"provider": self.provider} | ({"model": self.model} if self.model else {})

    def variables(self) -> dict[str, str]:
        """Key and address under the vendor's own names; `UsageError` where the provider has no name for one of them."""
        named, address = VENDORS[self.provider]
        found = {}
        if self.base_url:
            if address is None:
                raise UsageError(f"block aurea-provider: {self.provider} takes no base_url")
            found[address] = self.base_url
        if self.key and self.key.get_secret_value():
            if named == address:
                raise UsageError(f"block aurea-provider: {self.provider} takes no key, only base_url")
            found[named] = self.key.get_secret_value()
        return found
