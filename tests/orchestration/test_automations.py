"""The automations that are shipped, created by their command on a real server and seen to act."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore
from prefect.events.worker import EventsWorker
from prefect.states import Failed, Paused, Running
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "deployments" / "automations"
NAMES = {"Aurea: a question opens", "Aurea: a question waits", "Aurea: a run failed", "Aurea: a run is stuck"}


@flow(name="deliver")
async def deliver() -> None:
    """Stands for the flow of that name; only its flow runs are made here."""


@flow(name="human_gate")
async def human_gate() -> None:
    """The same for questions."""


def create(*words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, FOLDER / "create.py", *words], env=dict(os.environ), cwd="/", text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def run_of(client: PrefectClient, name: str, flow: Flow[..., Any] = deliver) -> FlowRun:
    made = await client.create_flow_run(flow, name=name, tags=["aurea"])
    await client.set_flow_run_state(made.id, Running(), force=True)
    return made


@pytest.mark.timeout(300)
async def test_a_failed_run_and_a_question_are_told(client: PrefectClient, heard: tuple[str, list[str]]) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    url, told = heard
    block = CustomWebhookNotificationBlock(name="x", url=url, json_data={"text": "{{subject}} | {{body}}"})
    await block.save("aurea-test", overwrite=True)
    assert len(create()) == len(NAMES)
    assert set(create("--notify", "custom-webhook/aurea-test")) == {f"updated  {name}" for name in NAMES}
    assert {found.name for found in await client.read_automations()} >= NAMES
    made, gate = await run_of(client, "deliver told-one"), await run_of(client, "plan: shall it be so?", human_gate)
    await asyncio.sleep(2)  # the server takes a moment to know of a changed automation
    await client.set_flow_run_state(made.id, Failed(message="did not land: api"), force=True)
    await client.set_flow_run_state(gate.id, Paused(), force=True)
    for _ in range(300):
        if len(told) > 1:
            break
        await asyncio.sleep(0.1)
    asked, failed = sorted(told, key=lambda text: "Failed" in text)
    assert "Failed: deliver told-one" in failed and "did not land: api" in failed
    assert "asks you: plan: shall it be so?" in asked and f"/runs/flow-run/{gate.id}" in asked


@pytest.mark.long
async def test_what_takes_too_long_is_noticed(client: PrefectClient, heard: tuple[str, list[str]]) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    url, told = heard
    block = CustomWebhookNotificationBlock(name="x", url=url, json_data={"text": "{{subject}} | {{body}}"})
    notify = str(await block.save("aurea-late", overwrite=True))
    for name, action in (("stuck-run", {}), ("open-question", {"block_document_id": notify})):
        document = YAML(typ="safe", pure=True).load(FOLDER / f"{name}.yaml")
        document["actions"] = [document["actions"][0] | action]
        document["trigger"]["within"] = 10
        document["name"] += ", but sooner"
        await client.create_automation(AutomationCore.model_validate(document))
    await asyncio.sleep(2)
    made, gate = await run_of(client, "deliver silent"), await run_of(client, "land: is it good?", human_gate)
    for run, flow_name in ((made, "deliver"), (gate, "human_gate")):
        resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}"}
        role = {"prefect.resource.role": "flow", "prefect.resource.name": flow_name}
        tag = {"prefect.resource.id": "prefect.tag.aurea", "prefect.resource.role": "tag"}
        related = [{"prefect.resource.id": f"prefect.flow.{run.flow_id}", **role}, tag]
        emit_event("prefect.flow-run.heartbeat", resource, related=related)
    await client.set_flow_run_state(gate.id, Paused(), force=True)
    await asyncio.to_thread(EventsWorker.drain_all, 10)
    state = None
    for _ in range(400):
        state = (await client.read_flow_run(made.id)).state
        if told and state is not None and state.type is StateType.CRASHED:
            break
        await asyncio.sleep(0.1)
    assert state is not None
    assert (state.type, "no sign of life" in (state.message or "")) == (StateType.CRASHED, True)
    assert "waits for you: land: is it good?" in told[0] and f"/runs/flow-run/{gate.id}" in told[0]
    asked = (await client.read_flow_run(gate.id)).state
    assert asked is not None
    assert asked.type is StateType.PAUSED, "a question whose process has left is not dead"
