"""needs_research with a way to the web: another agent answers, bounded, fenced, paid for once, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aurea.agents.engine import LoopEngine
from aurea.agents.tools.web import Web
from aurea.delivery.conduct import conduct
from aurea.delivery.context import Run
from aurea.delivery.desk import AgentDesk
from aurea.delivery.research import MOST, TIME_S, TURNS, may_read, may_tell_all
from aurea.domain.errors import Blocked, BudgetReached, Permanent, ToolRefused
from aurea.domain.events import QuestionAnswered
from aurea.domain.messages import ModelRef, ModelReply, ModelRequest
from aurea.domain.spec import Spec
from aurea.models.journal import JournalClient
from aurea.models.prices import Prices
from aurea.models.waiting import Waiting
from aurea.ports import CommandResult
from aurea.ports.web import Hit
from aurea.testing.agents import REPORT, reply
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.line import memory_run, plain_phases
from aurea.testing.web import FixedSearch

TIDES = Hit("Tides", "https://example.org/tides", "Twice a day.")
ASK = ("raise_escalation", {"kind": "needs_research", "text": "How often are tides?"})
APPROVE = ("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"})
WRITE = ("write_file", {"path": "a.txt", "content": "twice\n"})
FOUND = (
    "submit_report",
    {"summary": "Twice a day, see https://example.org/tides and https://made.up/x.", "approach": "searched"},
)
TALKS: dict[str, list[ModelReply | Exception]] = {
    "coder": [reply(ASK), reply(WRITE), reply(REPORT)],
    "researcher-1": [reply(("web_search", {"query": "tides how often"})), reply(FOUND)],
    "reviewer-1": [reply(APPROVE)],
}


class Models:
    """Answers each conversation by its steps, each answer a second later; keeps what it was asked."""

    def __init__(
        self, clock: SimulatedClock, talks: Mapping[str, list[ModelReply | Exception]], seconds: float
    ) -> None:
        self.asked: list[ModelRequest] = []
        self.talks = talks
        self._clock = clock
        self._seconds = seconds

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        self._clock.advance(self._seconds)
        answer = self.talks[request.address.conversation][request.address.step - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def of(self, conversation: str) -> list[ModelRequest]:
        return [request for request in self.asked if request.address.conversation == conversation]


def start(
    tmp_path: Path, talks: Mapping[str, list[ModelReply | Exception]] = TALKS, seconds: float = 1.0, **more: Any
) -> tuple[Run, Models, FixedSearch]:
    """A run of one item on the real engine, with scripted models and a search engine that knows tides."""
    clock = SimulatedClock(auto=False)
    given = {
        "project": "p", "objective": "o", "checks": [{"name": "tests", "run": ["true"]}], "web_search": True,
        "items": [{"id": "a", "goal": "write a", "criteria": ["it works"]}], **more,
    }  # fmt: skip
    runner = ScriptedRunner(lambda _: CommandResult("exited", 0, "green", 5, 0.1))

    async def nobody(_: Any) -> Mapping[str, object]:
        raise AssertionError

    run = memory_run(tmp_path, Spec.model_validate(given), nobody, runner, clock)
    models, search = Models(clock, talks, seconds), FixedSearch({"tides": [TIDES]})
    run.engine = LoopEngine(
        run=run.id,
        ledger=run.ledger,
        client=JournalClient(
            models, ledger=run.ledger, run=run.id, prices=Prices(lambda _: True), clock=clock, waiting=Waiting()
        ),
        commands=runner,
        model_for=lambda role, named: ModelRef(provider="replay", name=role),
        clock=clock,
        folder=run.folder,
        web=Web(search),
    )
    return run, models, search


async def deliver(run: Run) -> str:
    return (await asyncio.wait_for(conduct(run, plain_phases(run)), 20)).state


def answer(models: Models, step: int = 2) -> str:
    """What the coder was told at the end of its request of a step."""
    return str(models.of("coder")[step - 1].messages[-1].text)


async def test_a_question_is_looked_up_and_the_agent_goes_on(tmp_path: Path) -> None:
    run, models, search = start(tmp_path)
    assert await deliver(run) == "succeeded" and search.queries == ["tides how often"]
    told = answer(models)
    assert '<untrusted source="research">\nTwice a day' in told and "Nobody has checked it" in told
    assert "Addresses:\n- https://example.org/tides" in told
    assert "not among what was found: https://made.up/x" in told
    request = models.of("researcher-1")[0]
    assert request.address.key == ("a", 1, "researcher-1", 1) and request.address.role == "researcher"
    assert {tool.name for tool in request.tools} == {
        "read_file", "list_directory", "search_codebase", "git_status", "git_diff", "git_log", "web_search",
        "search_tools", "submit_report",
    }  # fmt: skip
    assert "How often are tides?" in str(request.messages[1].text)
    [note] = run.state.insights
    assert "Twice a day" in note.fact.text and "How often" in note.fact.text and note.author.startswith("researcher-1")
    assert "https://example.org/tides" in note.fact.text
    assert not run.state.questions and run.state.escalation("a", 1) is None
    assert (run.folder / "logs/a/1/researcher-1.jsonl").exists() and (
        run.folder / "logs/a/1/conversation.jsonl"
    ).exists()


async def test_the_time_of_a_research_is_charged_in_part(tmp_path: Path) -> None:
    run, _, _ = start(tmp_path, seconds=100.0)
    assert await deliver(run) == "succeeded"
    [record] = [
        r for place, r in run.state.tools.items() if place[2] == "coder" and r.started.tool == "raise_escalation"
    ]
    assert record.ended is not None and record.ended.seconds == 30.0, "of 200"


async def test_a_crash_anywhere_pays_for_nothing_twice(tmp_path: Path) -> None:
    whole, _, _ = start(tmp_path / "whole")
    assert await deliver(whole) == "succeeded"
    types = [(e.type, getattr(e.fact, "conversation", "")) for e in whole.ledger.events("run-1")]
    around = [n for n, (_, who) in enumerate(types) if who == "researcher-1"]
    for at in range(around[0], around[-1] + 2):
        run, models, search = start(tmp_path / str(at))
        record, seen = run.ledger.record, 0

        async def dying(name: str, drafts: Any, bodies: Any = None, *, at: int = at, record: Any = record) -> Any:
            events = await record(name, drafts, bodies)
            if events and events[-1].seq > at:
                raise RuntimeError("killed")
            return events

        run.ledger.record = dying  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await deliver(run)
        run.ledger.record = record  # type: ignore[method-assign]
        seen = len(run.state.journal)
        before = set(run.state.journal)
        asked = len(models.asked)
        assert await deliver(run) == "succeeded"
        again = [request.address.key for request in models.asked[asked:]]
        assert not before & set(again), f"answered calls were made again after event {at}"
        assert len(run.state.journal) == len(whole.state.journal) and seen <= len(whole.state.journal)
        assert len(run.state.insights) == 1 and answer(models, len(models.of("coder")) - 1)
        assert len(search.queries) <= 2, "at most the one that was under way is made again"


async def test_the_same_question_has_one_answer_and_an_attempt_three(tmp_path: Path) -> None:
    def ask(text: str) -> tuple[str, dict[str, str]]:
        return ("raise_escalation", {"kind": "needs_research", "text": text})

    asks = [reply(ask(text)) for text in ("one", "one", "two", "three", "four")]
    research: list[ModelReply | Exception] = [reply(FOUND)]
    talks = {**TALKS, "coder": [*asks, reply(WRITE), reply(REPORT)]}
    run, models, _ = start(tmp_path, {**talks, **{f"researcher-{n}": research for n in (1, 2, 3)}})
    assert await deliver(run) == "succeeded"
    assert [len(models.of(f"researcher-{n}")) for n in range(1, 6)] == [1] * MOST + [0, 0]
    assert answer(models, 2) == answer(models, 3) and "No page of the web stands behind this" in answer(models, 2)
    assert "which is all it gets" in answer(models, 6)
    assert not run.state.insights, "without a page there is nothing that others should know"


@pytest.mark.parametrize(("research", "said"), [
    ([reply(text="I do not know.")] * 5, "came to no end: it answered 4 times in a row"),
    ([Permanent("the model refuses")], "The research failed: the model refuses"),
    ([reply(("web_search", {"query": "tides"}))] * TURNS, "came to no end"),
    ([reply(("submit_report", {"summary": "none", "approach": "", "unfinished": ["how often"]}))], "Not found out: how often"),
])  # fmt: skip
async def test_a_research_that_fails_lets_the_agent_go_on(
    tmp_path: Path, research: list[ModelReply | Exception], said: str
) -> None:
    run, models, _ = start(tmp_path, {**TALKS, "researcher-1": research})
    assert await deliver(run) == "succeeded"
    assert said in answer(models) and len(models.of("researcher-1")) <= TURNS


@pytest.mark.parametrize("fault", [Blocked("no key"), BudgetReached("no money", limit_usd=5, needed_usd=6)])
async def test_what_stops_everybody_is_asked_about_and_the_research_goes_on(tmp_path: Path, fault: Exception) -> None:
    talks = {**TALKS, "researcher-1": [TALKS["researcher-1"][0], fault]}
    run, models, search = start(tmp_path, talks)
    assert await deliver(run) == "waiting" and run.state.questions
    models.talks = TALKS
    for name in list(run.state.questions):
        choice, fields = ("retry", {}) if isinstance(fault, Blocked) else ("raise", {"usd": 9.0})
        await run.record(QuestionAnswered(question=name, choice=choice, fields=fields, door="cli"), actor="ada")
    assert await deliver(run) == "succeeded"
    assert search.queries == ["tides how often"] and len(run.state.item("a").attempts) == 1


async def test_secrets_keep_the_web_away_and_so_does_the_spec(tmp_path: Path) -> None:
    for more, said in (({"pass_env": ["TOKEN"]}, "You have secrets"), ({"web_search": False}, "no web search")):
        run, models, search = start(tmp_path / said[:3], **more)
        assert await deliver(run) == "succeeded" and not search.queries and not models.of("researcher-1")
        assert said in answer(models) and "read the repository" in answer(models)


@pytest.mark.parametrize(("more", "coder", "everybody"), [
    ({}, True, True), ({"pass_env": ["TOKEN"]}, False, False), ({"pass_env": ["TOKEN"], "network": "open"}, False, False),
    ({"pass_env": ["TOKEN"], "roles": {"coder": {"deny": ["run_shell", "run_python"]}}}, True, False),
    ({"mcp": [{"name": "mail", "url": "http://mail", "token_env": "T", "roles": ["docs"], "effect": "outside"}]}, True, False),
])  # fmt: skip
async def test_the_rule_of_two_holds_for_who_is_told(tmp_path: Path, more: Any, coder: bool, everybody: bool) -> None:
    run, _, _ = start(tmp_path, **more)
    assert (may_read(run.spec, "coder"), may_tell_all(run.spec)) == (coder, everybody)
    assert may_read(run.spec, "reviewer"), "who runs nothing has no secrets"
    if not everybody:
        with pytest.raises(ToolRefused, match="say it in your report"):
            await AgentDesk(run, "a", 1, "researcher").insight("tides come twice")


async def test_who_looks_things_up_asks_nobody_else(tmp_path: Path) -> None:
    run, _, _ = start(tmp_path)
    assert await deliver(run) == "succeeded"
    desk = AgentDesk(run, "a", 1, "researcher")
    assert "you are the one who does" in await desk.escalate("needs_research", "what is X?")


def test_the_bounds_are_small() -> None:
    assert (MOST, TURNS, TIME_S) == (3, 12, 300.0)
