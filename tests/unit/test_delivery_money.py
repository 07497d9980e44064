"""Caps on money: who is asked, who waits, who goes on, and what an answer raises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aurea.bootstrap import _answer
from aurea.delivery import deadlines
from aurea.delivery.answers import check_answer
from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.domain.caps import Cap, limit_of, today
from aurea.domain.effective import effective_spec
from aurea.domain.errors import BudgetReached, LedgerAway, UsageError
from aurea.domain.events import Draft, PartialHandedIn, QuestionAnswered, RunEnded, RunResumed
from aurea.domain.spec import Spec
from aurea.ports import Assignment, CommandResult
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.line import memory_run, plain_phases

APPROVE = {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"}
REPORT = {"summary": "done", "approach": "simple"}


class Till:
    """A script that writes files for as long as the caps which it is told have room."""

    def __init__(self, *caps: Cap, used: float = 1.0) -> None:
        self.caps = caps
        self.used = used
        self.calls: list[str] = []
        self.run: Run | None = None

    async def __call__(self, assignment: Assignment) -> Mapping[str, object]:
        assert self.run is not None
        for cap in self.caps:
            limit = limit_of(self.run.spec, cap)
            if self._paid_from(cap, assignment) and limit is not None and limit <= self.used:
                if assignment.role != "reviewer":
                    await self._hand_in(assignment)
                raise BudgetReached(f"{cap} is used up", limit_usd=limit, needed_usd=0.1, cap=cap, role=assignment.role)
        self.calls.append(f"{assignment.item}:{assignment.role}")
        if assignment.role == "reviewer":
            return APPROVE
        assert assignment.workspace is not None
        (assignment.workspace.tree / f"{assignment.item}.txt").write_text("good\n")
        return REPORT

    def _paid_from(self, cap: Cap, assignment: Assignment) -> bool:
        assert self.run is not None
        now = today(self.run.clock.now())
        return cap.name in {"run": "", "item": assignment.item, "role": assignment.role, "day": now}[cap.scope]

    async def _hand_in(self, assignment: Assignment) -> None:
        assert self.run is not None
        fact = PartialHandedIn(
            conversation="coder", step=3, limit="budget", summary=f"half of {assignment.item}", unfinished=("the rest",)
        )
        await self.run.record(fact, actor="agent", item=assignment.item, attempt=assignment.attempt)


def start(tmp_path: Path, till: Till, **more: Any) -> Run:
    spec = Spec.model_validate(
        {
            "project": "p",
            "objective": "o",
            "checks": [{"name": "tests", "run": ["true"]}],
            "items": [{"id": name, "goal": f"write {name}", "criteria": ["it works"]} for name in ("a", "b")],
            **more,
        }
    )
    runner = ScriptedRunner(lambda _: CommandResult("exited", 0, "", 0, 0.1))
    till.run = memory_run(tmp_path, spec, till, runner, SimulatedClock())
    return till.run


async def deliver(run: Run) -> RunEnded:
    return await asyncio.wait_for(conduct(run, plain_phases(run)), 20)


def answer(run: Run, choice: str, **fields: Any) -> None:
    [name] = run.state.questions
    checked = check_answer(run.state, name, choice, fields)
    fact = QuestionAnswered(question=name, choice=choice, fields=checked, door="cli")
    run.ledger.append(run.id, [Draft(fact=fact, actor="ada")])


def states(run: Run) -> dict[str, str]:
    return {name: entry.state.value for name, entry in run.state.items.items()}


async def test_the_cap_of_an_item_keeps_no_other_from_landing(tmp_path: Path):
    till = Till(Cap(scope="item", name="a"))
    run = start(tmp_path, till, budgets={"item_usd": 1.0}, concurrency=1)
    assert (await deliver(run)).state == "waiting"
    assert states(run) == {"a": "waiting_human", "b": "complete"}
    [asked] = run.state.questions.values()
    assert (asked.question.item, asked.question.cap) == ("a", Cap(scope="item", name="a"))
    assert "So far, coder of a: half of a; left to do: the rest." in asked.question.why
    assert f"aurea resume {run.id} --set budgets.items.a=USD" in asked.question.why


async def test_a_raise_raises_exactly_that_cap_and_spends_no_attempt(tmp_path: Path):
    till = Till(Cap(scope="item", name="a"))
    run = start(tmp_path, till, budgets={"item_usd": 1.0})
    await deliver(run)
    with pytest.raises(UsageError, match="the limit is 1 already"):
        answer(run, "raise", usd="1")
    answer(run, "raise", usd="3")
    assert (await deliver(run)).state == "succeeded"
    spec = effective_spec(run.state)
    assert (spec.budget_usd, spec.budgets.item_usd, spec.budgets.items) == (5, 1.0, {"a": 3.0})
    assert len(run.state.item("a").attempts) == 1


@pytest.mark.parametrize("scope", ["run", "day"])
async def test_the_cap_of_all_keeps_new_items_from_starting(tmp_path: Path, scope: str):
    day = today(SimulatedClock().now())
    cap = Cap(scope="run") if scope == "run" else Cap(scope="day", name=day)
    till = Till(cap, used=5.0)
    run = start(tmp_path, till, concurrency=1, budgets={"day_usd": 5.0})
    assert (await deliver(run)).state == "waiting"
    assert states(run) == {"a": "waiting_human", "b": "ready"}
    assert len(run.state.questions) == 1
    answer(run, "raise", usd="9")
    assert (await deliver(run)).state == "succeeded"
    assert limit_of(run.spec, cap) == 9


async def test_the_cap_of_a_role_keeps_back_those_that_need_it(tmp_path: Path):
    till = Till(Cap(scope="role", name="coder"))
    roles = {"a": "coder", "b": "coder", "d": "docs"}
    items = [{"id": name, "goal": name, "criteria": ["it works"], "role": role} for name, role in roles.items()]
    run = start(tmp_path, till, budgets={"roles": {"coder": 1.0}}, concurrency=1, items=items)
    assert (await deliver(run)).state == "waiting"
    assert states(run) == {"a": "waiting_human", "b": "ready", "d": "complete"}
    answer(run, "switch_model", model="small")
    assert (run.state.questions, effective_spec(run.state).roles["coder"].model) == ({}, "small")


@pytest.mark.parametrize(
    ("roles", "after"),
    [
        ({}, {"model": "small", "coder": None, "reviewer": None}),
        ({"coder": "dear", "reviewer": "wise"}, {"model": "small", "coder": "small", "reviewer": "wise"}),
    ],
    ids=["the run's model", "a model of its own"],
)
async def test_another_model_is_that_of_the_call_that_did_not_fit(
    tmp_path: Path, roles: dict[str, str], after: dict[str, str | None]
):
    run = start(tmp_path, Till(Cap(scope="run"), used=5.0), roles=roles)
    await deliver(run)
    answer(run, "switch_model", model="small")
    spec = effective_spec(run.state)
    own = {role: spec.roles[role].model if role in spec.roles else None for role in ("coder", "reviewer")}
    assert {"model": spec.model, **own} == after


async def test_reviews_without_money_wait_and_are_not_made_up(tmp_path: Path):
    till = Till(Cap(scope="role", name="reviewer"))
    run = start(tmp_path, till, budgets={"roles": {"reviewer": 1.0}})
    assert (await deliver(run)).state == "waiting"
    assert states(run) == {"a": "waiting_human", "b": "waiting_human"}
    assert len(run.state.questions) == 1
    answer(run, "raise", usd="2")
    assert (await deliver(run)).state == "succeeded"
    assert sorted(till.calls) == ["a:coder", "a:reviewer", "b:coder", "b:reviewer"]


async def test_two_caps_are_two_questions_and_each_frees_its_own(tmp_path: Path):
    till = Till(Cap(scope="item", name="a"), Cap(scope="item", name="b"))
    run = start(tmp_path, till, budgets={"item_usd": 1.0})
    await deliver(run)
    first, second = run.state.questions
    checked = check_answer(run.state, first, "raise", {"usd": 2})
    fact = QuestionAnswered(question=first, choice="raise", fields=checked, door="cli")
    run.ledger.append(run.id, [Draft(fact=fact, actor="ada")])
    assert (await deliver(run)).state == "waiting"
    assert list(run.state.questions) == [second]
    assert sorted(states(run).values()) == ["complete", "waiting_human"]


async def test_a_new_day_closes_the_question_of_the_old_one(tmp_path: Path):
    till = Till(Cap(scope="day", name=today(SimulatedClock().now())))
    run = start(tmp_path, till, budgets={"day_usd": 1.0})
    assert (await deliver(run)).state == "waiting"
    [asked] = run.state.questions.values()
    assert f"From 00:00 UTC on `aurea resume {run.id}` goes on without an answer" in asked.question.why
    assert isinstance(run.clock, SimulatedClock)
    run.clock.advance(timedelta(days=1).total_seconds())
    run.ledger.append(run.id, [Draft(fact=RunResumed())])
    assert (await deliver(run)).state == "succeeded"
    assert list(run.state.withdrawn) == [asked.question.id]


async def test_who_keeps_deadlines_outlives_a_ledger_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    till = Till(Cap(scope="day", name=today(SimulatedClock().now())))
    run = start(tmp_path, till, budgets={"day_usd": 1.0})
    assert (await deliver(run)).state == "waiting"
    assert isinstance(run.clock, SimulatedClock)
    run.clock.advance(timedelta(days=1).total_seconds())

    async def away(*_: object) -> None:
        raise LedgerAway("away")

    with monkeypatch.context() as patched:
        patched.setattr(run.ledger, "record", away)
        await deadlines.keep(run)
    assert run.state.questions
    await deadlines.keep(run)
    assert not run.state.questions


async def test_a_run_that_waits_over_midnight_goes_on_by_itself(tmp_path: Path):
    till = Till(Cap(scope="day", name=today(SimulatedClock().now())))
    run = start(tmp_path, till, budgets={"day_usd": 1.0})
    assert isinstance(run.clock, SimulatedClock)
    now = run.clock.now()
    run.clock.advance((now.replace(hour=23, minute=59, second=50) - now).total_seconds())
    run.wait_s = 60.0
    assert (await deliver(run)).state == "succeeded"


@pytest.mark.parametrize(
    ("cap", "changes", "said"),
    [
        (Cap(scope="run"), {"budget_usd": 9.0}, ("raise", {"usd": 9.0})),
        (Cap(scope="run"), {"budget_usd": "none"}, ("raise", {"usd": "none"})),
        (Cap(scope="run"), {"budgets": {"item_usd": 9.0}}, (None, {})),
        (Cap(scope="item", name="a"), {"budgets": {"item_usd": 9.0}}, ("raise", {"usd": 9.0})),
        (Cap(scope="item", name="a"), {"budgets": {"item_usd": 1.0, "items": {"b": 3.0}}}, (None, {})),
        (Cap(scope="day", name="2026-01-01"), {"budgets": {"day_usd": 4.0}}, ("raise", {"usd": 4.0})),
        (Cap(scope="role", name="coder"), {"roles": {"coder": "small"}}, ("switch_model", {"model": "small"})),
        (Cap(scope="run"), {"model": "small"}, ("switch_model", {"model": "small"})),
    ],
)
def test_what_a_resume_answers(cap: Cap, changes: dict[str, Any], said: tuple[str | None, dict[str, Any]]):
    from aurea.domain.evidence import Question

    values = {
        "project": "p", "objective": "o", "checks": [], "unproven": True,
        "budgets": {"item_usd": 1.0, "day_usd": 2.0, "roles": {"coder": 1.0}},
    }  # fmt: skip
    before, after = Spec.model_validate(values), Spec.model_validate({**values, **changes})
    question = Question(id="q-1", kind="budget", title="t", why="w", cap=cap)
    assert _answer(question, before, after) == said
