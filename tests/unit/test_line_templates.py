"""Lines that templates say: which phases work at the same time, what is left out, and what none can leave out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.domain.events import RunEnded
from aurea.domain.route import LINE, Route
from aurea.domain.spec import Spec
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.ports import Assignment, CommandLine, CommandResult
from aurea.settings import Settings
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.line import ScriptedEngine, memory_run, plain_phases

APPROVE = {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"}
REPORT = {"summary": "done", "approach": "simple"}


def begin(tmp_path: Path, route: Mapping[str, Any], *, red: int = 0, script: Any = None, **more: Any) -> Run:
    """A run of one item whose check is red for its first `red` attempts."""

    async def agents(assignment: Assignment) -> Mapping[str, object]:
        await asyncio.sleep(0)
        if assignment.role == "reviewer":
            return APPROVE
        assert assignment.workspace is not None
        text = "bad" if assignment.attempt <= red else "good"
        (assignment.workspace.tree / f"{assignment.item}.txt").write_text(f"{text} {assignment.attempt}\n")
        return REPORT

    def judge(command: CommandLine) -> CommandResult:
        failed = any("bad" in file.read_text() for file in command.folder.glob("*.txt"))
        return CommandResult("exited", int(failed), "RED" if failed else "green", 5, 0.1)

    items = [{"id": "a", "goal": "write a", "criteria": ["it works"]}]
    values = {"project": "p", "objective": "o", "checks": [{"name": "tests", "run": ["true"]}], "items": items, **more}
    values["template"] = {"name": "mine", **route}
    return memory_run(tmp_path, Spec.model_validate(values), script or agents, ScriptedRunner(judge), SimulatedClock())


async def walked(run: Run) -> list[tuple[str, ...]]:
    """Deliver `run`; the phases of its item in order, those that were at work at the same time together."""
    plain, at_work, groups = plain_phases(run), set[str](), list[set[str]]()

    def watched(name: str) -> Any:
        async def phase(*arguments: Any) -> None:
            at_work.add(name)
            if len(at_work) == 1:
                groups.append(set())
            groups[-1].add(name)
            await asyncio.sleep(0)
            await getattr(plain, name)(*arguments)
            at_work.discard(name)

        return phase

    names = ("implement", "precheck", "checks", "reviews", "land")
    phases = replace(plain, **{name: watched(name) for name in names})
    ending: RunEnded = await asyncio.wait_for(conduct(run, phases), 20)
    assert ending.state == "succeeded"
    return [tuple(sorted(group)) for group in groups]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (LINE, [("implement",), ("checks", "precheck"), ("reviews",), ("land",)]),
        (
            ["implement", "review_precheck", "check", "review"],
            [("implement",), ("precheck",), ("checks",), ("reviews",), ("land",)],
        ),
        (["implement", ["check", "review_precheck", "review"]], [("implement",), ("checks", "precheck", "reviews"), ("land",)]),
        (["implement", "check", "review_precheck"], [("implement",), ("checks",), ("precheck",), ("land",)]),
    ],
)  # fmt: skip
async def test_an_item_walks_the_line_of_its_template(tmp_path: Path, line: Any, wanted: list[Any]) -> None:
    assert await walked(begin(tmp_path, {"line": line})) == wanted


async def test_what_failed_is_not_looked_at_further(tmp_path: Path) -> None:
    run = begin(tmp_path, {"line": ["implement", "check", "review_precheck", "review"]}, red=1)
    first = [("implement",), ("checks",)]
    assert await walked(run) == [*first, ("implement",), ("checks",), ("precheck",), ("reviews",), ("land",)]
    assert run.state.item("a").attempts[0].verdict is not None


async def test_an_item_without_review_is_judged_by_the_gate(tmp_path: Path) -> None:
    run = begin(tmp_path, {"lines": {"a": ["implement", ["check", "review_precheck"]]}})
    assert await walked(run) == [("implement",), ("checks", "precheck"), ("land",)]
    verdict = run.state.item("a").attempts[0].verdict
    assert verdict is not None and verdict.by == "gate"
    assert run.state.item("a").landed is not None
    assert [e.name for e in run.state.evidence.values() if e.kind == "gate"] == ["tests"], "the gate ran all the same"


async def test_a_review_beside_red_checks_does_not_save_the_change(tmp_path: Path) -> None:
    run = begin(tmp_path, {"line": ["implement", ["check", "review_precheck", "review"]]}, red=1)
    groups = await walked(run)
    assert groups[:3] == [("implement",), ("checks", "precheck", "reviews"), ("implement",)]
    verdict = run.state.item("a").attempts[0].verdict
    assert verdict is not None and (verdict.decision, verdict.by) == ("return", "gate")


@pytest.mark.parametrize(
    "line",
    [[], ["implement"], ["implement", "check"], ["implement", "review_precheck", "review"], ["check", "review_precheck"],
     [["implement", "check"], "review_precheck"], ["implement", "check", "review_precheck", "land"]],
)  # fmt: skip
def test_no_recorded_line_leaves_out_what_proves_a_change(line: list[Any]) -> None:
    with pytest.raises(ValidationError):
        Route(name="x", line=line)  # type: ignore[arg-type]


async def test_the_pipeline_lands_from_the_design_to_the_proof(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "project: p\nobjective: notes\ntemplate: pipeline\nacceptance: [a note is kept]\nprovider: ollama\n"
        "checks: [{name: tests, run: [x]}]\n"
    )
    settings = Settings.read({"HOME": str(tmp_path)})
    resolved = resolve("s.yaml", Flags(), cwd=tmp_path, settings=settings).spec
    both, at_work = asyncio.Event(), set[str]()

    async def agents(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role == "reviewer":
            return APPROVE
        assert assignment.workspace is not None and assignment.item is not None
        if assignment.item in ("builder", "docs"):
            at_work.add(assignment.item)
            if len(at_work) == 2:
                both.set()
            await both.wait()  # each waits until the other is at work as well
        (assignment.workspace.tree / f"{assignment.item}.txt").write_text("good\n")
        return REPORT

    dumped = resolved.model_dump(mode="json")
    run = begin(tmp_path, dumped["template"], script=agents, items=dumped["items"], acceptance=["a note is kept"])
    ending = await asyncio.wait_for(conduct(run, plain_phases(run)), 20)
    assert ending.state == "succeeded"
    landed = [e.item for e in run.ledger.events(run.id) if e.type == "landing.landed"]
    assert landed[0] == "architect" and landed[-1] == "qa" and set(landed[1:3]) == {"builder", "docs"}
    assert isinstance(run.engine, ScriptedEngine)
    roles = [given.role for given in run.engine.assignments if given.role != "reviewer"]
    assert sorted(roles) == ["architect", "builder", "docs", "tester"], "and no planner"
