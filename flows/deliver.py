"""The flow `deliver`: takes a run up, conducts it with one Prefect task per phase, and ends in the state that fits."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Crashed, Failed
from pydantic import Field, WithJsonSchema

from aurea.delivery.conduct import conduct
from aurea.domain.errors import LedgerAway, UsageError
from aurea.domain.spec import Provider
from flows.human_gate import human_gate
from tasks.flow_run import introduce, own_flow_run, run_of_flow_run, until_ended
from tasks.gates import Gates
from tasks.line import prefect_phases
from tasks.logs import told
from tasks.progress import progress
from tasks.runner import HomeLoopTaskRunner
from tasks.runs import at_work

# The titles are what the UI's form calls the ways to fill a field in. An object that is one of several ways has no input in
# v2 of the UI, so that `overrides` is nothing but an object.
OfSpec = Annotated[None, Field(title="the spec's")]
NO_OVERRIDES: dict[str, Any] = {}


@flow(name="deliver", task_runner=HomeLoopTaskRunner(), persist_result=False)
async def deliver(
    spec: Annotated[str, Field(title="path or text")] | Annotated[dict[str, Any], Field(title="object")],
    run_id: Annotated[str, Field(title="this one")] | Annotated[None, Field(title="a new one")] = None,
    provider: Annotated[Provider, Field(title="this one")] | OfSpec = None,
    model: Annotated[str, Field(title="this one")] | OfSpec = None,
    budget_usd: Annotated[float, Field(ge=0, title="this")] | OfSpec = None,
    overrides: Annotated[dict[str, Any] | None, WithJsonSchema({"type": "object"})] = NO_OVERRIDES,
) -> State[Any]:
    """Turn a spec into verified, landed software.

    Args:
        spec: the path of a spec on the machine that works, or its text (YAML or JSON), or the spec as an object
        run_id: a name for the run; the id of a run that has begun goes on with it
        provider: whose models are asked
        model: which model the agents use
        budget_usd: the most that the run may spend, in USD
        overrides: other keys of the spec, as --set has them, for example {"concurrency": 2, "roles.coder.model": "gpt-5"}
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
    except UsageError as refused:
        if own_flow_run().deployment_id is None:
            raise
        return Failed(message=str(refused))  # read in the UI, where a traceback would hide it
