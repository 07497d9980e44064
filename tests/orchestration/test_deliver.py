"""The flow `deliver` on the real core: states, names, artifacts, and the flow run that a second process goes on with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import LogSort
from prefect.states import Running

from aurea.bootstrap import create_run
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.settings import Settings

SPEC = """
project: Tiny_Thing
objective: a file
provider: replay
cassette: cassette.yaml
reviewers: []
checks:
  - {name: there, run: [test, -f, made.txt]}
  - {name: full, run: [test, -s, made.txt]}
items:
  - {id: make, title: Make, goal: make the file, criteria: [it is there]}
"""

CASSETTE = """
schema: aurea.cassette/1
project: tiny
---
item: make
attempt: 1
role: coder
conversation: coder
step: 1
delay_s: 0.0
calls:
  - name: write_file
    arguments: {path: made.txt, content: made}
---
item: make
attempt: 1
role: coder
conversation: coder
step: 2
calls:
  - name: submit_report
    arguments: {summary: made, approach: wrote it}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec with one item and two checks, and the models' answers."""
    (tmp_path / "cassette.yaml").write_text(CASSETTE)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home of its own; the server is the one of the session."""
    with Home(Settings.read({**environment(tmp_path)})) as opened:
        yield opened


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AUREA_HOME": str(folder / "home"),
        "AUREA_WORKSPACES": str(folder / "workspaces"),
        "AUREA_QUALITY_WAIT_S": "0",
    }


async def begin(home: Home, spec: Path, run: str) -> None:
    resolved = resolve(spec, Flags(), cwd=spec.parent, settings=home.settings)
    await create_run(home, resolved, run)


async def flow_runs(run: str) -> list[FlowRun]:
    async with get_client() as client:
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=["aurea", f"run:{run}", "project:Tiny_Thing"]))
        found = await client.read_flow_runs(flow_run_filter=tagged)
    return [flow_run for flow_run in found if flow_run.name.startswith("deliver")]  # and none of its questions


async def test_a_run_is_one_flow_run_with_tasks_and_artifacts(home: Home, spec: Path, client: PrefectClient) -> None:
    from surfaces.server.flow_runs import run_deliver

    await begin(home, spec, "tiny-one")
    await run_deliver(home, "tiny-one")

    state = home.state("tiny-one")
    assert state.ended is not None and state.ended.state == "succeeded"
    [found] = await flow_runs("tiny-one")
    assert (found.name, found.state_type) == ("deliver tiny-one", StateType.COMPLETED)
    assert state.link is not None
    assert (state.link.flow_run, state.link.ui_url is not None) == (str(found.id), True)
    keys = [f"{page}-tiny-one" for page in ("report", "items", "checks", "files", "costs", "topology")]
    published = await client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[*keys, "latest-tiny-thing"]))
    )
    assert {artifact.key for artifact in published} == {*keys, "latest-tiny-thing"}
    assert await task_names(client, found, 6) == [
        "check full · make #1",
        "check there · make #1",
        "implement make #1",
        "land make #1",
        "plan",
        "report",
        "review_precheck make #1",
    ]


async def test_the_log_of_the_flow_run_tells_what_matters(home: Home, spec: Path, client: PrefectClient) -> None:
    from surfaces.server.flow_runs import run_deliver

    await begin(home, spec, "tiny-told")
    await run_deliver(home, "tiny-told")
    [found] = await flow_runs("tiny-told")
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[found.id]))
    lines: list[str] = []
    for _ in range(100):
        told = await client.read_logs(chosen, sort=LogSort.TIMESTAMP_ASC)
        lines = [" ".join(log.message.split()) for log in told]
        if lines and lines[-1] == "run succeeded":
            break
        await asyncio.sleep(0.1)
    assert lines[0] == "run tiny-told: a file"
    assert [line for line in lines if line.startswith("make #1 landed as ")]
    assert [line for line in lines if line.startswith("make #1 check there passed")]
    assert lines[-1] == "run succeeded"
    assert len(lines) < 20, "one line per thing that matters"


async def task_names(client: PrefectClient, flow_run: FlowRun, expected: int) -> list[str]:
    """Names of the task runs, once the server has taken in the events that tell of them."""
    names: list[str] = []
    for _ in range(100):
        runs = await client.read_task_runs(
            flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [flow_run.id]}})
        )
        names = sorted(run.name for run in runs)
        if len(names) > expected:
            break
        await asyncio.sleep(0.1)
    return names


async def test_a_flow_run_that_a_dead_process_left_running_is_gone_on_with(
    home: Home, spec: Path, client: PrefectClient
) -> None:
    from flows.deliver import deliver
    from surfaces.server.flow_runs import run_deliver

    await begin(home, spec, "tiny-stale")
    left = await client.create_flow_run(
        deliver,
        parameters={"spec": "x", "run_id": "tiny-stale"},
        tags=["aurea", "run:tiny-stale", "project:Tiny_Thing"],
    )
    await client.set_flow_run_state(left.id, Running(), force=True)
    await run_deliver(home, "tiny-stale")

    [found] = await flow_runs("tiny-stale")
    assert (found.id, found.state_type, found.run_count) == (left.id, StateType.COMPLETED, 2)
    states = [state.name for state in await client.read_flow_run_states(left.id)]
    assert states[-3:] == ["Crashed", "Running", "Completed"]


async def test_a_waiting_run_is_paused_and_goes_on_in_the_same_flow_run(home: Home, spec: Path) -> None:
    from surfaces.server.flow_runs import run_deliver

    spec.write_text(SPEC.replace("run: [test, -f, made.txt]", "run: [test, -f, never.txt]") + "max_attempts: 1\n")
    await begin(home, spec, "tiny-waits")
    await run_deliver(home, "tiny-waits")
    [waiting] = await flow_runs("tiny-waits")
    assert waiting.state_type is StateType.PAUSED

    await run_deliver(home, "tiny-waits")
    [again] = await flow_runs("tiny-waits")
    assert (again.id, again.state_type, again.run_count) == (waiting.id, StateType.PAUSED, 2)


async def test_a_deployed_run_whose_spec_is_refused_fails_in_words(
    client: PrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.flow_engine import run_flow_async

    from flows.deliver import deliver

    monkeypatch.setenv("AUREA_HOME", str(tmp_path / "home"))
    deployment = await client.create_deployment(await client.create_flow(deliver), "refused")
    flow_run = await client.create_flow_run_from_deployment(deployment, parameters={"spec": "projct: x\n"})
    state = await run_flow_async(deliver, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")
    assert (state.type, "did you mean 'project'" in str(state.message)) == (StateType.FAILED, True)
    assert "Traceback" not in str(state.message)
    assert not (tmp_path / "home" / "runs").exists()
