"""Clocks: the machine's and the simulated one tell time alike; the simulated one does not let anybody wait."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from aurea.adapters.clock import SystemClock
from aurea.testing.clock import SimulatedClock


@pytest.mark.parametrize("clock", [SystemClock(), SimulatedClock()], ids=["system", "simulated"])
async def test_time_goes_on_while_one_sleeps(clock):
    moment, ticks = clock.now(), clock.monotonic()
    assert moment.utcoffset() == timedelta(0)
    await clock.sleep(0.01)
    assert clock.now() > moment
    assert clock.monotonic() - ticks >= 0.009


async def test_simulated_sleepers_wake_in_order_at_their_moments():
    clock, woken = SimulatedClock(datetime(2026, 1, 1, tzinfo=UTC)), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    before = time.monotonic()
    async with asyncio.TaskGroup() as together:
        for seconds in (3600, 5, 60):
            together.create_task(sleeper(seconds))
    assert woken == [(5, 5), (60, 60), (3600, 3600)]
    assert clock.now() == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert clock.slept == [3600, 5, 60]
    assert time.monotonic() - before < 5


async def test_nobody_waits_for_a_cancelled_sleeper():
    clock = SimulatedClock()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await clock.sleep(1)
    await clock.sleep(10)
    assert clock.monotonic() == 10


async def test_without_auto_time_moves_by_hand():
    clock = SimulatedClock(auto=False)
    sleeping = asyncio.ensure_future(clock.sleep(10))
    await asyncio.sleep(0)
    clock.advance(9)
    await asyncio.sleep(0)
    assert not sleeping.done()
    clock.advance(1)
    await sleeping
    assert clock.monotonic() == 10
