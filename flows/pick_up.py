"""The flow `pick_up`: lets suspended runs go on whose questions were answered while no process was at work."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.flow_run import dated_name
from tasks.logs import log_of_flow_runs, of_this_flow_run
from tasks.pick_up import resume_answered


@flow(name="pick_up", flow_run_name=dated_name("pick_up"), persist_result=False)
async def pick_up() -> State[Any]:
    """Resume the flow runs of `deliver` that are suspended and have an answer. An answer triggers this by itself."""
    resumed = await resume_answered()
    done = f"resumed {', '.join(resumed)}" if resumed else "nothing to resume"
    log_of_flow_runs().info(done, extra=of_this_flow_run("pick_up"))
    return Completed(message=done)
