"""The phases as Prefect tasks: their names, what is retried, and what the API shows of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from prefect import Task, flow, tags
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter
from prefect.client.schemas.objects import Artifact, TaskRun
from prefect.runtime import flow_run

from aurea.domain.errors import Permanent, Transient
from tasks.artifacts import publish
from tasks.flow_run import RUN_TAG
from tasks.line import check, implement, land, plan, report, review, review_precheck
from tasks.mapped import mapped
from tasks.options import RETRIES, phase, tag
from tasks.runner import HomeLoopTaskRunner

PHASES = [plan, implement, check, review_precheck, review, land, report]


def test_each_phase_is_a_task_of_its_own_name() -> None:
    assert [task.name for task in PHASES] == [
        "plan",
        "implement",
        "check",
        "review_precheck",
        "review",
        "land",
        "report",
    ]


@pytest.mark.parametrize("task", PHASES, ids=lambda task: task.name)
def test_each_phase_backs_off_and_has_a_limit_and_keeps_nothing(task: Task[..., Any]) -> None:
    assert task.retries == RETRIES
    assert task.retry_delay_seconds == [2, 4, 8]
    assert task.retry_jitter_factor == 0.5
    assert task.timeout_seconds
    assert task.persist_result is False


@pytest.mark.parametrize(
    ("fault", "tries"), [(Transient("busy"), 1 + RETRIES), (Permanent("broken"), 1), (ValueError("odd"), 1)]
)
async def test_only_transient_errors_are_retried(fault: Exception, tries: int) -> None:
    calls = []

    @phase("work", "work")
    async def work() -> None:
        calls.append(1)
        raise fault

    @flow(task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def some() -> None:
        await work.with_options(retry_delay_seconds=0.01)()

    with pytest.raises(type(fault)):
        await some()
    assert len(calls) == tries


async def test_the_api_shows_readable_names_and_tags(client: PrefectClient) -> None:
    @phase("check", "check {name} · {item} #{attempt}")
    async def work(item: str, attempt: int, name: str) -> None:
        tag("check", f"item:{item}", f"attempt:{attempt}")

    @flow(task_runner=HomeLoopTaskRunner(), persist_result=False)
    async def some() -> str:
        await mapped(work, "storage", 2, ["tests", "lint"])
        return str(flow_run.get_id())

    found = await task_runs(client, UUID(await some()), expected=2)
    assert sorted(run.name for run in found) == ["check lint · storage #2", "check tests · storage #2"]
    assert {frozenset(run.tags) for run in found} == {frozenset({"check", "item:storage", "attempt:2"})}


async def test_tables_say_what_they_say_in_both_uis_and_the_latest_report_has_a_version_per_run(
    client: PrefectClient,
) -> None:
    pages = {"files": [{"path": "a/__init__.py", "bytes": 1}, {"path": "plain_name.py", "bytes": 2}]}

    @flow(persist_result=False)
    async def some(run: str) -> None:
        await publish(run, "Own Project", "the headline", pages | {"report": f"# {run}"})

    for run in ("pages-one", "pages-one", "pages-two"):
        with tags(f"{RUN_TAG}{run}"):
            await some(run)
    latest = await artifacts(client, "latest-own-project")
    assert sorted(found.data for found in latest) == ["# pages-one", "# pages-two"]
    assert {found.description for found in latest} == {"the headline"}
    table = (await artifacts(client, "files-pages-one"))[0]
    assert [row["path"] for row in json.loads(table.data)] == ["`a/__init__.py`", "plain_name.py"]


async def artifacts(client: PrefectClient, key: str) -> list[Artifact]:
    return await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))


async def task_runs(client: PrefectClient, flow_run_id: UUID, expected: int) -> list[TaskRun]:
    """The completed task runs of a flow run, once the server has taken in the events that tell of them."""
    for _ in range(100):
        runs = await client.read_task_runs(
            flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}})
        )
        done = [run for run in runs if run.state is not None and run.state.is_completed()]
        if len(done) == expected:
            return done
        await asyncio.sleep(0.1)
    raise AssertionError(f"the server shows {len(done)} completed task runs, not {expected}")
