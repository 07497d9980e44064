"""`task.map` as something to await: all mapped task runs side by side, cancelled together, the first error raised."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from prefect import Task

from tasks.runner import HomeLoopFuture


async def mapped(task: Task[..., Any], *arguments: object) -> list[Any]:
    """Map `task` over the lists among `arguments` and return all results in order, once every task run has ended.

    Where some failed, the error of the first one is raised, after the others ended too: each of them leaves its
    evidence. Cancelling this cancels every task run and waits for its clean-up. Needs the `HomeLoopTaskRunner`.
    """
    futures = cast("list[HomeLoopFuture]", task.map(*arguments))
    running = [future.running for future in futures]
    try:
        await asyncio.wait(running)
    finally:
        for one in running:
            one.cancel()  # of no effect on what has ended
        await asyncio.gather(*running, return_exceptions=True)
    return [await one.result().aresult() for one in running]
