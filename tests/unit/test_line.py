"""The whole line on fakes: plan, attempts, verdicts, lessons, landings, questions, resume."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.domain.errors import Blocked, BudgetReached
from aurea.domain.events import ItemMoved, RunEnded
from aurea.domain.lifecycle import ItemState
from aurea.domain.spec import Spec
from aurea.ports import AgentOutcome, Assignment, CommandLine, CommandResult
from aurea.testing.clock import SimulatedClock
from aurea.testing.line import ScriptedEngine, memory_run, plain_phases

APPROVE = {
    "decision": "approve",
    "criteria": [{"criterion": "it works", "met": "yes"}],
    "findings": [],
    "summary": "ok",
}
REPORT = {"summary": "done", "approach": "simple"}


class TreeRunner:
    """Runs checks by looking at the tree: `judge` maps a folder to the exit code."""

    name = "tree"
    cannot = "anything"

    def __init__(self, judge: Callable[[Path], int] = lambda tree: 0) -> None:
        self.judge = judge
        self.commands: list[CommandLine] = []

    async def run(self, command: CommandLine) -> CommandResult:
        self.commands.append(command)
        await asyncio.sleep(0)
        if command.argv[0] == "missing":
            return CommandResult("not_run", None, "", 0, 0.0, "no such program: 'missing'")
        code = self.judge(command.folder)
        return CommandResult("exited", code, "RED: expected blue" if code else "green", 10, 0.1)

    async def close(self) -> None:
        pass


def item(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "goal": f"write {name}", "criteria": ["it works"], "depends_on": list(after), **more}


def spec(*items: dict[str, Any], **more: Any) -> Spec:
    values = {
        "project": "p",
        "objective": "o",
        "checks": [{"name": "tests", "run": ["true"]}],
        "items": list(items) or None,
    }
    return Spec.model_validate({**values, **more})


def writer(**contents: str) -> Callable[[Assignment], Any]:
    """Agents that write `<item>.txt`, or what `contents` says for `<item>_<attempt>`; reviewers approve."""

    async def script(assignment: Assignment) -> Mapping[str, object]:
        await asyncio.sleep(0)
        if assignment.role == "reviewer":
            return APPROVE
        assert assignment.workspace is not None
        text = contents.get(f"{assignment.item}_{assignment.attempt}", f"{assignment.item}\n")
        (assignment.workspace.tree / f"{assignment.item}.txt").write_text(text)
        return REPORT

    return script


def start(tmp_path: Path, wanted: Spec, script: Any = None, judge: Callable[[Path], int] = lambda tree: 0) -> Run:
    return memory_run(tmp_path, wanted, script or writer(), TreeRunner(judge), SimulatedClock())


async def deliver(run: Run) -> RunEnded:
    return await asyncio.wait_for(conduct(run, plain_phases(run)), 20)


def moves(run: Run, name: str) -> list[str]:
    events = run.ledger.events(run.id)
    return [e.fact.target.value for e in events if e.item == name and isinstance(e.fact, ItemMoved)]


async def files(run: Run) -> dict[str, str]:
    tip = run.state.tip
    return {f.path: (await run.repository.read(tip, f.path) or b"").decode() for f in await run.repository.files(tip)}


async def test_items_land_in_the_order_of_their_dependencies(tmp_path):
    run = start(tmp_path, spec(item("a"), item("b"), item("c", "a", "b")))
    assert (await deliver(run)).state == "succeeded"
    assert moves(run, "c") == ["ready", "active", "awaiting_qa", "merging", "complete"]
    assert {"a.txt", "b.txt", "c.txt"} <= set(await files(run))
    begun = [e.item for e in run.ledger.events(run.id) if e.type == "attempt.started"]
    assert begun[-1] == "c"
    landed = run.state.item("c").landed
    message = run.repository.commits[landed.sha].message
    assert f"Aurea-Run: run-1\nAurea-Item: c\nAurea-Attempt: 1\nAurea-Gate: {landed.gate}\n" in message


async def test_nothing_is_left_of_the_workspaces(tmp_path):
    run = start(tmp_path, spec(item("a"), item("b")))
    await deliver(run)
    assert [p for p in run.workspaces.rglob("*") if p.is_file()] == []


async def test_a_failed_check_sends_back_with_its_output_and_the_second_attempt_lands(tmp_path):
    def judge(tree: Path) -> int:
        return int((tree / "a.txt").exists() and "bad" in (tree / "a.txt").read_text())

    run = start(tmp_path, spec(item("a")), writer(a_1="bad\n", a_2="good\n"), judge)
    assert (await deliver(run)).state == "succeeded"
    second = [a for a in engine(run).assignments if a.role == "coder"][1]
    assert "RED: expected blue" in second.task
    assert "bad" in second.task, "the previous diff is shown"
    assert [a.state for a in run.state.item("a").attempts] == ["failed", "landed"]
    assert [a.role for a in engine(run).assignments] == ["coder", "coder", "reviewer"], "a red attempt is not reviewed"


async def test_a_clean_merge_that_breaks_together_never_reaches_the_target(tmp_path):
    def judge(tree: Path) -> int:
        return int((tree / "a.txt").exists() and (tree / "b.txt").exists() and "v2" not in (tree / "b.txt").read_text())

    run = start(tmp_path, spec(item("a", priority=1), item("b"), concurrency=2), writer(b_2="b v2\n"), judge)
    assert (await deliver(run)).state == "succeeded"
    assert run.state.item("b").attempts[0].refused.kind == "red"
    retry = next(a for a in engine(run).assignments if a.item == "b" and a.attempt == 2)
    assert "write a" in retry.task, "what landed meanwhile is explained"
    for landing in run.state.landings:
        gates = [e for e in run.state.evidence.values() if e.kind == "gate" and e.tree == landing.landed.tree]
        assert gates
        assert all(e.passed for e in gates)


async def test_a_conflict_goes_back_to_a_new_attempt_on_the_new_tip(tmp_path):
    async def script(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role == "reviewer":
            return APPROVE
        shared = assignment.workspace.tree / "shared.txt"
        before = shared.read_text() if shared.exists() else ""
        shared.write_text(f"{before}{assignment.item}\n")
        return REPORT

    run = start(tmp_path, spec(item("a"), item("b"), concurrency=2), script)
    assert (await deliver(run)).state == "succeeded"
    assert sorted((await files(run))["shared.txt"].split()) == ["a", "b"]
    assert sorted(len(i.attempts) for i in run.state.items.values()) == [1, 2]


async def test_spent_attempts_ask_a_person_and_everything_else_goes_on(tmp_path):
    def judge(tree: Path) -> int:
        return int((tree / "a.txt").exists())

    run = start(tmp_path, spec(item("a"), item("b"), item("c", "a"), max_attempts=2), None, judge)
    ending = await deliver(run)
    assert ending.state == "waiting"
    states = {name: entry.state for name, entry in run.state.items.items()}
    assert states == {"a": ItemState.WAITING_HUMAN, "b": ItemState.COMPLETE, "c": ItemState.PLANNED}
    [asked] = run.state.questions.values()
    assert (asked.question.kind, asked.question.item) == ("escalation", "a")
    assert len(run.state.item("a").attempts) == 2


async def test_a_reviewer_sends_back_and_its_loops_are_counted(tmp_path):
    async def script(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role == "reviewer":
            found = [{"file": "a.txt", "severity": "blocker", "text": "says nothing"}]
            return {"decision": "return", "criteria": [], "findings": found, "summary": "no"}
        (assignment.workspace.tree / "a.txt").write_text(f"{assignment.attempt}\n")
        return REPORT

    run = start(tmp_path, spec(item("a"), review_loops=1), script)
    assert (await deliver(run)).state == "waiting"
    assert len(run.state.item("a").attempts) == 2
    assert "a.txt: says nothing" in engine(run).assignments[2].task


async def test_a_missing_key_spends_no_attempt_and_asks_once(tmp_path):
    key = {"set": False}

    async def script(assignment: Assignment) -> Mapping[str, object]:
        if not key["set"]:
            raise Blocked("the key was refused", remedy="set OPENAI_API_KEY")
        return await writer()(assignment)

    run = start(tmp_path, spec(item("a"), item("b")), script)
    assert (await deliver(run)).state == "waiting"
    [asked] = run.state.questions.values()
    assert (asked.question.kind, asked.question.title) == ("blocked", "the key was refused")
    assert all(entry.spent == 0 for entry in run.state.items.values())


async def test_the_budget_asks_its_own_kind_of_question(tmp_path):
    async def script(assignment: Assignment) -> Mapping[str, object]:
        raise BudgetReached("5 USD are spent", limit_usd=5, needed_usd=1)

    run = start(tmp_path, spec(item("a")), script)
    assert (await deliver(run)).state == "waiting"
    assert [asked.question.kind for asked in run.state.questions.values()] == ["budget"]


async def test_a_check_that_cannot_start_ends_the_run_before_any_model_is_asked(tmp_path):
    run = start(tmp_path, spec(item("a"), checks=[{"name": "tests", "run": ["missing"]}]))
    assert (await deliver(run)).state == "waiting"
    assert engine(run).assignments == []
    [asked] = run.state.questions.values()
    assert "'missing'" in asked.question.title


async def test_a_red_base_is_told_to_the_agents(tmp_path):
    def judge(tree: Path) -> int:
        return int(not (tree / "a.txt").exists())

    run = start(tmp_path, spec(item("a")), None, judge)
    assert (await deliver(run)).state == "succeeded"
    assert "RED: expected blue" in engine(run).assignments[0].task


async def test_a_planner_is_told_why_its_plan_was_refused(tmp_path):
    plans = [[item("a", "b"), item("b", "a")], [item("a"), item("b", "a")]]

    async def script(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role == "planner":
            return {"items": plans[assignment.attempt - 1]}
        return await writer()(assignment)

    run = start(tmp_path, spec(), script)
    assert (await deliver(run)).state == "succeeded"
    assert "a -> b -> a" in engine(run).assignments[1].task


async def test_a_planner_can_read_the_repository_which_is_gone_afterwards(tmp_path):
    looked: list[tuple[Path, str]] = []

    async def script(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role == "planner":
            assert assignment.workspace is not None
            tree = assignment.workspace.tree
            looked.append((tree, (tree / "README.md").read_text()))
            return {"items": [item("a")]}
        return await writer()(assignment)

    assert (await deliver(start(tmp_path, spec(), script))).state == "succeeded"
    assert [text for _, text in looked] == ["# A project\n"]
    assert not looked[0][0].exists()


async def test_three_refused_plans_end_the_run(tmp_path):
    async def script(assignment: Assignment) -> Mapping[str, object]:
        return {"items": [item("a", "a")]}

    ending = await deliver(start(tmp_path, spec(), script))
    assert (ending.state, ending.reason_code) == ("failed", "plan_rejected")


async def test_an_exhausted_agent_fails_its_attempt_and_the_limit_is_named(tmp_path):
    async def script(assignment: Assignment) -> Any:
        if assignment.role != "reviewer" and assignment.attempt == 1:
            return AgentOutcome(ended="exhausted", limit="turns", reason="60 turns are used up")
        return await writer()(assignment)

    run = start(tmp_path, spec(item("a")), script)
    assert (await deliver(run)).state == "succeeded"
    assert run.state.item("a").attempts[0].ended.limit == "turns"
    assert "60 turns are used up" in engine(run).assignments[1].task


async def test_no_more_items_than_concurrency_are_at_work(tmp_path):
    at_work: set[str] = set()
    most = []

    async def script(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role != "reviewer":
            at_work.add(assignment.item)
            most.append(len(at_work))
            await asyncio.sleep(0.01)
            at_work.discard(assignment.item)
        return await writer()(assignment)

    run = start(tmp_path, spec(*(item(f"i{n}") for n in range(6)), concurrency=3), script)
    assert (await deliver(run)).state == "succeeded"
    assert max(most) == 3


async def test_priority_then_longest_remaining_chain_goes_first(tmp_path):
    run = start(
        tmp_path, spec(item("short"), item("long"), item("end", "long"), item("first", priority=5), concurrency=1)
    )
    assert (await deliver(run)).state == "succeeded"
    begun = [e.item for e in run.ledger.events(run.id) if e.type == "attempt.started"]
    assert begun[:2] == ["first", "long"]


@pytest.mark.parametrize("stopping", [None, "cancelled"])
async def test_a_cancelled_run_ends_in_a_named_state(tmp_path, stopping):
    started = asyncio.Event()

    async def script(assignment: Assignment) -> Mapping[str, object]:
        started.set()
        await asyncio.Event().wait()
        return REPORT

    run = start(tmp_path, spec(item("a")), script)
    run.stopping = stopping
    work = asyncio.ensure_future(conduct(run, plain_phases(run)))
    await started.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert run.state.ended.state == (stopping or "interrupted")
    left = run.attempt_folder("a", 1).exists()
    assert left is (stopping is None), "an interrupted attempt goes on with its files"


async def test_an_interrupted_attempt_goes_on_in_its_own_workspace(tmp_path):
    reached = asyncio.Event()
    calls = []

    async def script(assignment: Assignment) -> Mapping[str, object]:
        calls.append((assignment.role, assignment.attempt))
        if assignment.role == "reviewer":
            return APPROVE
        file = assignment.workspace.tree / "a.txt"
        if not file.exists():
            file.write_text("half\n")
            reached.set()
            await asyncio.Event().wait()
        file.write_text(file.read_text() + "whole\n")
        return REPORT

    run = start(tmp_path, spec(item("a")), script)
    work = asyncio.ensure_future(conduct(run, plain_phases(run)))
    await reached.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (await deliver(run)).state == "succeeded"
    assert (await files(run))["a.txt"] == "half\nwhole\n"
    assert calls == [("coder", 1), ("coder", 1), ("reviewer", 1)]


async def test_a_target_moved_by_somebody_else_is_not_overwritten(tmp_path):
    run = start(tmp_path, spec(item("a")))
    other = run.repository.begin({"x": "y"}, "refs/heads/aurea/run-1")
    assert (await deliver(run)).state == "waiting"
    assert await run.repository.resolve("refs/heads/aurea/run-1") == other


async def test_a_run_that_takes_too_long_fails_and_leaves_nothing_unfinished(tmp_path):
    async def script(assignment: Assignment) -> Mapping[str, object]:
        if assignment.item == "slow":
            await asyncio.Event().wait()
        return await writer()(assignment)

    run = start(tmp_path, spec(item("quick"), item("slow"), item("after", "slow"), run_timeout_s=0.3), script)
    ending = await deliver(run)
    assert (ending.state, ending.reason_code) == ("failed", "timeout")
    assert {n: i.state.value for n, i in run.state.items.items()} == {
        "quick": "complete", "slow": "abandoned", "after": "abandoned"
    }  # fmt: skip
    assert not run.attempt_folder("slow", 1).exists()


async def test_no_checks_land_only_what_says_that_it_is_unproven(tmp_path):
    run = start(tmp_path, spec(item("a"), checks=[], unproven=True))
    assert (await deliver(run)).state == "succeeded"
    assert "Unproven" in run.repository.commits[run.state.tip].message
    assert [c.met for c in run.state.item("a").attempts[0].verdict.criteria] == [None], "a model's word is no evidence"


async def test_a_gate_that_passed_on_the_same_tree_is_not_run_again(tmp_path):
    run = start(tmp_path, spec(item("a")))
    record = run.ledger.record

    async def crash_before_the_ref_moves(name, drafts, bodies=None):
        if drafts[0].fact.type == "landing.started":
            run.ledger.record = record
            raise RuntimeError("killed")
        return await record(name, drafts, bodies)

    run.ledger.record = crash_before_the_ref_moves
    with pytest.raises(RuntimeError):
        await deliver(run)
    gates = len(run.commands.commands)
    assert (await deliver(run)).state == "succeeded"
    assert len(run.commands.commands) == gates


def engine(run: Run) -> ScriptedEngine:
    assert isinstance(run.engine, ScriptedEngine)
    return run.engine
