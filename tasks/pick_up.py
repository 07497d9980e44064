"""Deployed runs that were suspended with open questions, and that go on by themselves once one is answered."""

from __future__ import annotations

import asyncio

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType

from tasks.flow_run import RUN_TAG

# Ends the name of each gate that a suspended run has left. The deployment of the flow `pick_up` is triggered by what
# happens to flow runs of this name: of all that tells them apart, only the name is in an event without delay.
LEFT = " (run suspended)"
LEAVING_S, LOOK_S = 15.0, 0.5


async def left_gates(client: PrefectClient, run: str | None = None) -> list[FlowRun]:
    """The gates that no process has adopted yet since their run was suspended."""
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            name=FlowRunFilterName(like_=LEFT), tags=FlowRunFilterTags(all_=[f"{RUN_TAG}{run}"]) if run else None
        )
    )


async def resume_answered() -> list[str]:
    """Let every suspended run go on that one of its gates has an answer for; returns the names of their flow runs.

    A run that is just leaving is *Running* for a moment more after it has left its gates: that is waited for.
    """
    resumed: list[str] = []
    async with get_client() as client:
        for _ in range(round(LEAVING_S / LOOK_S)):
            found = await _deployed(client, await _answered(client))
            suspended = [flow_run for flow_run in found if flow_run.state_type is StateType.PAUSED]
            for flow_run in suspended:
                await client.resume_flow_run(flow_run.id)
                resumed.append(flow_run.name)
            if len(suspended) == len(found):
                break
            await asyncio.sleep(LOOK_S)
    return resumed


async def _answered(client: PrefectClient) -> set[str]:
    """The tags of the runs that have left a gate which is not paused any more."""
    answered = [gate for gate in await left_gates(client) if gate.state_type is not StateType.PAUSED]
    return {tag for gate in answered for tag in gate.tags if tag.startswith(RUN_TAG)}


async def _deployed(client: PrefectClient, runs: set[str]) -> list[FlowRun]:
    """The deployed flow runs of these runs that are suspended or at work."""
    if not runs:
        return []
    return await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["deliver"])),
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(any_=sorted(runs)),
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED, StateType.RUNNING])),
        ),
    )
