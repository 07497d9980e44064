"""The baseline: setup and all checks on the base tree, before a model is asked anything."""

from __future__ import annotations

import asyncio

from aurea.delivery import workspaces
from aurea.delivery.checks import execute
from aurea.delivery.context import Run
from aurea.domain.evidence import Evidence, evidence_id


async def measure(run: Run) -> None:
    """Run what has no baseline evidence yet. A red base is recorded, not refused; a missing command raises `Blocked`."""
    assert run.state.created is not None
    sha = run.state.created.base.sha
    tree = await run.repository.tree_of(sha)
    todo = [
        check
        for check in run.spec.checks or ()
        if evidence_id("baseline", check.name, None, None, tree) not in run.state.evidence
    ]
    if not todo and not run.spec.setup:
        return
    async with workspaces.scratch(run, "baseline", sha) as workspace, asyncio.TaskGroup() as together:
        for check in todo:
            log = run.log_folder(None, None) / f"{check.name}.log"
            together.create_task(execute(run, workspace, check, "baseline", None, None, tree, log))


def red(run: Run) -> list[Evidence]:
    """The checks that fail on the base tree."""
    return [e for e in run.state.evidence.values() if e.kind == "baseline" and not e.passed]
