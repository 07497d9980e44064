"""Time that passes only when somebody sleeps: tests wait for nothing and see every waiting time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

_TURNS = 20


class SimulatedClock:
    """A clock that stands still while anything is at work, then jumps to the moment the next sleeper wakes.

    "At work" means that the event loop still has turns to give: after a few idle turns the earliest sleeper is woken.
    With `auto=False` time moves by `advance` only. `slept` lists every waiting time asked for, in seconds.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, auto: bool = True) -> None:
        self.slept: list[float] = []
        self._start = start
        self._elapsed = 0.0
        self._auto = auto
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The simulated moment in UTC."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Simulated seconds since the clock was made."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass and wake who slept until then, earliest first. Call it on the event loop's thread."""
        until = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self._wake()
        self._elapsed = until

    async def sleep(self, seconds: float) -> None:
        """Wait in simulated time."""
        self.slept.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        sleeper = (self._elapsed + max(seconds, 0.0), next(self._order), woken)
        heapq.heappush(self._sleepers, sleeper)
        try:
            while self._auto and not woken.done():
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                if self._sleepers and self._sleepers[0] is sleeper:
                    self._wake()
            await woken
        finally:
            if sleeper in self._sleepers:  # cancelled: nobody may wait for it
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    def _wake(self) -> None:
        moment, _, sleeper = heapq.heappop(self._sleepers)
        self._elapsed = max(self._elapsed, moment)
        if not sleeper.done():
            sleeper.set_result(None)
