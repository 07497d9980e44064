"""The flow `deliver`: takes a run up, conducts it with one Prefect task per phase, and ends in the state that fits."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Crashed
from pydantic import Field

from aurea.delivery.conduct import conduct
from aurea.domain.errors import LedgerAway
from aurea.domain.spec import Provider
from flows.human_gate import human_gate
from tasks.flow_run import introduce, run_of_flow_run, until_ended
from tasks.gates import Gates
from tasks.line import prefect_phases
from tasks.logs import told
from tasks.progress import progress
from tasks.runner import HomeLoopTaskRunner
from tasks.runs import at_work


@flow(name="deliver", task_runner=HomeLoopTaskRunner(), persist_result=False)
async def deliver(
    spec: str | dict[str, Any],
    run_id: str | None = None,
    provider: Provider | None = None,
    model: str | None = None,
    budget_usd: Annotated[float | None, Field(ge=0)] = None,
    overrides: dict[str, Any] | None = None,
) -> State[Any]:
    """Turn a spec into verified, landed software.

    Args:
        spec: the path of a spec file, its YAML text, or the spec itself as an object
        run_id: the id of the run; the same id again goes on with it; empty: a new one
        provider: goes before the spec's
        model: goes before the spec's
        budget_usd: the most that the run may spend; goes before the spec's
        overrides: as `--set`, for example {"concurrency": 2, "roles.coder.model": "gpt-5"}
    """
    chosen = {"provider": provider, "model": model, "budget_usd": budget_usd}
    named = {**(overrides or {}), **{name: value for name, value in chosen.items() if value is not None}}
    try:
        async with at_work(spec, run_id or run_of_flow_run(), named) as run:
            await introduce(run)
            async with Gates(run, human_gate) as gates:
                await gates.collect()
                run.announce, run.announced = gates.open, gates.shown
                async with progress(run):
                    with told(run):
                        state = await until_ended(run, conduct(run, prefect_phases()))
                    await gates.shown()
                return await gates.leave(state)
    except LedgerAway as away:
        return Crashed(message=str(away))
