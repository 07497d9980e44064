"""What agents hand in, on the whole line: who is shown it, who decides, what waits for whom, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aurea import bootstrap
from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.delivery.desk import MOST_NOTES, AgentDesk
from aurea.domain.errors import ToolRefused
from aurea.domain.events import QuestionAnswered, RunEnded
from aurea.domain.spec import ItemSpec, Spec
from aurea.ports import AgentOutcome, Assignment, CommandResult
from aurea.reporting.commands import next_commands
from aurea.reporting.document import run_document
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.line import ScriptedEngine, memory_run, plain_phases

APPROVE = {"decision": "approve", "criteria": [{"criterion": "it works", "met": "yes"}], "findings": [], "summary": ""}
REPORT = {"summary": "done", "approach": "simple"}
PASSED = CommandResult("exited", 0, "green", 5, 0.1)
Part = Callable[[Assignment], Awaitable[AgentOutcome | None]]


def item(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "goal": f"write {name}", "criteria": ["it works"], "depends_on": list(after), **more}


def spec(*items: dict[str, Any], **more: Any) -> Spec:
    checks = [{"name": "tests", "run": ["true"]}]
    return Spec.model_validate({"project": "p", "objective": "o", "checks": checks, "items": list(items), **more})


async def deliver(run: Run) -> RunEnded:
    return await asyncio.wait_for(conduct(run, plain_phases(run)), 20)


def coders(run: Run, name: str) -> list[Assignment]:
    """What the agents of an item were given, attempt by attempt."""
    assert isinstance(run.engine, ScriptedEngine)
    return [given for given in run.engine.assignments if given.item == name and given.role == "coder"]


def begin(tmp_path: Path, wanted: Spec, *parts: Part) -> Run:
    """A run whose agents play their part at the desk, and then, where they did not end there, write a file."""

    async def script(assignment: Assignment) -> Mapping[str, object] | AgentOutcome:
        if assignment.role == "reviewer":
            return APPROVE
        for part in parts:
            if (ended := await part(assignment)) is not None:
                return ended
        assert assignment.workspace is not None
        (assignment.workspace.tree / f"{assignment.item}.txt").write_text(f"{assignment.item}\n")
        return REPORT

    return memory_run(tmp_path, wanted, script, ScriptedRunner(lambda _: PASSED), SimulatedClock())


async def answer(run: Run, choice: str, **fields: Any) -> str:
    """Answer the one open question; returns its title."""
    [asked] = run.state.questions.values()
    said = QuestionAnswered(question=asked.question.id, choice=choice, fields=fields, door="cli")
    await run.record(said, actor="ada", item=asked.question.item)
    return asked.question.title


def proposes(*items: dict[str, Any], wait: bool = False, of: str = "a") -> Part:
    """The agent of item `of` proposes these items in its first attempt."""

    async def part(at: Assignment) -> AgentOutcome | None:
        if (at.item, at.attempt) != (of, 1):
            return None
        assert at.desk is not None
        await at.desk.subtasks([ItemSpec.model_validate(one) for one in items], wait=wait)
        return AgentOutcome(ended="deferred") if wait else None

    return part


def types(run: Run, *prefixes: str) -> list[str]:
    return [event.type for event in run.ledger.events(run.id) if event.type.startswith(prefixes)]


@pytest.mark.parametrize("kind", [
    "needs_replanning", "needs_clarification", "blocked_external", "spec_mismatch", "scope_too_large",
])  # fmt: skip
async def test_an_escalation_asks_a_person_and_spends_no_attempt(tmp_path: Path, kind: str) -> None:
    async def part(at: Assignment) -> AgentOutcome | None:
        if at.item != "a" or at.attempt > 1:
            return None
        assert at.desk is not None and at.workspace is not None
        (at.workspace.tree / "half.txt").write_text("half\n")
        await at.desk.escalate(kind, "may a note be empty?")
        await at.desk.escalate(kind, "may a note be empty?")  # as after a crash
        return AgentOutcome(ended="escalated")

    run = begin(tmp_path, spec(item("a"), item("b"), max_attempts=1), part)
    assert (await deliver(run)).state == "waiting"
    assert run.state.item("b").landed is not None, "everything else goes on"
    [asked] = run.state.questions.values()
    assert (asked.question.kind, asked.question.item, asked.question.why) == ("escalation", "a", "may a note be empty?")
    document = run_document(run.state, alive=False, folder="/runs/x", now=run.clock.now())
    assert next_commands(document)[1].line == "aurea resume run-1", "more attempts are no answer"
    await bootstrap._resume(SimpleNamespace(ledger=run.ledger), run.state, {"max_attempts": 9})
    assert run.state.questions, "nor are they taken for one"
    assert kind in await answer(run, "retry", hint="yes, it may")
    assert types(run, "escalation") == ["escalation.raised"]
    first = run.state.item("a").attempts[0]
    assert first.ended is not None and (first.ended.outcome, first.spent) == ("escalated", False)
    assert (await deliver(run)).state == "succeeded", "the one attempt that it may spend is still there"
    second = coders(run, "a")[1].task
    assert "yes, it may" in second and "may a note be empty?" in second and "half" in second


async def test_research_is_answered_at_once(tmp_path: Path) -> None:
    said: list[str] = []

    async def part(at: Assignment) -> None:
        assert at.desk is not None
        said.append(await at.desk.escalate("needs_research", "what does X return?"))

    run = begin(tmp_path, spec(item("a")), part)
    assert (await deliver(run)).state == "succeeded"
    assert "no web search" in said[0] and "read the repository" in said[0]
    assert run.state.escalation("a", 1) is None and types(run, "escalation") == ["escalation.raised"]


async def test_accepted_items_are_worked_on_beside_the_one_that_asked(tmp_path: Path) -> None:
    more = [item("one", priority=99), item("two", "one")]
    run = begin(tmp_path, spec(item("a", priority=1)), proposes(*more))
    assert (await deliver(run)).state == "succeeded"
    assert {name: entry.state.value for name, entry in run.state.items.items()} == dict.fromkeys(
        ("a", "one", "two"), "complete"
    )
    assert run.state.item("one").spec.priority == 1, "nobody overtakes by asking"
    assert types(run, "subtasks", "plan.changed") == ["subtasks.proposed", "subtasks.judged", "plan.changed"]
    actors = [e.actor for e in run.ledger.events(run.id) if e.type in ("subtasks.proposed", "subtasks.judged")]
    assert actors == ["agent", "manager"]


async def test_an_item_may_wait_for_what_it_proposed(tmp_path: Path) -> None:
    run = begin(tmp_path, spec(item("a"), max_attempts=1), proposes(item("first"), wait=True))
    assert (await deliver(run)).state == "succeeded"
    moved = [e.fact.target.value for e in run.ledger.events(run.id) if e.item == "a" and e.type == "item.moved"]
    assert moved[:5] == ["ready", "active", "failed", "ready", "blocked"]
    landed = [e.item for e in run.ledger.events(run.id) if e.type == "landing.landed"]
    assert landed == ["first", "a"]
    assert [(a.state, a.spent) for a in run.state.item("a").attempts] == [("abandoned", False), ("landed", True)]


async def test_nobody_waits_for_what_has_landed(tmp_path: Path) -> None:
    said = []

    async def part(at: Assignment) -> AgentOutcome | None:
        if at.item != "a":
            return None
        assert at.desk is not None
        try:
            await at.desk.subtasks([ItemSpec.model_validate(item("first"))], wait=True)
        except ToolRefused as fault:
            said.append(fault.message)
            return None
        return AgentOutcome(ended="deferred")

    run = begin(tmp_path, spec(item("a")), part)
    assert (await deliver(run)).state == "succeeded"
    assert len(run.state.item("a").attempts) == 2 and said == [
        "first: nothing to wait for any more; go on with your item"
    ]


async def test_nobody_waits_for_what_waits_for_it(tmp_path: Path) -> None:
    async def again(at: Assignment) -> None:
        if at.item == "a":
            with pytest.raises(ToolRefused, match="cycle: a -> after -> a"):
                await proposes(item("after", "a"), wait=True)(at)

    run = begin(tmp_path, spec(item("a")), proposes(item("after", "a")), again)
    assert (await deliver(run)).state == "succeeded"
    assert [e.item for e in run.ledger.events(run.id) if e.type == "landing.landed"] == ["a", "after"]


async def test_a_second_proposal_of_the_same_items_changes_nothing(tmp_path: Path) -> None:
    run = begin(tmp_path, spec(item("a")), proposes(item("one")), proposes(item("one")))
    assert (await deliver(run)).state == "succeeded"
    assert types(run, "subtasks") == ["subtasks.proposed", "subtasks.judged"]


@pytest.mark.parametrize(("items", "wait", "words"), [
    ([item("b")], False, "two items have the id 'b'"),
    ([{**item("x"), "goal": "write b"}], False, "same goal"),
    ([{**item("x"), "criteria": []}], False, "no acceptance criteria"),
    ([item("x", "y"), item("y", "x")], False, "cycle"),
    ([item("x", "a")], True, "cycle"),
    ([item("x", "nowhere")], False, "not in the plan"),
    ([item("x", role="reviewer")], False, "carries out no work items"),
    ([item("x", checks=["none"])], False, "unknown check"),
    ([item(f"x{n}") for n in range(6)], False, "may propose 5 items"),
])  # fmt: skip
async def test_the_manager_refuses_what_breaks_a_rule(tmp_path: Path, items: Any, wait: bool, words: str) -> None:
    async def part(at: Assignment) -> None:
        if at.item == "a":
            with pytest.raises(ToolRefused, match=words):
                await proposes(*items, wait=wait)(at)

    run = begin(tmp_path, spec(item("a"), item("b")), part)
    assert (await deliver(run)).state == "succeeded"
    assert set(run.state.items) == {"a", "b"} and types(run, "subtasks", "plan.changed") == [
        "subtasks.proposed", "subtasks.judged",
    ]  # fmt: skip


async def test_proposals_of_proposals_come_to_an_end(tmp_path: Path) -> None:
    refused = []

    async def part(at: Assignment) -> None:
        assert at.desk is not None and at.item is not None
        try:
            await at.desk.subtasks([ItemSpec.model_validate(item(f"{at.item}x"))], wait=False)
        except ToolRefused as fault:
            refused.append((at.item, fault.message))

    run = begin(tmp_path, spec(item("a")), part)
    assert (await deliver(run)).state == "succeeded"
    assert set(run.state.items) == {"a", "ax", "axx"}
    assert [name for name, _ in refused] == ["axx"] and "scope_too_large" in refused[0][1]


async def test_where_a_person_approves_the_plan_no_agent_adds_to_it(tmp_path: Path) -> None:
    async def part(at: Assignment) -> None:
        with pytest.raises(ToolRefused, match="a person approves the plan"):
            await proposes(item("x"))(at)

    run = begin(tmp_path, spec(item("a"), approvals=["plan"]), part)
    assert (await deliver(run)).state == "waiting"
    await answer(run, "approve")
    assert (await deliver(run)).state == "succeeded"


async def test_insights_are_kept_once_and_bounded(tmp_path: Path) -> None:
    answers: list[str] = []

    async def part(at: Assignment) -> None:
        assert at.desk is not None
        answers.append(await at.desk.insight("Tests need TZ=UTC."))
        answers.append(await at.desk.decision("ids", "are integers"))

    run = begin(tmp_path, spec(item("a"), item("b", "a")), part, part)
    assert (await deliver(run)).state == "succeeded"
    assert [note.author for note in run.state.insights] == ["coder of a, attempt 1"]
    assert answers[2] == "known already: coder of a, attempt 1 has posted it" and answers[3] == "logged already"
    assert [note.item for note in run.state.decisions] == ["a", "b"]
    desk = AgentDesk(run, "a", 1, "coder")
    for number in range(1, MOST_NOTES):
        await desk.insight(f"insight {number}")
    with pytest.raises(ToolRefused, match="in your report"):
        await desk.insight("one more")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_any_record_nothing_is_handed_in_twice(tmp_path: Path, after: bool) -> None:
    """A run whose agents hand in everything dies at each of its records in turn, and is taken up again."""

    async def part(at: Assignment) -> AgentOutcome | None:
        assert at.desk is not None
        await at.desk.insight("tests need TZ=UTC")
        await at.desk.decision("ids", f"as {at.item} has them")
        if at.item == "asks" and at.attempt == 1:
            await at.desk.escalate("spec_mismatch", "which one?")
            return AgentOutcome(ended="escalated")
        return None

    records, at = 1, 0
    while at < records:
        at += 1
        folder = tmp_path / str(at)
        run = begin(folder, spec(item("a"), item("asks"), concurrency=1), proposes(item("first"), wait=True), part)
        true, made = run.ledger.record, 0

        async def dying(*words: Any, true: Any = true, at: int = at) -> Any:
            nonlocal made
            made += 1
            if made == at and not after:
                raise RuntimeError("killed")
            done = await true(*words)
            if made == at:
                raise RuntimeError("killed")
            return done

        run.ledger.record = dying
        with contextlib.suppress(Exception):
            await deliver(run)
        records = max(records, made)
        run.ledger.record = true
        assert (await deliver(run)).state == "waiting"
        states = {name: entry.state.value for name, entry in run.state.items.items()}
        assert states == {"a": "complete", "asks": "waiting_human", "first": "complete"}, at
        handed_in = [note.fact.type for note in run.state.notes]
        assert sorted(handed_in) == ["decision.logged"] * 3 + ["escalation.raised", "insight.posted"], at
        assert types(run, "subtasks") == ["subtasks.proposed", "subtasks.judged"], at
        assert len(run.state.questions) == 1 and run.state.item("a").spent == 0, at
    assert records > 40
