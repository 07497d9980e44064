"""A flow run whose process was killed is shown as Crashed, and one that somebody works on is left alone."""

from __future__ import annotations

import fcntl
from pathlib import Path

from prefect import flow, task
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Running

from surfaces.server.dead import MESSAGE, crash_the_dead
from surfaces.server.place import Place, api_url


@flow(name="deliver")
async def deliver(spec: str = "") -> None:
    """Never run: it stands on the server as a process left it."""


@task
async def phase() -> None:
    """Never run either."""


async def running(client: PrefectClient, home: Path, run: str, *, deployed: bool = False) -> tuple[FlowRun, Path]:
    """A flow run that is Running, and the lock of its run."""
    tags = ["aurea", f"run:{run}"]
    if deployed:
        deployment = await client.create_deployment(await client.create_flow(deliver), run)
        made = await client.create_flow_run_from_deployment(deployment, tags=tags)
    else:
        made = await client.create_flow_run(deliver, tags=tags)
    await client.set_flow_run_state(made.id, Running(), force=True)
    lock = home / "runs" / run / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    return made, lock


async def test_what_was_killed_crashes_and_what_is_at_work_does_not(
    client: PrefectClient, server: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    api = api_url(Place(server).read()["port"])
    dead, _ = await running(client, home, "dead-run")
    await running(client, home, "begun-run", deployed=True)
    living, lock = await running(client, home, "living-run")
    other = await client.create_flow_run(deliver, tags=["aurea", "run:of-another-home"])
    spec = tmp_path / "another-home" / "runs" / "dead-run" / "inputs" / "resolved.json"
    spec.parent.mkdir(parents=True)
    spec.write_text("{}")
    same_id = await client.create_flow_run(deliver, tags=["aurea", "run:dead-run"], parameters={"spec": str(spec)})
    asking = await client.create_flow_run(deliver, tags=["aurea", "run:dead-run", "question:q-1"])
    at_work = await client.create_task_run(phase, dead.id, "0", state=Running())
    for each in (other, same_id, asking):
        await client.set_flow_run_state(each.id, Running(), force=True)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert crash_the_dead(api, home) == ["dead-run"]
        assert crash_the_dead(api, home, grace_s=0) == ["begun-run"]
    states = [(await client.read_flow_run(each.id)).state for each in (dead, asking, living, other, same_id)]
    assert [state.type.value for state in states if state] == ["CRASHED", "PENDING", *["RUNNING"] * 3]
    assert (await client.read_task_run(at_work.id)).state_type is StateType.CRASHED
    assert states[0] is not None
    assert states[0].message == MESSAGE
    for each in (living, other, same_id, asking):
        await client.delete_flow_run(each.id)
