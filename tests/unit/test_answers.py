"""Answers and orders of people, on fakes: what each choice changes, and that an invalid one changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aurea.delivery.answers import check_answer
from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.delivery.deadlines import default_answer, overdue
from aurea.domain.errors import BudgetReached, Permanent, UsageError
from aurea.domain.events import Draft, OrderGiven, QuestionAnswered, RunEnded, RunResumed
from aurea.domain.lifecycle import ItemState
from aurea.domain.spec import Spec
from aurea.ports import Assignment, CommandLine, CommandResult
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.git import MemoryRepository
from aurea.testing.line import ScriptedEngine, memory_run, plain_phases

APPROVE = {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"}
REPORT = {"summary": "done", "approach": "simple"}
Script = Callable[[Assignment], Any]


def item(name: str, *after: str) -> dict[str, Any]:
    return {"id": name, "goal": f"write {name}", "criteria": ["it works"], "depends_on": list(after)}


async def write(assignment: Assignment) -> Mapping[str, object]:
    if assignment.role == "reviewer":
        return APPROVE
    assert assignment.workspace is not None
    text = "good\n" if "the trick is" in assignment.task else "bad\n"
    (assignment.workspace.tree / f"{assignment.item}.txt").write_text(text)
    return REPORT


def start(tmp_path: Path, *items: dict[str, Any], script: Script = write, **more: Any) -> Run:
    """A run in which `a.txt` has to be good, and only a hint of a person makes it so."""

    def judge(command: CommandLine) -> CommandResult:
        file = command.folder / "a.txt"
        bad = file.exists() and file.read_text() == "bad\n"
        return CommandResult("exited", int(bad), "bad" if bad else "", 3, 0.1)

    values = {"project": "p", "objective": "o", "checks": [{"name": "tests", "run": ["true"]}], "max_attempts": 1}
    spec = Spec.model_validate({**values, "items": items or None, **more})
    return memory_run(tmp_path, spec, script, ScriptedRunner(judge), SimulatedClock())


async def deliver(run: Run) -> RunEnded:
    return await asyncio.wait_for(conduct(run, plain_phases(run)), 20)


def answer(run: Run, choice: str, **fields: Any) -> None:
    [name] = run.state.questions
    checked = check_answer(run.state, name, choice, fields)
    fact = QuestionAnswered(question=name, choice=choice, fields=checked, door="cli", authenticated=True)
    run.ledger.append(run.id, [Draft(fact=fact, actor="ada")])


def states(run: Run) -> dict[str, str]:
    return {name: entry.state.value for name, entry in run.state.items.items()}


@pytest.fixture
async def waiting(tmp_path: Path) -> Run:
    """`a` failed its one attempt and waits, `c` depends on it, `b` has landed."""
    run = start(tmp_path, item("a"), item("b"), item("c", "a"))
    assert (await deliver(run)).state == "waiting"
    assert states(run) == {"a": "waiting_human", "b": "complete", "c": "planned"}
    return run


async def test_retry_with_a_hint_reaches_the_next_attempt(waiting: Run):
    answer(waiting, "retry", hint="the trick is to be good", goal="write a well")
    assert (await deliver(waiting)).state == "succeeded"
    assert isinstance(waiting.engine, ScriptedEngine)
    told = [a.task for a in waiting.engine.assignments if a.item == "a" and a.attempt == 2]
    assert "the trick is to be good" in told[0]
    assert "write a well" in told[0]


async def test_a_retry_that_fails_asks_again(waiting: Run):
    first = list(waiting.state.questions)
    answer(waiting, "retry")
    assert (await deliver(waiting)).state == "waiting"
    assert list(waiting.state.questions) != first


@pytest.mark.parametrize("choice", ["abandon_item", "abandon_branch"])
async def test_abandoning_takes_along_what_depends_on_it_and_says_why(waiting: Run, choice: str):
    answer(waiting, choice)
    ending = await deliver(waiting)
    assert (ending.state, ending.reason) == ("succeeded", "abandoned: a, c")
    assert states(waiting) == {"a": "abandoned", "b": "complete", "c": "abandoned"}
    assert waiting.state.item("c").cause == "it depends on a, which was abandoned"


async def test_a_spawned_item_lands_before_the_one_that_asked(waiting: Run):
    answer(waiting, "spawn_item", goal="find the trick", criteria=["it is known"])
    assert (await deliver(waiting)).state == "waiting"  # the hint is still missing, so `a` fails and asks again
    assert waiting.state.item("a-2").state is ItemState.COMPLETE
    assert waiting.state.item("a").spec.depends_on == ("a-2",)


async def test_approve_anyway_overrides_reviews_but_no_red_gate(waiting: Run):
    answer(waiting, "approve_anyway", reason="good enough")
    assert (await deliver(waiting)).state == "waiting"
    assert waiting.state.item("a").attempts[0].refused is not None


async def test_approve_anyway_lands_what_only_reviews_returned(tmp_path: Path):
    async def strict(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role == "reviewer":
            return {**APPROVE, "decision": "return", "findings": [{"severity": "blocker", "text": "no"}]}
        return await write(assignment)

    run = start(tmp_path, item("b"), script=strict)
    assert (await deliver(run)).state == "waiting"
    answer(run, "approve_anyway", reason="it is only style")
    assert (await deliver(run)).state == "succeeded"
    cause = [e.fact.cause for e in run.ledger.events(run.id) if e.type == "item.moved" and e.actor == "director"]
    assert cause == ["approved by a person: it is only style"]


async def test_stop_keeps_what_has_landed(waiting: Run):
    answer(waiting, "stop")
    ending = await deliver(waiting)
    assert (ending.state, ending.reason_code) == ("failed", "partial")
    assert states(waiting) == {"a": "abandoned", "b": "complete", "c": "abandoned"}


async def test_a_raised_budget_is_in_force_at_once(tmp_path: Path):
    async def dear(assignment: Assignment) -> Mapping[str, object]:
        if run.spec.budget_usd < 7:
            raise BudgetReached("5 USD are spent", limit_usd=5, needed_usd=1)
        return await write(assignment)

    run = start(tmp_path, item("b"), script=dear)
    assert (await deliver(run)).state == "waiting"
    with pytest.raises(UsageError, match="the limit is 5"):
        answer(run, "raise", usd="4")
    answer(run, "raise", usd="8")
    assert (await deliver(run)).state == "succeeded"


@pytest.mark.parametrize(
    ("choice", "fields", "message"),
    [
        ("fly", {}, "does not offer 'fly'"),
        ("retry", {"hnt": "x"}, "no field 'hnt'"),
        ("spawn_item", {"goal": "x"}, "needs the field 'criteria'"),
        ("spawn_item", {"goal": "write b", "criteria": ["x"]}, "same goal"),
        ("retry", {"goal": "  "}, "goal: is empty"),
        ("approve_anyway", {}, "needs the field 'reason'"),
    ],
)
async def test_an_invalid_answer_is_refused_and_the_question_stays_open(waiting: Run, choice, fields, message):
    with pytest.raises(UsageError, match=message):
        answer(waiting, choice, **fields)
    assert len(waiting.state.questions) == 1


async def test_the_first_valid_answer_wins(waiting: Run):
    [name] = waiting.state.questions
    answer(waiting, "stop")
    with pytest.raises(UsageError, match="answered already: stop"):
        check_answer(waiting.state, name, "retry", {})


async def test_an_answer_is_waited_for_and_everything_else_goes_on(tmp_path: Path):
    run = start(tmp_path, item("a"), item("b"))
    run.wait_s = 3600
    work = asyncio.ensure_future(deliver(run))
    while not run.state.questions or run.state.item("b").state is not ItemState.COMPLETE:
        await asyncio.sleep(0.01)
    answer(run, "retry", hint="the trick is this")
    assert (await work).state == "succeeded"


async def test_an_answer_at_the_last_moment_is_not_left_for_a_resume(tmp_path: Path):
    run = start(tmp_path, item("a"), item("b"))

    async def announced() -> None:  # the questions are shown after the last look at answers
        if run.state.questions:
            answer(run, "retry", hint="the trick is this")

    run.announced = announced
    assert (await deliver(run)).state == "succeeded"


async def test_at_the_deadline_the_stated_default_is_the_answer(tmp_path: Path):
    run = start(tmp_path, item("a"), item("b"), item("c", "a"), answer_within_s=60)
    run.wait_s = 3600
    ending = await deliver(run)
    assert (ending.state, ending.reason) == ("succeeded", "abandoned: a, c")
    [event] = [e for e in run.ledger.events(run.id) if e.type == "question.answered"]
    assert (event.actor, event.item, event.fact.choice, event.fact.door) == ("policy", "a", "abandon_item", "deadline")
    with pytest.raises(UsageError, match="was not answered in time, so its default was applied: abandon_item"):
        check_answer(run.state, event.fact.question, "retry", {})


async def test_nobody_who_approves_in_time_ends_the_run(tmp_path: Path):
    run = start(tmp_path, item("b"), item("d", "b"), approvals=["land"], answer_within_s=60)
    run.wait_s = 30
    assert (await deliver(run)).state == "waiting"
    answer(run, "approve")
    run.wait_s = 3600
    ending = await deliver(run)
    assert (ending.state, ending.reason) == ("failed", "nobody answered in time; what has landed stays")
    assert states(run) == {"b": "complete", "d": "abandoned"}


async def test_a_resume_sets_the_deadlines_of_open_questions_anew(waiting: Run):
    [asked] = waiting.state.questions.values()
    assert asked.deadline is None
    for within, seconds in ((60.0, 60), ("none", None), (9.0, 9)):
        [event] = waiting.ledger.append(waiting.id, [Draft(fact=RunResumed(changes={"answer_within_s": within}))])
        assert asked.deadline == (event.ts + timedelta(seconds=seconds) if seconds else None)
    assert [late.question.id for late in overdue(waiting.state, event.ts + timedelta(seconds=9))] == [asked.question.id]
    assert overdue(waiting.state, event.ts + timedelta(seconds=8)) == []
    answer(waiting, "retry", hint="the trick is this")
    with pytest.raises(Permanent, match="is not open"):
        waiting.ledger.append(waiting.id, [default_answer(asked)])


@pytest.mark.parametrize(("interrupt", "wanted"), [(False, "complete"), (True, "active")])
async def test_a_pause_starts_nothing_new(tmp_path: Path, interrupt: bool, wanted: str):
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(assignment: Assignment) -> Mapping[str, object]:
        reached.set()
        await go.wait()
        return await write(assignment)

    run = start(tmp_path, item("b"), item("d"), script=slow, concurrency=1)
    work = asyncio.ensure_future(deliver(run))
    await reached.wait()
    run.ledger.append(run.id, [Draft(fact=OrderGiven(order="pause", interrupt=interrupt), actor="ada")])
    if not interrupt:
        go.set()
    ending = await work
    assert ending.state == "paused"
    assert states(run) == {"b": wanted, "d": "ready"}


async def test_a_cancel_from_elsewhere_ends_the_run(tmp_path: Path):
    reached = asyncio.Event()

    async def forever(assignment: Assignment) -> Mapping[str, object]:
        reached.set()
        await asyncio.Event().wait()
        return REPORT

    run = start(tmp_path, item("b"), script=forever)
    work = asyncio.ensure_future(deliver(run))
    await reached.wait()
    run.ledger.append(run.id, [Draft(fact=OrderGiven(order="cancel", reason="wrong idea"), actor="ada")])
    assert (await work).state == "cancelled"
    assert states(run) == {"b": "abandoned"}
    assert not run.attempt_folder("b", 1).exists()


async def test_a_cancelled_item_is_interrupted_and_the_others_go_on(tmp_path: Path):
    reached = asyncio.Event()

    async def forever(assignment: Assignment) -> Mapping[str, object]:
        if assignment.item == "b":
            reached.set()
            await asyncio.Event().wait()
        return await write(assignment)

    run = start(tmp_path, item("b"), item("d"), item("e", "b"), script=forever)
    work = asyncio.ensure_future(deliver(run))
    await reached.wait()
    run.ledger.append(run.id, [Draft(fact=OrderGiven(order="cancel"), actor="ada", item="b")])
    ending = await work
    assert ending.state == "succeeded"
    assert states(run) == {"b": "abandoned", "d": "complete", "e": "abandoned"}


async def test_a_plan_is_worked_on_when_a_person_approves_it(tmp_path: Path):
    run = start(tmp_path, item("b"), approvals=["plan"])
    assert (await deliver(run)).state == "waiting"
    [asked] = run.state.questions.values()
    assert (asked.question.kind, run.state.items) == ("plan", {})
    assert "- b: write b" in asked.question.why
    answer(run, "approve")
    assert (await deliver(run)).state == "succeeded"


async def test_a_plan_that_a_person_wants_revised_goes_back_to_the_planner(tmp_path: Path):
    async def planner(assignment: Assignment) -> Mapping[str, object]:
        if assignment.role == "planner":
            name = "e" if "not d, but e" in assignment.task else "d"
            return {"items": [{"id": name, "goal": f"write {name}", "criteria": ["it works"]}]}
        return await write(assignment)

    run = start(tmp_path, script=planner, approvals=["plan"], items=None)
    assert (await deliver(run)).state == "waiting"
    answer(run, "revise", comment="not d, but e")
    assert (await deliver(run)).state == "waiting"
    answer(run, "approve")
    assert (await deliver(run)).state == "succeeded"
    assert list(run.state.items) == ["e"]


async def test_a_plan_that_a_person_stops_ends_the_run(tmp_path: Path):
    run = start(tmp_path, item("b"), approvals=["plan"])
    await deliver(run)
    answer(run, "stop")
    ending = await deliver(run)
    assert (ending.state, ending.reason_code) == ("failed", "stopped")


async def test_nothing_lands_that_a_person_has_not_approved(tmp_path: Path):
    run = start(tmp_path, item("b"), item("d", "b"), approvals=["land"])
    assert (await deliver(run)).state == "waiting"
    [asked] = run.state.questions.values()
    assert "b.txt A" in asked.question.why
    assert "tests passed (ev-" in asked.question.why
    assert run.state.landings == []
    answer(run, "approve")
    assert (await deliver(run)).state == "waiting"
    assert states(run) == {"b": "complete", "d": "merging"}
    answer(run, "approve")
    assert (await deliver(run)).state == "succeeded"


async def test_what_a_person_sends_back_comes_again_with_the_comment(tmp_path: Path):
    run = start(tmp_path, item("b"), approvals=["land"], max_attempts=2)
    await deliver(run)
    answer(run, "return", comment="shorter please")
    assert (await deliver(run)).state == "waiting"
    assert isinstance(run.engine, ScriptedEngine)
    assert "shorter please" in next(a.task for a in run.engine.assignments if a.attempt == 2)
    answer(run, "approve")
    assert (await deliver(run)).state == "succeeded"


@pytest.mark.parametrize("moved", [False, True])
async def test_the_base_follows_and_what_landed_there_meanwhile_stays(tmp_path: Path, moved: bool):
    run = start(tmp_path, item("b"), land="target")
    repository = run.repository
    assert isinstance(repository, MemoryRepository)

    async def advance(ref: str, new: str, old: str) -> None:
        assert await repository.set_ref(ref, new, old)

    run.advance_base = advance
    began = repository.refs["refs/heads/main"]
    if moved:
        tree = repository._tree({"README.md": b"# A project\n", "theirs.txt": b"theirs\n"})
        repository.refs["refs/heads/main"] = repository._commit(tree, [began], "theirs")
    assert (await deliver(run)).state == "succeeded"
    files = {file.path for file in await repository.files(repository.refs["refs/heads/main"])}
    assert files == {"README.md", "b.txt"} | ({"theirs.txt"} if moved else set())
    assert run.state.base_moved is not None


async def test_a_base_that_conflicts_asks_a_person(tmp_path: Path):
    run = start(tmp_path, item("b"), land="target")
    repository = run.repository
    assert isinstance(repository, MemoryRepository)
    run.advance_base = lambda ref, new, old: asyncio.sleep(0)
    tree = repository._tree({"b.txt": b"theirs\n"})
    repository.refs["refs/heads/main"] = repository._commit(tree, [repository.refs["refs/heads/main"]], "theirs")
    assert (await deliver(run)).state == "waiting"
    [asked] = run.state.questions.values()
    assert "conflicts with what landed in b.txt" in asked.question.title
