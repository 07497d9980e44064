"""Deployed runs that were suspended with open questions, and that go on by themselves once one is answered."""

from __future__ import annotations

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


async def left_gates(client: PrefectClient, run: str | None = None) -> list[FlowRun]:
    """The gates that no process has adopted yet since their run was suspended."""
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            name=FlowRunFilterName(like_=LEFT), tags=FlowRunFilterTags(all_=[f"{RUN_TAG}{run}"]) if run else None
        )
    )


async def resume_answered() -> list[str]:
    """Let every suspended run go on that one of its gates has an answer for; returns the names of their flow runs."""
    async with get_client() as client:
        answered = [gate for gate in await left_gates(client) if gate.state_type is not StateType.PAUSED]
        runs = {tag for gate in answered for tag in gate.tags if tag.startswith(RUN_TAG)}
        if not runs:
            return []
        suspended = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["deliver"])),
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(any_=sorted(runs)),
                deployment_id=FlowRunFilterDeploymentId(is_null_=False),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])),
            ),
        )
        for flow_run in suspended:
            await client.resume_flow_run(flow_run.id)
        return [flow_run.name for flow_run in suspended]
