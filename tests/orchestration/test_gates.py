"""Gates on a real server as other doors see them: an answer from elsewhere shuts one, or finds that it came too late."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Completed, Paused, Running, Suspended

from aurea.domain.errors import UsageError
from flows.human_gate import human_gate
from surfaces.server import gates
from surfaces.server.gates import answering, resume_suspended
from tasks.pick_up import LEFT, resume_answered


async def ask(client: PrefectClient, question: str) -> FlowRun:
    """A paused gate, as a process that waited has left it."""
    tags = [f"question:{question}"]
    gate = await client.create_flow_run(human_gate, parameters={"run": "r", "question": question}, tags=tags)
    await client.set_flow_run_state(gate.id, Running(), force=True)
    await client.set_flow_run_state(gate.id, Paused(pause_key="a0001", timeout_seconds=3600))
    return await client.read_flow_run(gate.id)


async def answer(client: PrefectClient, gate: FlowRun) -> SetStateStatus:
    """Answer over REST; what the server made of it."""
    status = (await client.resume_flow_run(gate.id)).status
    if status is SetStateStatus.ACCEPT:
        await client.create_flow_run_input(gate.id, "paused-a0001-response", '{"choice": "retry"}')
    return status


async def state_of(client: PrefectClient, gate: FlowRun) -> str:
    return str((await client.read_flow_run(gate.id)).state_type.value)


async def test_while_an_answer_is_recorded_the_server_takes_no_other(client: PrefectClient, tmp_path: Path) -> None:
    gate = await ask(client, "q-first")
    with pytest.raises(OSError, match="the ledger is away"), answering(tmp_path, "q-first") as first:
        assert first
        assert await answer(client, gate) is SetStateStatus.ABORT
        raise OSError("the ledger is away")
    again = (await client.read_flow_run(gate.id)).state
    assert (again.type, again.name, again.state_details) == (gate.state.type, gate.state.name, gate.state.state_details)
    with pytest.raises(UsageError), answering(tmp_path, "q-first"):
        raise UsageError("answered already")
    assert await state_of(client, gate) == "PENDING", "not open again"
    await client.delete_flow_run(gate.id)


@pytest.mark.parametrize("between", [False, True])
async def test_an_answer_that_the_server_has_is_the_first(
    client: PrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: bool
) -> None:
    gate = await ask(client, "q-later")
    seen = gates._tagged(os.environ["PREFECT_API_URL"], "question:q-later")
    assert await answer(client, gate) is SetStateStatus.ACCEPT
    if between:  # the command looked before
        monkeypatch.setattr(gates, "_tagged", lambda api, tag: seen)
    with answering(tmp_path, "q-later") as first:
        assert not first
    assert await state_of(client, gate) == "RUNNING"
    await client.delete_flow_run(gate.id)


@pytest.mark.parametrize("door", ["decide", "pick_up"])
async def test_a_run_that_is_just_being_suspended_goes_on_with_an_answer(
    client: PrefectClient, tmp_path: Path, door: str
) -> None:
    deployment = await client.create_deployment(await client.create_flow_from_name("deliver"), f"leaving-{door}")
    run = await client.create_flow_run_from_deployment(deployment, name="deliver r", tags=["run:leaving"])
    await client.set_flow_run_state(run.id, Running(), force=True)
    gate = await client.create_flow_run(
        human_gate, name=f"why?{LEFT}", parameters={"run": "leaving", "question": "q"}, tags=["run:leaving"]
    )
    await client.set_flow_run_state(gate.id, Completed(), force=True)
    goes_on: Awaitable[Any] = (
        asyncio.to_thread(resume_suspended, tmp_path, "leaving") if door == "decide" else resume_answered()
    )
    going_on = asyncio.ensure_future(goes_on)
    await asyncio.sleep(0.8)
    assert not going_on.done()
    await client.set_flow_run_state(run.id, Suspended(), force=True)
    assert await asyncio.wait_for(going_on, 10)
    assert await state_of(client, run) == "SCHEDULED"
    for each in (gate, run):
        await client.delete_flow_run(each.id)
    await client.delete_deployment(deployment)
