"""Money is held back before each try of a model call and settled after it, under a hard stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aurea.domain import events as ev
from aurea.domain.errors import AureaError, BudgetReached
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.state import Place
from aurea.models.faults import ModelFault
from aurea.models.prices import Prices
from aurea.models.waiting import Waiting
from aurea.ports import Clock, Ledger, ModelClient


class BudgetClient:
    """Lets a call through once its estimated cost fits under the limit together with everything spent and held back.

    All figures are the ledger's, so they survive restarts. `limit` is read at every call: US dollars, or None for none.
    A reservation in the ledger that this process does not hold was left by a dead one: it is settled at its full value,
    in doubt, before anything else is asked. Free calls write nothing. Everything here runs on one event loop.

    `between` are layers in which a call may wait for long. While it does, its money is held in memory alone: the ledger
    has the reservation from the moment the request goes out, so that a crash leaves nothing in doubt that was not sent.
    """

    def __init__(
        self,
        inner: ModelClient,
        *,
        ledger: Ledger,
        run: str,
        prices: Prices,
        clock: Clock,
        waiting: Waiting,
        limit: Callable[[], float | None],
        between: Callable[[ModelClient], ModelClient] = lambda client: client,
    ) -> None:
        self._inner = between(_Booked(inner, self._book))
        self._ledger = ledger
        self._run = run
        self._prices = prices
        self._clock = clock
        self._waiting = waiting
        self._limit = limit
        self._held: dict[Place, float] = {}
        self._settling: set[Place] = set()
        self._looked = False
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self._finishing: set[asyncio.Task[None]] = set()

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers; `BudgetReached` where the call can never fit, waiting where it may fit later."""
        needed = self._prices.estimate(request, limited=self._limit() is not None)
        if needed <= 0:
            await self._settle_strays()
            return await self._inner.complete(request)
        place = request.address.key
        began = self._clock.monotonic()
        await self._hold(place, needed)
        self._waiting.add(place, self._clock.monotonic() - began)
        try:
            return await self._inner.complete(request)
        finally:
            if place not in self._settling:
                self._release(place)

    async def close(self) -> None:
        """Wait for settlements that are on their way."""
        await asyncio.gather(*self._finishing)

    async def _book(self, provider: ModelClient, request: ModelRequest) -> ModelReply:
        """What `provider` answers to a request that goes out now, with its money in the ledger before and after."""
        place = request.address.key
        needed = self._held.get(place)
        if needed is None:
            return await provider.complete(request)
        await self._reserve(place, needed)
        try:
            reply = await provider.complete(request)
        except ModelFault as error:
            doubt = error.maybe_billed
            await self._settle(place, needed, needed if doubt else 0.0, in_doubt=doubt)
            raise
        except AureaError:
            # Not a fault of a call that was made: there was none.
            await self._settle(place, needed, 0.0)
            raise
        except BaseException:
            # Cancelled, or broken in a way that says nothing about the bill.
            await self._settle(place, needed, needed, in_doubt=True)
            raise
        price = self._prices.of(request.model)
        await self._settle(place, needed, price.cost(reply.usage) if price else 0.0)
        return reply

    async def _hold(self, place: Place, needed: float) -> None:
        # The lock is first come, first served: a small call does not overtake a large one that waits for money.
        await self._settle_strays()
        async with self._turn:
            while True:
                limit = self._limit()
                spent = self._ledger.state(self._run).spent_usd
                if limit is None or spent + sum(self._held.values()) + needed <= limit:
                    break
                if spent + needed > limit:
                    raise BudgetReached(
                        f"{spent:.4f} USD of {limit:g} are spent, and the next model call may cost {needed:.4f}",
                        limit_usd=limit,
                        needed_usd=needed,
                    )
                self._freed.clear()
                await self._freed.wait()
            self._held[place] = needed

    async def _reserve(self, place: Place, needed: float) -> None:
        try:
            await self._record(place, ev.BudgetReserved(conversation=place[2], step=place[3], usd=needed))
        except asyncio.CancelledError:
            # The ledger may have it already; what follows it in the queue takes it back.
            await self._settle(place, needed, 0.0)
            raise

    async def _settle(self, place: Place, reserved: float, usd: float, *, in_doubt: bool = False) -> None:
        # A settlement on its way to the ledger is not called back: the caller's cancellation must not count it twice.
        self._settling.add(place)
        task = asyncio.create_task(self._finish(place, _settled(place, reserved, usd, in_doubt=in_doubt)))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        await asyncio.shield(task)

    async def _finish(self, place: Place, fact: ev.BudgetSettled) -> None:
        try:
            await self._record(place, fact)
        finally:
            self._settling.discard(place)
            self._release(place)

    async def _settle_strays(self) -> None:
        if self._looked:
            return
        async with self._turn:
            if not self._looked:
                left = list(self._ledger.state(self._run).reserved.items())
                for place, usd in left:
                    await self._record(place, _settled(place, usd, usd, in_doubt=True))
                self._looked = True

    async def _record(self, place: Place, fact: ev.BudgetReserved | ev.BudgetSettled) -> None:
        draft = ev.Draft(fact=fact, actor="manager", item=place[0], attempt=place[1] or None)
        await self._ledger.record(self._run, [draft])

    def _release(self, place: Place) -> None:
        self._held.pop(place, None)
        self._freed.set()


class _Booked:
    """The innermost layer around a provider: hands each request over with what books it."""

    def __init__(
        self, provider: ModelClient, book: Callable[[ModelClient, ModelRequest], Awaitable[ModelReply]]
    ) -> None:
        self._provider = provider
        self._book = book

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What the provider answers, booked."""
        return await self._book(self._provider, request)


def _settled(place: Place, reserved: float, usd: float, *, in_doubt: bool) -> ev.BudgetSettled:
    return ev.BudgetSettled(conversation=place[2], step=place[3], usd=usd, reserved=reserved, in_doubt=in_doubt)
