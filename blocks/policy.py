"""Block `aurea-policy`: limits and approvals for all specs that do not say otherwise."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from blocks.kept import BLANK, Kept, Number, Whole


class AureaPolicy(Kept):
    """Defaults of a spec. What a value may be is the spec's to say; one that it cannot be is refused with its name."""

    _block_type_name = "Aurea policy"
    _block_type_slug = "aurea-policy"
    _description = "Limits and approvals for all runs of Aurea whose spec does not say otherwise."

    budget_usd: Annotated[float | Literal["none"] | None, BLANK, WithJsonSchema({"type": "string"})] = Field(
        default=None, title="Budget in USD", description="A hard stop for each run; the word none: no limit. Empty: 5."
    )
    budgets: dict[str, Any] = Field(
        default={},
        title="More budgets",
        description='As in a spec: {"item_usd": 1, "day_usd": 20, "roles": {"coder": 2}}. Empty: none.',
    )
    approvals: list[Literal["plan", "land"]] = Field(
        default=[],
        title="Approvals",
        description="Ask a person before work begins (plan), before an attempt lands (land).",
    )
    answer_within_s: Number = Field(
        default=None,
        title="Seconds for an answer",
        description="After that the default which a question states is its answer. Empty: it waits for ever.",
    )
    concurrency: Whole = Field(
        default=None, title="Items at work at once", description="Of one run, 1 to 256. Empty: 4."
    )
    max_attempts: Whole = Field(default=None, title="Attempts at one item", description="In all. Empty: 5.")
    review_loops: Whole = Field(
        default=None, title="Returns by reviews", description="Attempts that reviews alone may send back. Empty: 3."
    )
    timeout_s: Number = Field(
        default=None, title="Seconds of a conversation", description="Its model calls and tools. Empty: 900."
    )
    run_timeout_s: Number = Field(default=None, title="Seconds of a whole run", description="Empty: no limit.")

    def defaults(self) -> dict[str, Any]:
        """What is said."""
        said = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in said.items() if value not in (None, [], {})}
