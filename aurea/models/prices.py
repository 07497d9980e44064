"""What model calls cost: an offline price list, free local models, and what happens where there is no price."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

from aurea.domain.errors import Blocked
from aurea.domain.messages import AssistantMessage, Message, ModelRef, ModelRequest, ToolSpec, Usage
from aurea.domain.spec import ModelPrice
from aurea.models.options import OUTPUT_LIMITS
from aurea.models.providers import PROVIDERS

CHARS_PER_TOKEN = 3.5
MILLION = 1_000_000
MESSAGE_OVERHEAD = 8  # tokens that a wire format adds to each message
TOOL_OVERHEAD = 16  # and to each tool's schema


class Price(Protocol):
    """The price of one model."""

    @property
    def free(self) -> bool:
        """Whether it costs nothing."""
        ...

    def cost(self, usage: Usage) -> float:
        """US dollars for this usage."""
        ...


@dataclass(frozen=True)
class Free:
    """A model that runs on the user's own machine, or on none."""

    free: bool = True

    def cost(self, usage: Usage) -> float:
        """Nothing."""
        return 0.0


@dataclass(frozen=True)
class Listed:
    """A model of the price list, which knows cached tokens and prices that rise with the size of the prompt."""

    provider: str
    model: str
    free: bool = False

    def cost(self, usage: Usage) -> float:
        """US dollars for this usage: what the server says, else by the list."""
        if usage.usd is not None:
            return usage.usd
        cached = min(usage.cached_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        return _listed(self.provider, self.model, usage.input_tokens, usage.output_tokens, cached, written)


@dataclass(frozen=True)
class Own:
    """A model whose price the spec says."""

    price: ModelPrice

    @property
    def free(self) -> bool:
        """Whether it costs nothing."""
        return not (self.price.input or self.price.output or self.price.cached_input)

    def cost(self, usage: Usage) -> float:
        """US dollars for this usage."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        again = self.price.input if self.price.cached_input is None else self.price.cached_input
        fresh = (usage.input_tokens - cached) * self.price.input
        return (fresh + cached * again + usage.output_tokens * self.price.output) / MILLION


@lru_cache(maxsize=256)  # what a call cost is asked by the budget and by the journal
def _listed(provider: str, model: str, sent: int, received: int, cached: int, written: int) -> float:
    """US dollars by the price list; `LookupError` for a model that is not in it."""
    from genai_prices import Usage as Counted
    from genai_prices import calc_price

    counted = Counted(input_tokens=sent, output_tokens=received, cache_read_tokens=cached, cache_write_tokens=written)
    return float(calc_price(counted, model, provider_id=provider).total_price)


class Prices:
    """Prices by model. `local` says of a provider whether its server runs on this machine; `own` are the spec's."""

    def __init__(self, local: Callable[[str], bool], own: Mapping[str, ModelPrice] = MappingProxyType({})) -> None:
        self._local = local
        self._own = own
        self._known: dict[tuple[str, str], Price | None] = {}

    def cost(self, model: ModelRef, usage: Usage) -> float | None:
        """US dollars for a call that was made: by its price, else what the server says; None where nobody knows."""
        price = self.of(model)
        return price.cost(usage) if price else usage.usd

    def of(self, model: ModelRef) -> Price | None:
        """The model's price; None where nobody knows it (a call then counts as free and not `priced`)."""
        key = (model.provider, model.name)
        if key not in self._known:
            self._known[key] = self._find(model)
        return self._known[key]

    def _find(self, model: ModelRef) -> Price | None:
        if (own := self._own.get(str(model))) is not None:
            return Own(own)
        provider = PROVIDERS.get(model.provider)
        if provider is None or provider.price_list is None:
            return Free()
        price = Listed(provider.price_list, model.name)
        try:
            price.cost(Usage(input_tokens=1, output_tokens=1))
        except LookupError:
            return None
        return price

    def estimate(self, request: ModelRequest, *, limited: bool) -> float:
        """US dollars that a call may cost at most, as far as can be told before it; 0 for free ones.

        `Blocked` where a budget is set (`limited`) and the model of a server elsewhere has no known price.
        """
        price = self.of(request.model)
        if price is None:
            if limited and not self._local(request.model.provider):
                raise Blocked(
                    f"the price of {str(request.model)!r} is not known, and this run has a budget",
                    remedy=f"say it (`prices: {{{str(request.model)!r}: {{input: USD, output: USD}}}}`, for a million "
                    "tokens), use a model of the price list, or say `budget_usd: none`",
                )
            return 0.0
        if price.free:
            return 0.0
        asked = estimate_tokens(request.messages, request.tools)
        # At worst all of it is written to a prompt cache, which some vendors charge more for than plain input.
        return price.cost(Usage(input_tokens=asked, output_tokens=output_limit(request), cache_write_tokens=asked))


def output_limit(request: ModelRequest) -> int:
    """Tokens that an answer may have: the model's own option where it sets one, else the request's.

    A last answer is short whatever the option says; what its model is told to think before it comes on top.
    """
    options = request.model.options
    own = next((value for name in OUTPUT_LIMITS if isinstance(value := options.get(name), int) and value > 0), None)
    if not request.last:
        return own or request.max_output_tokens
    thinking = options.get("thinking")
    thought = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    short = request.max_output_tokens + (thought if isinstance(thought, int) else 0)
    return min(own or short, short)


def estimate_tokens(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
    """Tokens of a conversation, rather too many than too few, without a tokenizer."""
    size = 0
    for message in messages:
        size += _bytes(message.text)
        if isinstance(message, AssistantMessage):
            size += sum(_bytes(call.name) + _bytes(_text(call.arguments)) for call in message.calls)
            size += _bytes(_text(message.opaque)) if message.opaque else 0
    for tool in tools:
        size += _bytes(tool.name) + _bytes(tool.description) + _bytes(_text(tool.parameters))
    return math.ceil(size / CHARS_PER_TOKEN) + MESSAGE_OVERHEAD * len(messages) + TOOL_OVERHEAD * len(tools)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bytes(text: str) -> int:
    # Scripts beyond ASCII have about one token per character, which their bytes tell better than their length.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
