"""What the other runs of the ledger spend in a day (UTC), read from it bit by bit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from aurea.domain.caps import today
from aurea.domain.events import BudgetReserved, BudgetSettled, Event
from aurea.ports import Clock, Ledger

TYPES = ("budget.reserved", "budget.settled")
STALE_S = 300.0  # a reservation that is older may be a dead process's; it counts as spent until it is settled


class Day:
    """The money of all runs but `run` since 00:00 UTC. What was held back before that day is left to it."""

    def __init__(self, ledger: Ledger, run: str, clock: Clock) -> None:
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._after = 0
        self._spent = 0.0
        self._held: dict[tuple[object, ...], tuple[datetime, float]] = {}
        self.name = today(clock.now())

    async def look(self, *, before: int | None = None) -> None:
        """Take in what was recorded since the last look, in front of event `before` where that is said."""
        now = self._clock.now().astimezone(UTC)
        if (name := today(now)) != self.name:
            self.name, self._spent, self._held = name, 0.0, {}
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        found = await asyncio.to_thread(self._ledger.across, TYPES, midnight, self._after)
        if self.name != name:  # another look has seen the next day begin, and this one found the last of the old
            return
        for event in found:
            if before is not None and event.seq >= before:
                break
            if event.seq <= self._after:  # another look was faster
                continue
            self._after = event.seq
            if event.run != self._run:
                self._take(event)

    @property
    def spent(self) -> float:
        """What counts for good, and what was held back so long ago that nobody may be there to settle it."""
        old = self._clock.now() - timedelta(seconds=STALE_S)
        return self._spent + sum(usd for at, usd in self._held.values() if at < old)

    @property
    def held(self) -> float:
        """What is held back for calls that are under way."""
        old = self._clock.now() - timedelta(seconds=STALE_S)
        return sum(usd for at, usd in self._held.values() if at >= old)

    def _take(self, event: Event) -> None:
        fact = event.fact
        if not isinstance(fact, BudgetReserved | BudgetSettled):
            return
        place = (event.run, event.item, event.attempt, fact.conversation, fact.step)
        if isinstance(fact, BudgetReserved):
            self._held[place] = (event.ts, fact.usd)
        else:
            self._held.pop(place, None)
            self._spent += fact.usd
