"""Mapped task runs: side by side on the flow's loop, cancelled with it, errors after all are done."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import State

from tasks.mapped import mapped
from tasks.runner import HomeLoopTaskRunner

plain = {"cache_policy": NO_CACHE, "persist_result": False}


async def test_mapped_task_runs_overlap_on_the_loop_of_the_flow() -> None:
    loops = set()

    @task(**plain)
    async def wait(number: int) -> int:
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0.3)
        return number * 2

    @flow(task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def ten() -> list[int]:
        started = time.perf_counter()
        results = await mapped(wait, list(range(10)))
        assert time.perf_counter() - started < 1.5
        return results

    assert await ten() == [number * 2 for number in range(10)]
    assert loops == {asyncio.get_running_loop()}


async def test_the_first_error_is_raised_after_all_others_have_ended() -> None:
    ended = []

    @task(**plain)
    async def work(number: int) -> None:
        await asyncio.sleep(0.05 * number)
        ended.append(number)
        if number in (0, 1):
            raise LookupError(f"number {number}")

    @flow(task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def some() -> str:
        try:
            await mapped(work, [0, 1, 2])
        except LookupError as error:
            return str(error)
        return "no error"

    assert await some() == "number 0"
    assert ended == [0, 1, 2]


async def test_cancelling_the_flow_cancels_mapped_bodies_and_waits_for_their_clean_up() -> None:
    started, cleaned = asyncio.Event(), []

    @task(**plain)
    async def work(number: int) -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.1)
            cleaned.append(number)

    @flow(task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def some() -> None:
        try:
            await mapped(work, [0, 1, 2])
        finally:
            assert sorted(cleaned) == [0, 1, 2]

    running: asyncio.Task[State[Any]] = asyncio.ensure_future(some())
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert sorted(cleaned) == [0, 1, 2]


async def test_a_task_that_is_not_async_is_refused() -> None:
    @task(**plain)
    def block(number: int) -> int:
        return number

    @flow(task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def some() -> None:
        await mapped(block, [1, 2])

    with pytest.raises(TypeError, match="'block' is not async"):
        await some()
