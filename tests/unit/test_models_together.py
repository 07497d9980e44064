"""All layers of a run together: what one alone does not show."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aurea.domain.messages import ModelReply, ModelRequest, Usage
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.faults import Kind, ModelFault, Server, fault
from aurea.models.layers import Around
from aurea.models.registry import RunModels, build_client
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import asking, say
from aurea.testing.store import MemoryEventStore

SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1", "OPENAI_API_KEY")


class Provider:
    """A model server that refuses or fails as told, and counts what reaches it."""

    def __init__(self, clock: SimulatedClock, name: str = "openai") -> None:
        self.clock = clock
        self.name = name
        self.requests: list[ModelRequest] = []
        self.times: list[float] = []
        self.kind: Kind | None = None
        self.odds = 0.0
        self.dice = random.Random(7)
        self.now = self.most = 0

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        self.times.append(self.clock.monotonic())
        self.now += 1
        self.most = max(self.most, self.now)
        await self.clock.sleep(0.5)
        self.now -= 1
        if self.kind is not None:
            raise fault(self.kind, SERVER)
        if self.dice.random() < self.odds:
            raise fault("rate_limit", SERVER)
        return say(f"{self.name} says {request.address.step}", usage=Usage(input_tokens=100, output_tokens=10))

    async def close(self) -> None:
        pass


class Desk:
    """A home with one ledger, and runs in it."""

    def __init__(self, state: Path | None) -> None:
        self.clock = SimulatedClock()
        self.book = Book(MemoryEventStore(), self.clock)
        self.around = Around(state=state)
        self.providers = {name: Provider(self.clock, name) for name in ("openai", "anthropic", "replay")}

    def client(self, run: str = "run-1", **more: Any) -> RunModels:
        self.book.append(run, [created()])
        spec = {"project": "p", "objective": "o", "checks": [], "unproven": True, "provider": "openai", **more}
        return build_client(
            run=run,
            ledger=self.book,
            clock=self.clock,
            spec=Spec.model_validate(spec),
            environ={},
            make=lambda name: self.providers[name],
            around=self.around,
        )

    def types(self, run: str = "run-1") -> list[str]:
        return [event.type for event in self.book.events(run)][1:]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.book.close()


async def ask(client: RunModels, conversations: range, steps: int = 1) -> list[str | BaseException]:
    async def agent(number: int) -> str:
        for step in range(1, steps + 1):
            reply = await client.complete(asking(conversation=f"coder-{number}", step=step))
        return reply.text

    return await asyncio.gather(*(agent(number) for number in conversations), return_exceptions=True)


async def test_fifty_agents_come_to_their_end_though_every_second_call_is_refused(desk: Desk) -> None:
    server = desk.providers["openai"]
    server.odds = 0.5
    one, two = desk.client("run-1", budget_usd=50.0), desk.client("run-2", budget_usd="none")

    done = [*await asyncio.gather(ask(one, range(25), steps=2), ask(two, range(25, 50), steps=2))]

    assert [text for texts in done for text in texts] == ["openai says 2"] * 50
    assert len(server.requests) > 160
    assert desk.clock.monotonic() < 1000
    assert desk.book.state("run-1").reserved == {}


async def test_in_a_storm_calls_wait_and_go_on_when_it_is_over(desk: Desk) -> None:
    server = desk.providers["openai"]
    server.kind = "rate_limit"
    client = desk.client()
    calls = asyncio.gather(ask(client, range(50)))
    while desk.clock.monotonic() < 300:
        await asyncio.sleep(0)
    during = len(server.requests)
    server.kind = None
    (done,) = await calls

    assert done == ["openai says 1"] * 50
    assert during < 50 + 40  # all at once in the beginning, then one at a time, far between
    assert desk.clock.monotonic() < 600


async def test_a_provider_that_refuses_for_a_quarter_of_an_hour_is_given_up(desk: Desk) -> None:
    desk.providers["openai"].kind = "rate_limit"
    (done,) = await ask(desk.client(), range(1))
    assert isinstance(done, ModelFault)
    assert 900 <= desk.clock.monotonic() < 1100


async def test_a_provider_that_is_down_is_left_alone_by_all(desk: Desk) -> None:
    server = desk.providers["openai"]
    server.kind = "connection"
    client = desk.client()
    calls = asyncio.gather(ask(client, range(20)))
    while desk.clock.monotonic() < 200:
        await asyncio.sleep(0)
    assert len([when for when in server.times if when > 1]) <= 6  # a second round of few, then one a minute
    server.kind = None
    (done,) = await calls
    assert done.count("openai says 1") >= 18
    assert desk.types().count("breaker.changed") >= 3


async def test_the_fallback_answers_and_the_ledger_says_who_did(desk: Desk) -> None:
    desk.providers["openai"].kind = "server"
    fallback = {"coder": {"fallback": ["anthropic:claude-sonnet-4-6"]}}
    client = desk.client(roles=fallback)

    first = await client.complete(asking(step=1))
    await client.complete(asking(step=2))

    assert first.text == "anthropic says 1"
    assert len(desk.providers["openai"].requests) == 3
    facts = [event.fact.model_dump() for event in desk.book.events("run-1")]
    answered = [(f["provider"], f["step"]) for f in facts if f["type"] == "model.answered"]
    assert answered == [("anthropic", 1), ("anthropic", 2)]
    assert [f["provider"] for f in facts if f["type"] == "model.asked"] == ["openai", "anthropic", "anthropic"]
    assert [f["provider"] for f in facts if f["type"] == "model.failed"] == ["openai"] * 3
    reserved = [f["usd"] for f in facts if f["type"] == "budget.reserved"]
    assert reserved[3] > 5 * reserved[0]  # by the price of the model that was asked
    assert desk.book.state("run-1").cost.usd == pytest.approx(desk.book.state("run-1").spent_usd)


async def test_after_a_crash_the_fallbacks_answer_is_not_paid_twice(desk: Desk) -> None:
    desk.providers["openai"].kind = "server"
    fallback = {"coder": {"fallback": ["anthropic:claude-sonnet-4-6"]}}
    await desk.client(roles=fallback).complete(asking())
    store, asked = desk.book, len(desk.providers["openai"].requests)
    spec = {"project": "p", "objective": "o", "checks": [], "unproven": True, "provider": "openai", "roles": fallback}
    again = build_client(
        run="run-1",
        ledger=store,
        clock=desk.clock,
        spec=Spec.model_validate(spec),
        environ={},
        make=lambda name: desk.providers[name],
    )
    assert (await again.complete(asking())).text == "anthropic says 1"
    assert (len(desk.providers["openai"].requests), len(desk.providers["anthropic"].requests)) == (asked, 1)


async def test_an_open_breaker_falls_back_at_once(desk: Desk) -> None:
    server = desk.providers["openai"]
    server.kind = "server"
    client = desk.client(roles={"coder": {"fallback": ["anthropic:claude-sonnet-4-6"]}})
    await ask(client, range(2))
    before = (len(server.requests), desk.clock.monotonic())

    await ask(client, range(2, 3))

    assert (len(server.requests), desk.clock.monotonic()) == (before[0], before[1] + 0.5)
    facts = [event.fact for event in desk.book.events("run-1")]
    assert [f.reason for f in facts if f.type == "model.fell_back"][-1] == "circuit_open"  # type: ignore[union-attr]


async def test_a_kept_answer_is_neither_asked_for_nor_paid(desk: Desk) -> None:
    request = asking(options={"temperature": 0})
    await desk.client("run-1", cache=True).complete(request)
    await desk.client("run-2", cache=True).complete(request)
    await desk.client("run-3").complete(request)

    assert len(desk.providers["openai"].requests) == 2
    assert desk.types("run-2") == ["model.asked", "model.answered"]
    state = desk.book.state("run-2")
    assert (state.cost.usd, state.cost.input_tokens, state.cost.model_calls, state.spent_usd) == (0.0, 0, 1, 0.0)


async def test_two_runs_stay_within_the_requests_a_minute_of_their_provider(desk: Desk) -> None:
    limits = {"openai": {"requests_per_minute": 12}}
    one, two = desk.client("run-1", limits=limits), desk.client("run-2", limits=limits)
    await asyncio.gather(ask(one, range(20)), ask(two, range(20)))
    times = desk.providers["openai"].times
    assert len(times) == 40
    assert max(sum(t <= other < t + 60 for other in times) for t in times) == 12


async def test_replays_leave_no_traces_in_the_home(desk: Desk, tmp_path: Path) -> None:
    await desk.client(cache=True).complete(asking(model="replay:cassette", options={"seed": 1}))
    assert list(tmp_path.iterdir()) == []


async def test_an_attempt_names_the_models_that_went_on(desk: Desk) -> None:
    desk.providers["openai"].kind = "server"
    client = desk.client(roles={"coder": {"fallback": ["anthropic:claude-sonnet-4-6"]}})
    desk.book.append("run-1", [planned("storage"), started(item="storage")])
    for step in (1, 2):
        await client.complete(asking(item="storage", step=step))
    attempt = desk.book.state("run-1").attempt("storage", 1)
    assert attempt.fallbacks == ["anthropic:claude-sonnet-4-6"]
