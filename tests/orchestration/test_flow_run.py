"""How a flow run ends: each end of a run has its Prefect state, also where it was cancelled or the process stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from httpx import ConnectError
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Pending, State

from aurea.delivery.context import Run
from aurea.domain.events import RunEnded
from surfaces.server.gone import not_waited_for
from surfaces.server.place import Place, api_url, choose_port
from tasks.flow_run import final_state, until_ended
from tasks.runner import HomeLoopTaskRunner

ENDINGS = {
    "succeeded": (StateType.COMPLETED, "Completed"),
    "failed": (StateType.FAILED, "Failed"),
    "cancelled": (StateType.CANCELLED, "Cancelled"),
    "waiting": (StateType.PAUSED, "Paused"),
    "interrupted": (StateType.CRASHED, "Crashed"),
}


@dataclass
class Work:
    """Stands in for a run: all that ending one needs is whether a person cancelled it."""

    stopping: str | None = None
    cleaned: bool = False
    began: float = 0.0

    async def last(self) -> RunEnded:
        self.began = time.monotonic()
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)
            self.cleaned = True
        raise AssertionError("nobody cancelled it")


async def start(client: PrefectClient, work: Work) -> tuple[FlowRun, asyncio.Task[Any]]:
    @flow(name="lasting", task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def lasting() -> State[Any]:
        return await until_ended(cast("Run", work), work.last())

    created = await client.create_flow_run(lasting, state=Pending())
    task = asyncio.ensure_future(run_flow_async(lasting, flow_run=created, return_type="state"))
    while not work.began:
        await asyncio.sleep(0.02)
    return created, task


@pytest.mark.parametrize("ending", ENDINGS)
async def test_each_ending_has_its_state_on_the_server(client: PrefectClient, ending: Any) -> None:
    async def ended() -> RunEnded:
        return RunEnded(state=ending, reason="because")

    @flow(name="ending", task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def some() -> State[Any]:
        return await until_ended(cast("Run", Work()), ended())

    created = await client.create_flow_run(some, state=Pending())
    await run_flow_async(some, flow_run=created, return_type="state")
    state = (await client.read_flow_run(created.id)).state
    assert state is not None
    assert (state.type, state.name) == ENDINGS[ending]
    assert state.message == "because"


def test_a_deployed_run_that_waits_is_suspended() -> None:
    state = final_state(RunEnded(state="waiting"), deployed=True)
    assert (state.name, state.state_details.pause_reschedule) == ("Suspended", True)
    assert state.state_details.pause_timeout is None


async def test_a_cancel_on_the_server_cancels_the_work(client: PrefectClient) -> None:
    work = Work()
    created, running = await start(client, work)
    await client.set_flow_run_state(created.id, Cancelling())
    state = await asyncio.wait_for(running, 5)
    assert state.is_cancelled()
    assert (work.stopping, work.cleaned) == ("cancelled", True)
    assert (await client.read_flow_run(created.id)).state_type is StateType.CANCELLED


async def test_sigterm_after_a_cancel_counts_as_cancelled(client: PrefectClient) -> None:
    work = Work()
    created, running = await start(client, work)
    await client.set_flow_run_state(created.id, Cancelling())
    os.kill(os.getpid(), signal.SIGTERM)
    assert (await asyncio.wait_for(running, 5)).is_cancelled()
    assert work.cleaned


async def test_sigterm_alone_interrupts(client: PrefectClient) -> None:
    before = signal.getsignal(signal.SIGTERM)
    work = Work()
    created, running = await start(client, work)
    for _ in range(2):  # a wrapper may pass the same signal on once more
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert (work.stopping, work.cleaned) == (None, True)
    assert (await client.read_flow_run(created.id)).state_type is StateType.CRASHED
    assert signal.getsignal(signal.SIGTERM) == before


async def test_cancelling_the_awaiting_program_interrupts(client: PrefectClient) -> None:
    work = Work()
    created, running = await start(client, work)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert (work.stopping, work.cleaned) == (None, True)
    assert (await client.read_flow_run(created.id)).state_type is StateType.CRASHED


async def test_the_end_of_a_run_does_not_wait_for_a_server_that_nobody_brings_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    place.write(choose_port(place), None)  # no keeper lives
    url = api_url(place.read()["port"])
    monkeypatch.setenv("PREFECT_API_URL", url)
    run: Any = SimpleNamespace(id="r", state=SimpleNamespace(ended=RunEnded(state="succeeded")))
    began = time.monotonic()
    with temporary_settings({PREFECT_API_URL: url}):
        async with not_waited_for(tmp_path, run), get_client() as client:
            await client.read_flows()
        assert time.monotonic() - began < 15, "Prefect alone takes a minute"
        run.state.ended = None
        with pytest.raises(ConnectError):
            async with not_waited_for(tmp_path, run):
                raise ConnectError("a run at work needs it")
