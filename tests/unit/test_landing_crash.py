"""A process that died around the move of the target: nothing lands twice, and what it landed is built upon."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aurea.delivery import landing
from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.domain.events import RunEnded
from aurea.domain.lifecycle import ItemState
from aurea.domain.spec import Spec
from aurea.ports import Assignment, CommandResult
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.line import memory_run, plain_phases

TARGET = "refs/heads/aurea/run-1"


async def agents(assignment: Assignment) -> Mapping[str, object]:
    """Coders write `<item>.txt`, reviewers approve."""
    if assignment.workspace is None or assignment.role == "reviewer":
        return {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"}
    (assignment.workspace.tree / f"{assignment.item}.txt").write_text(f"{assignment.item}\n")
    return {"summary": "done", "approach": "simple"}


def start(tmp_path: Path, **priorities: int) -> Run:
    """A run with an item for each name."""
    items = [{"id": n, "goal": n, "criteria": ["it works"], "priority": p} for n, p in priorities.items()]
    checks = [{"name": "tests", "run": ["true"]}]
    spec = Spec.model_validate({"project": "p", "objective": "o", "checks": checks, "items": items})
    return memory_run(
        tmp_path, spec, agents, ScriptedRunner(lambda _: CommandResult("exited", 0, "green", 5, 0.1)), SimulatedClock()
    )


async def deliver(run: Run) -> RunEnded:
    return await asyncio.wait_for(conduct(run, plain_phases(run)), 20)


async def crash_between_move_and_record(run: Run) -> str:
    """Deliver until the target has moved to the commit of item `a`, which is not recorded; returns that commit."""
    record = run.ledger.record

    async def crash(name: str, drafts: Any, bodies: Any = None) -> Any:
        if drafts[0].fact.type == "landing.landed" and drafts[0].item == "a":
            raise RuntimeError("killed")
        return await record(name, drafts, bodies)

    run.ledger.record = crash  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await deliver(run)
    run.ledger.record = record  # type: ignore[method-assign]
    assert run.state.ended is not None
    assert run.state.ended.reason_code == "internal_error"
    head = await run.repository.resolve(TARGET)
    assert head is not None
    return head


async def test_a_landing_made_before_a_crash_is_not_made_twice(tmp_path: Path) -> None:
    run = start(tmp_path, a=0)
    head = await crash_between_move_and_record(run)
    assert (await deliver(run)).state == "succeeded"
    assert await run.repository.resolve(TARGET) == head
    assert len(run.state.landings) == 1


async def test_another_item_builds_on_a_landing_that_a_crash_left_unrecorded(tmp_path: Path) -> None:
    run = start(tmp_path, a=1, b=0)
    head = await crash_between_move_and_record(run)
    assert [run.item_state(name) for name in "ab"] == [ItemState.MERGING, ItemState.MERGING]
    await landing.land(run, "b", 1)
    assert [each.landed.sha for each in run.state.landings] == [head, await run.repository.resolve(TARGET)]
    assert (await deliver(run)).state == "succeeded"
    assert [file.path for file in await run.repository.files(run.state.tip)] == ["README.md", "a.txt", "b.txt"]


async def test_a_move_by_a_git_that_outlived_its_process_is_recognised(tmp_path: Path) -> None:
    run = start(tmp_path, a=0)
    set_ref = run.repository.set_ref

    async def moved_already(ref: str, new: str, old: str | None) -> bool:
        await set_ref(ref, new, old)
        return await set_ref(ref, new, old)

    run.repository.set_ref = moved_already  # type: ignore[method-assign]
    assert (await deliver(run)).state == "succeeded"
    assert len(run.state.landings) == 1


async def test_a_run_that_ended_before_its_report_is_only_reported(tmp_path: Path) -> None:
    run = start(tmp_path, a=0)
    ended = await deliver(run)
    seq, reports = run.state.last_seq, 0

    async def report() -> dict[str, Any]:
        nonlocal reports
        reports += 1
        return {}

    run.report = report
    assert await deliver(run) == ended
    assert (run.state.last_seq, reports) == (seq, 1)
