"""Time that a model call spends waiting for its turn, which does not count as the call's own."""

from __future__ import annotations

from math import inf
from typing import Literal

from aurea.domain.events import Draft, ModelWaiting
from aurea.domain.messages import ModelRequest
from aurea.domain.state import Place
from aurea.ports import Clock, Ledger

LONG_S = 5.0  # a wait that somebody who watches should know of
EVERY_S = 10.0  # and how often he is told of the same provider, however many calls wait for it

Why = Literal["limits", "busy", "breaker", "retry_after", "backoff"]


class Notices:
    """Tells in the ledger of one run that its calls wait, when they wait for long."""

    def __init__(self, ledger: Ledger, run: str, clock: Clock) -> None:
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._last: dict[str, float] = {}
        self._told: set[tuple[Place, Why]] = set()

    async def tell(self, request: ModelRequest, why: Why, seconds: float) -> None:
        """Once for each wait, and no more often than every `EVERY_S` for all waits for a provider."""
        at, provider, now = request.address, request.model.provider, self._clock.monotonic()
        again = (at.key, why) in self._told and why in ("limits", "busy", "breaker")  # the others are a new wait each
        if seconds <= LONG_S or again or now - self._last.get(provider, -inf) < EVERY_S:
            return
        self._last[provider] = now
        self._told.add((at.key, why))
        fact = ModelWaiting(
            conversation=at.conversation, step=at.step, provider=provider, why=why, seconds=round(seconds, 1)
        )
        await self._ledger.record(self._run, [Draft(fact=fact, actor="agent", item=at.item, attempt=at.attempt)])


class Waiting:
    """Seconds waited so far, by the place of the call. The layers that wait add to it, the journal takes them off.

    `notices`: where somebody is told of long waits; None: nobody is.
    """

    def __init__(self, notices: Notices | None = None) -> None:
        self._seconds: dict[Place, float] = {}
        self._notices = notices

    async def tell(self, request: ModelRequest, why: Why, seconds: float) -> None:
        """The call is about to wait for so long, or has waited so long and goes on."""
        if self._notices is not None:
            await self._notices.tell(request, why, seconds)

    def add(self, place: Place, seconds: float) -> None:
        """The call at `place` waited."""
        self._seconds[place] = self._seconds.get(place, 0.0) + seconds

    def of(self, place: Place) -> float:
        """What the call at `place` has waited so far."""
        return self._seconds.get(place, 0.0)

    def take(self, place: Place) -> float:
        """What the call at `place` waited in all; forgets it."""
        return self._seconds.pop(place, 0.0)
