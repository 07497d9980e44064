"""Working on a run in this process: its flow run on the server, new or taken over from a process that died."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_engine import run_flow_async
from prefect.states import Crashed, Pending

from aurea.bootstrap import take_up
from aurea.delivery.context import Run
from aurea.domain.events import OrderGiven
from aurea.home import Home
from flows.deliver import deliver
from surfaces.server.gone import not_waited_for
from surfaces.server.idle import of_another_home
from tasks.flow_run import RUN_TAG, run_name, run_tags

AT_WORK = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
CANCELLED = [StateType.CANCELLING, StateType.CANCELLED]
WAITING = [StateType.PAUSED, StateType.SCHEDULED]
RESUMABLE = [*AT_WORK, *WAITING, StateType.CRASHED, StateType.CANCELLED]
DIED = "the process that worked on it is gone"


async def run_deliver(
    home: Home,
    run: str,
    changes: Mapping[str, Any] | None = None,
    *,
    wait_s: float = 0.0,
) -> bool:
    """Take `run` up and carry its flow out in this process; how it ended is in the ledger.

    `changes` are those of a resume, `wait_s` how long answers are waited for.
    Cancelling this interrupts the run. The environment must name the server before this module is imported. `RunBusy`
    where another process works on the run. False where the server is gone for good at the end: what Prefect has queued for
    it would be tried for minutes.
    """
    async with take_up(home, run, changes, wait_s=wait_s) as live:
        async with get_client() as client:
            flow_run = await _left_behind(client, live) or await _new(client, live)
        async with not_waited_for(home.settings.home, live) as gone:
            await run_flow_async(deliver, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")
    return not gone.is_set()


async def _new(client: PrefectClient, run: Run) -> FlowRun:
    """A flow run for a run that has none on this server. Its parameters are a path and the id: they stay small."""
    return await client.create_flow_run(
        deliver,
        name=run_name(run.id),
        parameters={"spec": str(run.folder / "inputs" / "resolved.json"), "run_id": run.id, "overrides": None},
        tags=run_tags(run.id, run.spec.project),
        state=Pending(),
    )


async def _left_behind(client: PrefectClient, run: Run) -> FlowRun | None:
    """The latest flow run of `run` that can be gone on with. Nobody works on it: this process has the run's lock.

    What a dead process left as running is set to Crashed first, task runs included. A pause has to be ended by force:
    Prefect lets go on from one only what a person resumed. What is scheduled is taken away from the worker it waits
    for. What a person cancelled there meanwhile ends as cancelled.
    """
    known = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[deliver.name])),
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[f"{RUN_TAG}{run.id}"]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=RESUMABLE)),
        ),
        sort=FlowRunSort.START_TIME_DESC,
    )
    home = run.folder.parent.parent
    found = [flow_run for flow_run in known if not of_another_home(flow_run.parameters, home)]
    if found and found[0].state_type in CANCELLED and not run.state.finished:
        order = OrderGiven(order="cancel", reason="cancelled in Prefect while nobody was at work")
        await run.record(order, actor="unknown")
    for flow_run in found:
        await _end_task_runs(client, flow_run)
        if flow_run.state_type in AT_WORK:
            await client.set_flow_run_state(flow_run.id, Crashed(message=DIED), force=True)
    if not found:
        return None
    if found[0].state_type in (*WAITING, StateType.CANCELLED):
        await client.set_flow_run_state(found[0].id, Pending(message="gone on with"), force=True)
    return await client.read_flow_run(found[0].id)


async def _end_task_runs(client: PrefectClient, flow_run: FlowRun) -> None:
    running = await client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [flow_run.id]}}),
        task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK))),
    )
    for task_run in running:
        await client.set_task_run_state(task_run.id, Crashed(message=DIED), force=True)
