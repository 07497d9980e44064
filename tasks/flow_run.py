"""A run and the flow run in which it is worked on: name, tags and link, the cancel from outside, and the last state."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Completed, Crashed, Failed, Paused, Suspended
from prefect.utilities.urls import url_for

from aurea.delivery.context import Run
from aurea.domain.events import RunEnded, RunLinked

RUN_TAG = "run:"
WATCH_S = 1.0
ANSWER_S = 3.0


def run_name(run: str) -> str:
    """How the flow run of a run is called."""
    return f"deliver {run}"


def dated_name(flow: str) -> Callable[[], str]:
    """How the flow runs of a flow that works on no run are called: after the minute in which they begin."""
    return lambda: f"{flow} {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def run_tags(run: str, project: str) -> list[str]:
    """The tags on every flow run of a run."""
    return ["aurea", f"{RUN_TAG}{run}", f"project:{project}"]


def own_flow_run() -> FlowRun:
    """The flow run that is going on here."""
    context = FlowRunContext.get()
    assert context is not None and isinstance(context.flow_run, FlowRun)
    return context.flow_run


def run_of_flow_run() -> str | None:
    """The run that this flow run carried out before it was suspended, retried or started again."""
    tags = own_flow_run().tags
    return next((tag.removeprefix(RUN_TAG) for tag in tags if tag.startswith(RUN_TAG)), None)


async def introduce(run: Run) -> None:
    """Give the flow run its name and tags where it lacks them, and record where the run is to be watched."""
    own = own_flow_run()
    missing = [tag for tag in run_tags(run.id, run.spec.project) if tag not in own.tags]
    if missing or own.name != run_name(run.id):
        async with get_client() as client:
            await client.update_flow_run(own.id, name=run_name(run.id), tags=[*own.tags, *missing])
    await run.record(RunLinked(flow_run=str(own.id), ui_url=url_for(own)))


async def until_ended(run: Run, work: Coroutine[Any, Any, RunEnded]) -> State[Any]:
    """Await `work`, the conducting of `run`, and return the Prefect state that tells how it ended.

    A cancel of the flow run cancels the work, and so does SIGTERM, as workers send it after a cancel. Where the process
    is told to stop without anybody having cancelled the run, the cancellation goes on: Prefect calls that Crashed.
    """
    body = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_watch(run, body))
    stops: list[asyncio.Future[None]] = []

    def stop() -> None:
        if not stops:  # the same signal again, passed on by a wrapper, must not cut short what the first one began
            stops.append(asyncio.ensure_future(_stop(run, body)))

    try:
        with _on_sigterm(stop):
            ended = await body
    except asyncio.CancelledError:
        if run.stopping == "cancelled":
            return Cancelled(message="cancelled by a person")
        raise
    finally:
        watcher.cancel()
    return final_state(ended, deployed=own_flow_run().deployment_id is not None)


def final_state(ended: RunEnded, *, deployed: bool) -> State[Any]:
    """The Prefect state of a flow run whose run ended so. Pauses have no time limit of Prefect's."""
    message = ended.reason or f"the run {ended.state}"
    match ended.state:
        case "succeeded":
            return Completed(message=message)
        case "failed":
            return Failed(message=message)
        case "cancelled":
            return Cancelled(message=message)
        case "interrupted":
            return Crashed(message=message)
        case "waiting" | "paused":
            return Suspended(message=message) if deployed else Paused(message=message)


async def _watch(run: Run, body: asyncio.Future[RunEnded]) -> None:
    """Look for a cancel by a person, once a second: one small request for the whole run."""
    async with get_client() as client:
        while True:
            await asyncio.sleep(WATCH_S)
            with contextlib.suppress(httpx.HTTPError):  # a server that is away for a moment cancels nothing
                if await _is_cancelled(client):
                    run.stopping = "cancelled"
                    body.cancel()
                    return


async def _stop(run: Run, body: asyncio.Future[RunEnded]) -> None:
    """End the work after a SIGTERM: as cancelled where a person did that, else as interrupted."""
    try:
        async with asyncio.timeout(ANSWER_S), get_client() as client:
            if await _is_cancelled(client):
                run.stopping = "cancelled"
    except (TimeoutError, httpx.HTTPError):
        pass  # without an answer nobody is known to have cancelled it
    finally:
        body.cancel()


async def _is_cancelled(client: Any) -> bool:
    answer = await client.request("GET", "/flow_runs/{id}", path_params={"id": own_flow_run().id})
    return answer.json()["state_type"] in ("CANCELLING", "CANCELLED")


@contextlib.contextmanager
def _on_sigterm(act: Callable[[], object]) -> Iterator[None]:
    """Let SIGTERM call `act` instead of raising wherever the program happens to be, as Prefect would have it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread, and to whoever runs the flow in another one
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
