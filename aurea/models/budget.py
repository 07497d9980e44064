"""Money is held back before each try of a model call and settled after it, under hard stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aurea.domain import events as ev
from aurea.domain.caps import Cap, caps_of, today
from aurea.domain.errors import AureaError
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.state import Place
from aurea.domain.work_facts import CapPassed
from aurea.models.day import Day
from aurea.models.faults import ModelFault
from aurea.models.prices import Prices
from aurea.models.purse import Claim, Purse
from aurea.models.waiting import Waiting
from aurea.ports import Clock, Ledger, ModelClient

LOOK_S = 0.5  # how often a call that waits for other runs to settle looks again


class BudgetClient:
    """Lets a call through once its estimated cost fits under every cap together with what is spent and held back.

    All figures are the ledger's, so they survive restarts. `limit` is asked at every call: US dollars, or None for none.
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
        limit: Callable[[Cap], float | None],
        between: Callable[[ModelClient], ModelClient] = lambda client: client,
    ) -> None:
        self._inner = between(_Booked(inner, self._book))
        self._ledger = ledger
        self._run = run
        self._prices = prices
        self._clock = clock
        self._waiting = waiting
        self._limit = limit
        self._purse = Purse()
        self._day = Day(ledger, run, clock)
        self._settling: set[Place] = set()
        self._looked = False
        self._looking = asyncio.Lock()
        self._freed = asyncio.Event()
        self._finishing: set[asyncio.Task[None]] = set()

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers; `BudgetReached` where the call can never fit, waiting where it may fit later."""
        needed = self._prices.estimate(request, limited=bool(self._limits(self._caps(request))))
        await self._settle_strays()
        if needed <= 0:
            return await self._inner.complete(request)
        while True:
            try:
                return await self._paid(request, needed)
            except _Overtaken:  # it may fit later all the same: what the others hold back is rarely all spent
                continue

    async def _paid(self, request: ModelRequest, needed: float) -> ModelReply:
        place = request.address.key
        began = self._clock.monotonic()
        await self._hold(request, needed)
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
        claim = self._purse.held.get(request.address.key)
        if claim is None:
            return await provider.complete(request)
        await self._reserve(claim)
        try:
            reply = await provider.complete(request)
        except ModelFault as error:
            doubt = error.maybe_billed
            await self._settle(claim, claim.usd if doubt else 0.0, in_doubt=doubt)
            raise
        except AureaError:
            # Not a fault of a call that was made: there was none.
            await self._settle(claim, 0.0)
            raise
        except BaseException:
            # Cancelled, or broken in a way that says nothing about the bill.
            await self._settle(claim, claim.usd, in_doubt=True)
            raise
        price = self._prices.of(request.model)
        await self._settle(claim, price.cost(reply.usage) if price else 0.0)
        return reply

    async def _hold(self, request: ModelRequest, needed: float) -> None:
        """Wait for the call's turn. A small call does not overtake a large one that waits for the same money."""
        purse, place = self._purse, request.address.key
        try:
            while True:
                caps = self._caps(request)
                limits = self._limits(caps)
                daily = next((cap for cap in limits if cap.scope == "day"), None)
                if daily is not None:
                    await self._day.look()
                    purse.spent_elsewhere, purse.held_elsewhere = {daily: self._day.spent}, {daily: self._day.held}
                # From here to the wait nothing else runs, so that what is freed is not missed.
                claim = Claim(place, needed, request.address.role, caps, request.last)
                fits = purse.fit(claim, self._ledger.state(self._run), limits)
                if fits is not None:
                    purse.held[place] = fits
                    return
                purse.waiting[place] = claim
                if daily is not None and purse.held_elsewhere[daily]:
                    await self._clock.sleep(LOOK_S)
                    continue
                self._freed.clear()
                await self._freed.wait()
        finally:
            if purse.waiting.pop(place, None) is not None:
                self._freed.set()

    def _caps(self, request: ModelRequest) -> tuple[Cap, ...]:
        at = request.address
        return caps_of(at.item, at.role, today(self._clock.now()))

    def _limits(self, caps: tuple[Cap, ...]) -> dict[Cap, float]:
        found = {cap: self._limit(cap) for cap in caps}
        return {cap: limit for cap, limit in found.items() if limit is not None}

    async def _reserve(self, claim: Claim) -> None:
        over = tuple(CapPassed(cap=cap, limit_usd=limit) for cap, limit in claim.over)
        place = claim.place
        fact = ev.BudgetReserved(conversation=place[2], step=place[3], usd=claim.usd, role=claim.role, over=over)
        try:
            (event,) = await self._record(place, fact)
        except asyncio.CancelledError:
            # The ledger may have it already; what follows it in the queue takes it back.
            await self._settle(claim, 0.0)
            raise
        for cap, limit in self._limits(claim.caps).items():
            if cap.scope == "day":
                await self._claim_day(claim, cap, limit, event)

    async def _claim_day(self, claim: Claim, cap: Cap, limit: float, event: ev.Event) -> None:
        """Take the reservation back where another process was faster: what the ledger holds before it goes first."""
        try:
            await self._day.look(before=event.seq)
            state = self._ledger.state(self._run)
            spent = state.spent_on.get(cap, 0.0) + self._day.spent
            if spent + self._day.held + state.reserved_usd > limit:
                raise _Overtaken(f"{cap}: another run was faster")
        except BaseException:
            await self._settle(claim, 0.0)
            raise

    async def _settle(self, claim: Claim, usd: float, *, in_doubt: bool = False) -> None:
        # A settlement on its way to the ledger is not called back: the caller's cancellation must not count it twice.
        self._settling.add(claim.place)
        fact = _settled(claim.place, claim.usd, usd, in_doubt=in_doubt, role=claim.role)
        task = asyncio.create_task(self._finish(claim.place, fact))
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
        async with self._looking:
            if not self._looked:
                left = list(self._ledger.state(self._run).reserved.items())
                for place, usd in left:
                    await self._record(place, _settled(place, usd, usd, in_doubt=True))
                self._looked = True

    async def _record(self, place: Place, fact: ev.BudgetReserved | ev.BudgetSettled) -> list[ev.Event]:
        draft = ev.Draft(fact=fact, actor="manager", item=place[0], attempt=place[1] or None)
        return await self._ledger.record(self._run, [draft])

    def _release(self, place: Place) -> None:
        self._purse.held.pop(place, None)
        self._freed.set()


class _Overtaken(AureaError):
    """Other runs took the money of the day at the same moment; nothing was sent."""


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


def _settled(place: Place, reserved: float, usd: float, *, in_doubt: bool, role: str = "") -> ev.BudgetSettled:
    return ev.BudgetSettled(
        conversation=place[2], step=place[3], usd=usd, reserved=reserved, in_doubt=in_doubt, role=role
    )
