"""A ledger with a budget over it, and calls that cost what is easily counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from aurea.domain.caps import RUN as RUN_CAP
from aurea.domain.events import BudgetSettled
from aurea.domain.messages import ModelReply, ModelRequest, Usage
from aurea.ledger.book import Book
from aurea.models.budget import BudgetClient
from aurea.models.faults import Server
from aurea.models.prices import Prices
from aurea.models.waiting import Waiting
from aurea.ports import ModelClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import asking, say
from aurea.testing.store import MemoryEventStore

RUN = "run-1"
SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1")
PRICES = Prices(lambda _: True)
MTOK = 1_000_000


class Purse:
    """A ledger and a budget over it."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.limits: dict[str, float] = {}
        self.clock = SimulatedClock()
        self.store = MemoryEventStore()
        self.book = Book(self.store, self.clock)
        self.book.append(RUN, [created(), planned("storage"), started(item="storage")])

    def crash(self) -> None:
        self.book.close()
        self.book = Book(self.store, self.clock)

    def client(self, inner: ModelClient, prices: Prices = PRICES) -> BudgetClient:
        return BudgetClient(
            inner,
            ledger=self.book,
            run=RUN,
            prices=prices,
            clock=self.clock,
            waiting=Waiting(),
            limit=lambda cap: self.limit if cap == RUN_CAP else self.limits.get(cap.key),
        )

    def settled(self) -> list[BudgetSettled]:
        return [event.fact for event in self.book.events(RUN) if isinstance(event.fact, BudgetSettled)]

    @property
    def spent(self) -> float:
        return self.book.state(RUN).spent_usd

    @property
    def reserved(self) -> float:
        return self.book.state(RUN).reserved_usd


def paid(output: int, text: str = "x") -> ModelReply:
    """An answer of `output` tokens; a million cost 2 USD with gpt-5-mini."""
    return say(text, usage=Usage(output_tokens=output))


def big(step: int = 1, output: int = MTOK) -> ModelRequest:
    """A call that may cost a little over 2 USD."""
    return asking(item="storage", step=step, max_output_tokens=output)


class Gate:
    """A layer in which calls wait until it is opened."""

    def __init__(self, inner: ModelClient) -> None:
        self.inner = inner
        self.open = asyncio.Event()
        self.arrived = asyncio.Event()

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.arrived.set()
        await self.open.wait()
        return await self.inner.complete(request)


def gated(
    purse: Purse, model: ModelClient, limits: Mapping[str, float] = MappingProxyType({})
) -> tuple[BudgetClient, Gate]:
    gates: list[Gate] = []

    def between(inner: ModelClient) -> ModelClient:
        gates.append(Gate(inner))
        return gates[0]

    client = BudgetClient(
        model,
        ledger=purse.book,
        run=RUN,
        prices=PRICES,
        clock=purse.clock,
        waiting=Waiting(),
        limit=lambda cap: purse.limit if cap == RUN_CAP else limits.get(cap.key),
        between=between,
    )
    return client, gates[0]
