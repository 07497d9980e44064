"""Back to the plan: an item that fails twice is revised by its planner once, and nothing about that can hold up a run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.domain.caps import Cap
from aurea.domain.errors import Blocked, BudgetReached, Transient
from aurea.domain.events import Draft, Event, OrderGiven, PlanChanged, QuestionAnswered, RunEnded, RunResumed
from aurea.domain.lifecycle import ItemState
from aurea.domain.route import Route
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.ports import AgentOutcome, Assignment, CommandLine, CommandResult
from aurea.testing.agents import Crash
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.line import ScriptedEngine, memory_run, plain_phases

APPROVE = {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"}
REPORT = {"summary": "done", "approach": "simple"}
Answer = Mapping[str, object] | AgentOutcome | Exception


def item(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "goal": f"write {name}", "criteria": ["it works"], "depends_on": list(after), **more}


class Agents:
    """Planners submit `plan`, then what `revisions` holds for each round; an item fails its first attempts."""

    def __init__(self, plan: Sequence[Mapping[str, Any]], *revisions: Answer, failing: Mapping[str, int]) -> None:
        self.plans: list[Answer] = [{"items": plan}, *revisions]
        self.failing = failing

    async def __call__(self, assignment: Assignment) -> Mapping[str, object] | AgentOutcome:
        await asyncio.sleep(0)
        if assignment.role == "planner":
            answer = self.plans[min(assignment.attempt, len(self.plans)) - 1]
            if isinstance(answer, Exception):
                raise answer
            return answer
        if assignment.role == "reviewer":
            return APPROVE
        assert assignment.workspace is not None
        works = assignment.attempt > self.failing.get(assignment.item or "", 0)
        text = "good" if works else f"bad {assignment.attempt}"
        (assignment.workspace.tree / f"{assignment.item}.txt").write_text(f"{text}\n")
        return REPORT


def begin(tmp_path: Path, agents: Agents, **more: Any) -> Run:
    def judge(command: CommandLine) -> CommandResult:
        red = any("bad" in file.read_text() for file in command.folder.glob("*.txt"))
        return CommandResult("exited", int(red), "RED" if red else "green", 5, 0.1)

    values = {"project": "p", "objective": "o", "checks": [{"name": "tests", "run": ["true"]}], **more}
    return memory_run(tmp_path, Spec.model_validate(values), agents, ScriptedRunner(judge), SimulatedClock())


async def deliver(run: Run) -> RunEnded:
    return await asyncio.wait_for(conduct(run, plain_phases(run)), 20)


def planners(run: Run) -> list[Assignment]:
    assert isinstance(run.engine, ScriptedEngine)
    return [given for given in run.engine.assignments if given.role == "planner"]


def tasks(run: Run, name: str) -> list[str]:
    assert isinstance(run.engine, ScriptedEngine)
    return [given.task for given in run.engine.assignments if given.item == name and given.role == "coder"]


def types(run: Run) -> list[str]:
    wanted = ("plan.", "attempt.started")
    return [event.type for event in run.ledger.events(run.id) if event.type.startswith(wanted)]


def refused(run: Run) -> str:
    return "; ".join(reason for rejection in run.state.rejections for reason in rejection.reasons)


async def test_an_item_that_failed_twice_is_revised_before_its_third_attempt(tmp_path: Path) -> None:
    revised = {**item("a"), "goal": "write a in one line", "criteria": ["it works", "it is one line"]}
    run = begin(tmp_path, Agents([item("a"), item("b")], {"items": [revised]}, failing={"a": 2}), concurrency=1)
    assert (await deliver(run)).state == "succeeded"
    first, second = planners(run)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (second.item, second.conversation) == (None, "planner-1")
    assert "`a` has failed 2 times" in second.task
    assert "goal: write a\n" in second.task and "RED" in second.task and "- b (" in second.task
    assert "write a in one line" not in tasks(run, "a")[1]
    assert "write a in one line" in tasks(run, "a")[2] and "it is one line" in tasks(run, "a")[2]
    assert "Attempt 2 did not land" in tasks(run, "a")[2], "what failed is still told"
    assert [name for name in types(run) if name != "attempt.started"] == [
        "plan.proposed", "plan.accepted", "plan.reopened", "plan.proposed", "plan.changed",
    ]  # fmt: skip
    assert run.state.item("a").spec.goal == "write a in one line"


async def test_new_items_land_before_the_item_goes_on(tmp_path: Path) -> None:
    revision = {"items": [item("a", "base"), item("base"), item("more", "base")]}
    run = begin(tmp_path, Agents([item("a")], revision, failing={"a": 2}))
    assert (await deliver(run)).state == "succeeded"
    assert run.state.item("a").spec.depends_on == ("base", "more")
    landed = [landing.item for landing in run.ledger.events(run.id) if landing.type == "landing.landed"]
    assert landed == ["base", "more", "a"]


@pytest.mark.parametrize(
    ("revision", "why"),
    [
        ([item("b")], "holds the item 'a' 0 times"),
        ([item("a"), item("a")], "holds the item 'a' 2 times"),
        ([item("a"), item("n", "a")], "the dependencies would form a cycle|the dependencies form a cycle: "),
        ([{**item("a"), "criteria": ["it is red"]}], "the criterion 'it works' is part of the acceptance"),
        ([item("a"), *(item(f"n{n}") for n in range(6))], "an item may propose 5 items"),
        ([item("a", role="planner")], "the role planner carries out no work items"),
        ([item("a", checks=["lint"])], "unknown check 'lint'"),
        ([item("a"), item("b")], "two items have the id 'b'"),
        ([], "holds the item 'a' 0 times"),
    ],
)
async def test_a_revision_that_breaks_a_rule_changes_nothing(
    tmp_path: Path, revision: list[dict[str, Any]], why: str
) -> None:
    agents = Agents([item("a"), item("b")], {"items": revision}, failing={"a": 2})
    run = begin(tmp_path, agents, acceptance=["It works."])
    assert (await deliver(run)).state == "succeeded"
    assert any(words in refused(run) for words in why.split("|")), refused(run)
    assert set(run.state.items) == {"a", "b"}
    assert "plan.changed" not in types(run)
    assert len(planners(run)) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Blocked("the key was refused"),
        Transient("overloaded"),
        BudgetReached("1 USD is spent", limit_usd=1, needed_usd=1, cap=Cap(scope="role", name="planner")),
        AgentOutcome(ended="exhausted", limit="turns"),
        AgentOutcome(ended="stalled", reason="it says nothing usable"),
        {"items": "no list of items"},
    ],
    ids=["blocked", "transient", "money of planners", "out of turns", "stalled", "nonsense"],
)
async def test_a_planner_that_does_not_answer_holds_nothing_up(tmp_path: Path, fault: Answer) -> None:
    run = begin(tmp_path, Agents([item("a")], fault, failing={"a": 3}))
    assert (await deliver(run)).state == "succeeded"
    assert refused(run).startswith("a stays as it is: ")
    assert not run.state.asked_questions
    assert len(planners(run)) == 2, "it is asked once"
    assert len(run.state.item("a").attempts) == 4


async def test_money_is_asked_for_and_the_planner_after_it(tmp_path: Path) -> None:
    agents = Agents([item("a")], BudgetReached("5 USD are spent", limit_usd=5, needed_usd=1), failing={"a": 2})
    run = begin(tmp_path, agents)
    assert (await deliver(run)).state == "waiting"
    ((name, asked),) = run.state.questions.items()
    assert asked.question.kind == "budget" and run.item_state("a") is ItemState.FAILED
    agents.plans[1] = {"items": [{**item("a"), "goal": "write a anew"}]}
    await run.record(RunResumed())
    await run.record(QuestionAnswered(question=name, choice="raise", fields={"usd": 9.0}, door="cli"), actor="somebody")
    assert (await deliver(run)).state == "succeeded"
    assert "write a anew" in tasks(run, "a")[2]
    assert [given.attempt for given in planners(run)] == [1, 2, 2]
    assert types(run).count("plan.reopened") == 1


@pytest.mark.parametrize(
    "more",
    [
        {"items": [item("a")]},
        {"approvals": ["plan"]},
        {"template": Route(name="t", replan_after=None).model_dump(mode="json")},
        {"template": Route(name="t", replan_after=4).model_dump(mode="json")},
    ],
    ids=["items of the spec", "a person approves plans", "always to implement", "later"],
)
async def test_where_it_is_not_wanted_no_planner_is_asked(tmp_path: Path, more: dict[str, Any]) -> None:
    run = begin(tmp_path, Agents([item("a")], failing={"a": 3}), **more)
    ending = await deliver(run)
    if "approvals" in more:
        (name,) = run.state.questions
        await run.record(QuestionAnswered(question=name, choice="approve", door="cli"), actor="somebody")
        await run.record(RunResumed())
        ending = await deliver(run)
    assert ending.state == "succeeded"
    assert len(planners(run)) == (0 if "items" in more else 1)
    assert "plan.reopened" not in types(run)


async def test_the_last_attempt_is_a_persons_matter(tmp_path: Path) -> None:
    run = begin(tmp_path, Agents([item("a")], failing={"a": 2}), max_attempts=2)
    assert (await deliver(run)).state == "waiting"
    assert "plan.reopened" not in types(run)


async def test_a_persons_words_are_not_revised(tmp_path: Path) -> None:
    run = begin(tmp_path, Agents([item("a")], failing={"a": 2}), max_attempts=1)
    assert (await deliver(run)).state == "waiting"
    (name,) = run.state.questions
    answer = QuestionAnswered(question=name, choice="retry", fields={"goal": "write a as I say"}, door="cli")
    await run.record(answer, actor="somebody")
    await run.record(RunResumed(changes={"max_attempts": 5}))
    assert (await deliver(run)).state == "succeeded"
    assert run.state.item("a").by_person and len(run.state.item("a").attempts) == 3
    assert "plan.reopened" not in types(run)


async def test_two_items_at_the_same_moment_get_a_round_each(tmp_path: Path) -> None:
    anything = [item("a"), item("b")]
    agents = Agents(anything, {"items": [item("a")]}, failing={"a": 2, "b": 2})
    run = begin(tmp_path, agents)
    assert (await deliver(run)).state == "succeeded"
    assert sorted(given.attempt for given in planners(run)) == [1, 2, 3]
    assert sorted(run.state.reopened.values()) == [2, 3]


async def test_a_paused_run_asks_no_planner_until_it_goes_on(tmp_path: Path) -> None:
    agents = Agents([item("a")], {"items": [item("a")]}, failing={"a": 2})
    run = begin(tmp_path, agents)
    work = agents.__call__

    async def pausing(assignment: Assignment) -> Mapping[str, object] | AgentOutcome:
        if (assignment.item, assignment.attempt) == ("a", 2):
            await run.record(OrderGiven(order="pause"))
        return await work(assignment)

    run.engine = ScriptedEngine(pausing)
    assert (await deliver(run)).state == "paused"
    assert run.item_state("a") is ItemState.FAILED
    assert "plan.reopened" not in types(run)
    run.engine.script = work
    await run.record(RunResumed())
    assert (await deliver(run)).state == "succeeded"
    assert types(run).count("plan.reopened") == 1


class Asking(Agents):
    """Agents of which the first at work on `a` says that the plan does not fit."""

    async def __call__(self, assignment: Assignment) -> Mapping[str, object] | AgentOutcome:
        if (assignment.item, assignment.attempt) == ("a", 1) and assignment.role == "coder":
            assert assignment.desk is not None
            await assignment.desk.escalate("needs_replanning", "there is no ground to stand on")
            return AgentOutcome(ended="escalated")
        return await super().__call__(assignment)


ON_REQUEST = {"name": "t", "on_request": True}


async def test_an_agent_may_give_its_item_back_to_the_plan(tmp_path: Path) -> None:
    agents = Asking([item("a")], {"items": [item("a"), item("ground")]}, failing={})
    run = begin(tmp_path, agents, template=ON_REQUEST)
    assert (await deliver(run)).state == "succeeded"
    assert not run.state.asked_questions
    assert "there is no ground to stand on" in planners(run)[1].task and "given back" in planners(run)[1].task
    landed = [event.item for event in run.ledger.events(run.id) if event.type == "landing.landed"]
    assert landed == ["ground", "a"]
    assert run.state.item("a").spent == 0, "no attempt is spent by asking"


async def test_what_the_planner_does_not_give_a_person_is_asked_for(tmp_path: Path) -> None:
    agents = Asking([item("a")], Blocked("the key was refused"), failing={})
    run = begin(tmp_path, agents, template=ON_REQUEST)
    assert (await deliver(run)).state == "waiting"
    ((name, asked),) = run.state.questions.items()
    assert asked.question.title == "a: the agent says that the plan does not fit (needs_replanning)"
    await run.record(QuestionAnswered(question=name, choice="retry", door="cli"), actor="somebody")
    await run.record(RunResumed())
    assert (await deliver(run)).state == "succeeded"
    assert len(planners(run)) == 2, "it is asked once"


async def test_without_leave_of_the_template_a_person_is_asked_at_once(tmp_path: Path) -> None:
    run = begin(tmp_path, Asking([item("a")], {"items": [item("a")]}, failing={}))
    assert (await deliver(run)).state == "waiting"
    assert len(run.state.questions) == 1
    assert len(planners(run)) == 1


class DeadLedger:
    """A ledger in front of `book` whose process dies at its `at`-th record, and stays dead."""

    def __init__(self, book: Book, at: int, *, after: bool) -> None:
        self._book, self.left, self._after = book, at, after

    async def record(self, run: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self._after):
            raise Crash
        events = await self._book.record(run, drafts, bodies)
        if self.left == 0:
            raise Crash
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)


def failing_twice() -> Agents:
    revision = {"items": [{**item("a"), "goal": "write a in one line"}, item("base")]}
    return Agents([item("a")], revision, failing={"a": 2})


async def records(tmp_path: Path) -> range:
    """Which records of such a run stand around the revision: from the second failure into the landing of the new item."""
    run, seen = begin(tmp_path, failing_twice()), list[set[str]]()
    record = run.ledger.record

    async def noting(name: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        seen.append({draft.fact.type for draft in drafts})
        return await record(name, drafts, bodies)

    run.ledger.record = noting  # type: ignore[method-assign]
    assert (await deliver(run)).state == "succeeded"
    at = next(number for number, types in enumerate(seen, start=1) if "plan.reopened" in types)
    return range(at - 2, at + 14)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_every_record_around_it_it_is_neither_asked_twice_nor_forgotten(
    tmp_path: Path, after: bool
) -> None:
    for at in await records(tmp_path / "whole"):
        run = begin(tmp_path / str(at), failing_twice())
        book = run.ledger
        run.ledger = DeadLedger(book, at, after=after)  # type: ignore[arg-type, assignment]
        with pytest.raises(BaseException):  # noqa: B017 (a crash alone, or in groups)
            await deliver(run)
        again = replace(run, ledger=book, locks={}, busy=set(), diffs={}, landing=asyncio.Lock())
        assert again.state.ended is None or again.state.finished
        assert (await deliver(again)).state == "succeeded", at
        assert [name for name in types(again) if name != "attempt.started"] == [
            "plan.proposed", "plan.accepted", "plan.reopened", "plan.proposed", "plan.changed",
        ], at  # fmt: skip
        told = {given.attempt: given.task for given in planners(again)}
        assert all(given.task == told[given.attempt] for given in planners(again)), "asked again in the same words"
        assert set(told) == {1, 2}
        changes = [e.fact for e in again.ledger.events(again.id) if isinstance(e.fact, PlanChanged)]
        assert [spec.id for spec in changes[0].items] == ["base", "a"]
        assert set(again.state.items) == {"a", "base"}
