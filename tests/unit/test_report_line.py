"""What is not so in an agent's report: who is told of it on the whole line, and that it decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.domain.spec import Spec
from aurea.ports import Assignment, CommandResult
from aurea.reporting.document import run_document
from aurea.reporting.markdown import _attempts
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.line import ScriptedEngine, memory_run, plain_phases

APPROVE = {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"}
UNTRUE = {
    "summary": "All tests pass.", "approach": "simple", "files": ["a.txt", "b.txt"],
    "criteria": [{"criterion": "it works", "evidence": "tests/test_a.py::test_it"}],
}  # fmt: skip
CLAIMS = [
    "the report says “All tests pass.”, and no such command was run in this attempt",
    "the report names it among its files, and the attempt did not change it",
    "the report's evidence names tests/test_a.py, which is not in the tree",
]


def begin(tmp_path: Path) -> Run:
    """A run of one item whose first attempt fails its check; both attempts report more than there is."""

    async def script(at: Assignment) -> Mapping[str, object]:
        if at.role == "reviewer":
            return APPROVE
        assert at.workspace is not None
        (at.workspace.tree / "a.txt").write_text(f"{at.attempt}\n")
        return UNTRUE

    outcomes = iter([CommandResult("exited", 0, "green", 5, 0.1), CommandResult("exited", 1, "red", 3, 0.1)])
    runner = ScriptedRunner(lambda _: next(outcomes, CommandResult("exited", 0, "green", 5, 0.1)))
    items = [{"id": "a", "goal": "write a", "criteria": ["it works"]}]
    checks = [{"name": "tests", "run": ["true"]}]
    spec = Spec.model_validate({"project": "p", "objective": "o", "checks": checks, "items": items})
    return memory_run(tmp_path, spec, script, runner, SimulatedClock())


async def test_what_is_not_so_reaches_everybody_and_sends_nothing_back(tmp_path: Path) -> None:
    run = begin(tmp_path)
    assert (await asyncio.wait_for(conduct(run, plain_phases(run)), 20)).state == "succeeded"
    first, second = run.state.item("a").attempts
    assert [claim.text for claim in first.claims] == CLAIMS == [claim.text for claim in second.claims]
    assert {claim.severity for claim in second.claims} == {"minor"} and second.landed is not None
    assert first.reason is not None and "tests" in first.reason and "report" not in first.reason

    assert isinstance(run.engine, ScriptedEngine)
    told = {(given.role, given.attempt): given.task for given in run.engine.assignments}
    assert "Its report said what was not so: " + CLAIMS[0] in told["coder", 2]
    assert all(text in told["reviewer", 2] for text in CLAIMS), "shown to who judges"
    document = run_document(run.state, alive=False, folder="/runs/x", now=run.clock.now())
    assert [attempt["not_borne_out"] for attempt in document["items"][0]["attempts"]] == [3, 3]
    page = "\n".join(_attempts(document))
    assert "attempt 2: report: 3 statements not borne out" in page and "which is not in the tree" in page
