"""Block `aurea-policy`: limits and approvals for all specs that do not say otherwise."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from blocks.kept import Kept


class AureaPolicy(Kept):
    """Defaults of a spec. What a value may be is the spec's to say; one that it cannot be is refused with its name."""

    _block_type_name = "Aurea policy"
    _block_type_slug = "aurea-policy"
    _description = "Limits and approvals for all runs of Aurea whose spec does not say otherwise."

    budget_usd: float | Literal["none"] | None = Field(
        default=None, title="Budget in USD", description="a hard stop; `none`: no limit. Empty: 5"
    )
    approvals: list[Literal["plan", "land"]] | None = Field(
        default=None,
        title="Approvals",
        description="ask a person before work begins (plan), before an attempt lands (land). Empty: neither",
    )
    answer_within_s: float | None = Field(
        default=None,
        title="Seconds for an answer",
        description="after which the default that a question states applies. Empty: for ever",
    )
    concurrency: int | None = Field(default=None, title="Items at work at once", description="1 to 256. Empty: 4")
    max_attempts: int | None = Field(default=None, title="Attempts at one item", description="in all. Empty: 5")
    review_loops: int | None = Field(
        default=None, title="Returns by reviews", description="how many attempts reviews alone may send back. Empty: 3"
    )
    timeout_s: float | None = Field(
        default=None, title="Seconds of a conversation", description="its model calls and tools. Empty: 900"
    )
    run_timeout_s: float | None = Field(default=None, title="Seconds of a whole run", description="Empty: no limit")

    def defaults(self) -> dict[str, Any]:
        """What is said."""
        said = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in said.items() if value is not None}
