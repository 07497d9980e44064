"""The deployments of Aurea served by this process: flow runs that are due are started as its children."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.events.schemas.events import ResourceSpecification
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from flows.deliver import deliver
from flows.human_gate import human_gate
from flows.pick_up import pick_up
from flows.upkeep import upkeep
from tasks.pick_up import LEFT

LOOK_S = 2  # between two looks for flow runs that are due


async def serve_deployments(ready: Callable[[], None]) -> None:
    """Serve Aurea's deployments until SIGINT or SIGTERM; `ready` is called when they are known to the server.

    Flow runs at work are then interrupted, so that `aurea resume` goes on with them, and the schedules pause until the
    next time. The environment must name the server before this module is imported.
    """
    runner = Runner(name="aurea", pause_on_shutdown=True, query_seconds=LOOK_S, webserver=False)
    for deployment in await _deployments():
        await runner.aadd_deployment(deployment)
    ready()
    serving = asyncio.ensure_future(runner.start())
    await asyncio.sleep(0)  # the runner takes SIGTERM for itself in its first step; that would cancel what is at work
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _deployments() -> list[RunnerDeployment]:
    """The same names as in `prefect.yaml`; found as modules, so that the folder they are started in does not matter."""
    return [
        await deliver.ato_deployment(
            "deliver",
            description="Turn a spec into verified, landed software",
            tags=["aurea"],
            entrypoint_type=EntrypointType.MODULE_PATH,
        ),
        await pick_up.ato_deployment(
            "pick_up",
            description="A suspended run goes on when one of its questions is answered in the UI",
            tags=["aurea"],
            triggers=[_answered()],
            entrypoint_type=EntrypointType.MODULE_PATH,
        ),
        await upkeep.ato_deployment(
            "upkeep",
            description="Every day verify the ledger, clean workspaces, run the gates of what landed again",
            tags=["aurea"],
            cron="30 5 * * *",
            entrypoint_type=EntrypointType.MODULE_PATH,
        ),
    ]


def _answered() -> DeploymentEventTrigger:
    return DeploymentEventTrigger(
        name="Aurea: an answer picks its run up",
        description="Starts pick_up when a question of a suspended run is answered",
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*", "prefect.resource.name": f"*{LEFT}"}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": human_gate.name}
        ),
        expect={"prefect.flow-run.Running"},
    )
