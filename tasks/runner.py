"""A Prefect task runner that keeps mapped tasks on the event loop of their flow, where the live run is at home.

Prefect's own runner gives every mapped async task a thread, an event loop and an HTTP client: twenty times the cost, no
lock of the run may be touched there, and cancelling the flow does not reach it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine, Iterable
from typing import Any
from uuid import UUID, uuid4

from prefect import Task
from prefect.client.schemas.objects import RunInput, State
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.task_engine import run_task_async
from prefect.task_runners import TaskRunner


class HomeLoopFuture(PrefectConcurrentFuture[Any]):
    """The future of a task that runs as `running` on the flow's loop. Await that; `result()` would block the loop."""

    def __init__(self, task_run_id: UUID, running: asyncio.Task[State[Any]]) -> None:
        outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        super().__init__(task_run_id, outcome)
        self.running = running
        running.add_done_callback(self._copy)

    def _copy(self, running: asyncio.Task[State[Any]]) -> None:
        if running.cancelled():
            self.wrapped_future.cancel()
            self.wrapped_future.set_running_or_notify_cancel()
        elif (fault := running.exception()) is not None:
            self.wrapped_future.set_exception(fault)
        else:
            self.wrapped_future.set_result(running.result())


class HomeLoopTaskRunner(TaskRunner[PrefectFuture[Any]]):
    """Runs what is submitted or mapped as asyncio tasks beside the flow. Only for async tasks."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def duplicate(self) -> HomeLoopTaskRunner:
        """A runner for one more flow run."""
        return type(self)()

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> HomeLoopFuture:
        """Start `task` on the running loop; `TypeError` for one that is not async."""
        if not task.isasync:
            raise TypeError(f"task {task.name!r} is not async: it would block the run's event loop")
        task_run_id = uuid4()
        coroutine: Coroutine[Any, Any, Any] = run_task_async(
            task=task,
            task_run_id=task_run_id,
            parameters=parameters,
            wait_for=wait_for,
            return_type="state",
            dependencies=dependencies,
        )
        return HomeLoopFuture(task_run_id, asyncio.get_running_loop().create_task(coroutine))
