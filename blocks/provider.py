"""Block `aurea-provider`: a model provider with its key."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from aurea.domain.errors import UsageError
from aurea.domain.spec import ProviderLimits
from aurea.settings import VENDORS
from blocks.kept import Kept, Secret, Text, Whole


class AureaProvider(Kept):
    """Whose models a run asks, and with which key."""

    _block_type_name = "Aurea provider"
    _block_type_slug = "aurea-provider"
    _description = (
        "Whose models Aurea's runs ask, and with which key. Flags, spec, aurea.yaml and environment go first."
    )

    provider: Literal["openai", "anthropic", "google", "openrouter", "glm", "ollama", "mlx"] = Field(
        title="Provider", description="Whose models. The command aurea doctor says which answer."
    )
    model: Text = Field(default=None, title="Model", description="Empty: the provider's default model.")
    key: Secret = Field(default=None, title="API key", description="Local servers need none.")
    base_url: Text = Field(
        default=None, title="Address", description="Where a compatible server answers. Empty: the vendor's own."
    )
    requests_per_minute: Whole = Field(
        default=None, title="Requests a minute", description="Of all runs of a machine together. Empty: no limit."
    )
    tokens_per_minute: Whole = Field(
        default=None, title="Tokens a minute", description="Of all runs of a machine together. Empty: no limit."
    )
    concurrency: Whole = Field(
        default=None, title="Calls at once", description="Of all runs of a machine together. Empty: no limit."
    )

    def defaults(self) -> dict[str, Any]:
        """`provider` and, where they are given, `model` and `limits`."""
        limits = {name: getattr(self, name) for name in ProviderLimits.model_fields}
        limits = {name: value for name, value in limits.items() if value is not None}
        said = {"model": self.model} if self.model else {}
        return {"provider": self.provider, **said, **({"limits": {self.provider: limits}} if limits else {})}

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
