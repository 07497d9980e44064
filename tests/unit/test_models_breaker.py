"""The breaker: five failures in a row, a minute of rest, one trial, shared by all runs of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.errors import Transient
from aurea.domain.events import BreakerChanged
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.ledger.book import Book
from aurea.models.breaker import FAILURES, OPEN_S, BreakerClient, Circuit, Circuits
from aurea.models.faults import Kind, ModelFault, Server, fault
from aurea.models.waiting import Waiting
from aurea.ports import ModelClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import ScriptedModel, asking, say
from aurea.testing.store import MemoryEventStore

SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1")
DOWN = fault("server", SERVER, "no")


class Desk:
    """Runs of one process with their ledger."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.book = Book(MemoryEventStore(), self.clock)
        self.circuits = Circuits()
        self.waiting = Waiting()

    def client(self, inner: ModelClient, run: str = "run-1") -> BreakerClient:
        self.book.append(run, [created()])
        return BreakerClient(
            inner,
            ledger=self.book,
            run=run,
            clock=self.clock,
            waiting=self.waiting,
            circuits=self.circuits,
            address=lambda provider: None if provider == "replay" else "http://127.0.0.1:1/v1",
        )

    def changes(self, run: str = "run-1") -> list[tuple[str, int]]:
        found = [event.fact for event in self.book.events(run)]
        return [(fact.state, fact.failures) for fact in found if isinstance(fact, BreakerChanged)]

    async def fail(self, client: BreakerClient, times: int, first: int = 1) -> None:
        for step in range(first, first + times):
            with pytest.raises(ModelFault):
                await client.complete(asking(step=step))


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.book.close()


async def test_after_five_failures_in_a_row_nobody_asks_for_a_minute(desk: Desk) -> None:
    model = ScriptedModel(*[DOWN] * FAILURES, say("up again"))
    client = desk.client(model)
    await desk.fail(client, FAILURES)
    assert desk.changes() == [("open", 5)]

    reply = await client.complete(asking(step=9))

    assert (reply.text, desk.clock.slept) == ("up again", [OPEN_S])
    assert desk.waiting.of(asking(step=9).address.key) == OPEN_S
    assert desk.changes() == [("open", 5), ("half_open", 5), ("closed", 0)]


@pytest.mark.parametrize("kind", ["server", "overloaded", "connection", "timeout"])
async def test_what_opens_it(desk: Desk, kind: Kind) -> None:
    await desk.fail(desk.client(ScriptedModel(*[fault(kind, SERVER)] * 5)), 5)
    assert desk.changes() == [("open", 5)]


@pytest.mark.parametrize("kind", ["rate_limit", "malformed", "authentication", "not_found", "quota", "rejected"])
async def test_what_does_not_open_it(desk: Desk, kind: Kind) -> None:
    await desk.fail(desk.client(ScriptedModel(*[fault(kind, SERVER)] * 9)), 9)
    assert desk.changes() == []


async def test_a_timeout_of_a_call_that_had_no_time_says_nothing_about_the_service(desk: Desk) -> None:
    client = desk.client(ScriptedModel(*[fault("timeout", SERVER)] * 9))
    for step in range(9):
        with pytest.raises(ModelFault):
            await client.complete(asking(step=step, timeout_s=3.0))
    assert desk.changes() == []


async def test_an_answer_between_failures_begins_the_count_anew(desk: Desk) -> None:
    client = desk.client(ScriptedModel(*[DOWN] * 4, say("ok"), *[DOWN] * 4, say("ok")))
    await desk.fail(client, 4)
    await client.complete(asking(step=5))
    await desk.fail(client, 4, first=6)
    assert desk.changes() == []


async def test_one_call_is_the_trial_and_the_others_wait_for_its_end(desk: Desk) -> None:
    answered: list[float] = []

    def answer(_: ModelRequest) -> ModelReply:
        answered.append(desk.clock.monotonic())
        return say("ok")

    model = ScriptedModel(*[DOWN] * 5, *[answer] * 10, clock=desk.clock, seconds=7.0)
    client = desk.client(model)
    await desk.fail(client, 5)
    await asyncio.gather(*(client.complete(asking(step=step)) for step in range(10, 20)))

    assert answered[0] >= 5 * 7.0 + OPEN_S + 7.0
    assert all(when >= answered[0] + 7.0 for when in answered[1:])
    assert model.most_at_once == 9


async def test_a_trial_that_fails_opens_it_again(desk: Desk) -> None:
    client = desk.client(ScriptedModel(*[DOWN] * 6, say("ok")))
    await desk.fail(client, 6)
    await client.complete(asking(step=7))
    assert desk.clock.slept == [60.0, 60.0]
    assert [state for state, _ in desk.changes()] == ["open", "half_open", "open", "half_open", "closed"]


async def test_a_trial_that_is_cut_off_leaves_the_next_one_free(desk: Desk) -> None:
    client = desk.client(ScriptedModel(*[DOWN] * 5, say("never"), say("ok"), clock=desk.clock, seconds=50.0))
    await desk.fail(client, 5)
    trial = asyncio.create_task(client.complete(asking(step=6)))
    while desk.changes()[-1][0] != "half_open":
        await asyncio.sleep(0)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    began = desk.clock.monotonic()

    await client.complete(asking(step=7))

    assert desk.clock.monotonic() - began == 50.0


async def test_runs_share_it_and_each_one_tells_what_it_saw(desk: Desk) -> None:
    await desk.fail(desk.client(ScriptedModel(*[DOWN] * 5)), 5)
    other = desk.client(ScriptedModel(say("ok")), "run-2")

    await other.complete(asking())

    assert desk.clock.slept == [60.0]
    assert desk.changes("run-2") == [("open", 5), ("half_open", 5), ("closed", 0)]
    assert desk.changes() == [("open", 5)]


async def test_other_providers_and_replays_are_not_held_up(desk: Desk) -> None:
    client = desk.client(ScriptedModel(*[DOWN] * 5, say("a"), *[DOWN] * 6))
    await desk.fail(client, 5)
    await client.complete(asking(model="anthropic:claude", step=6))
    for step in range(7, 13):
        with pytest.raises(ModelFault):
            await client.complete(asking(model="replay:cassette", step=step))
    assert desk.clock.slept == []


async def test_a_call_beside_which_another_model_stands_does_not_wait(desk: Desk) -> None:
    client = desk.client(ScriptedModel(*[DOWN] * 5))
    await desk.fail(client, 5)
    with pytest.raises(Transient, match="left alone") as caught:
        await client.complete(asking(step=6, patient=False))
    assert isinstance(caught.value, ModelFault)
    assert (caught.value.kind, caught.value.sent, desk.clock.slept) == ("circuit_open", False, [])


async def test_a_call_that_waited_behind_the_breaker_comes_back_where_it_has_opened(desk: Desk) -> None:
    asked: list[float] = []

    class Queue:
        """Lets calls through one after the other, as limits do."""

        def __init__(self, inner: ModelClient) -> None:
            self.inner, self.line = inner, asyncio.Lock()

        async def complete(self, request: ModelRequest) -> ModelReply:
            async with self.line:
                return await self.inner.complete(request)

    def answer(_: ModelRequest) -> ModelReply:
        asked.append(desk.clock.monotonic())
        if len(asked) <= 5:
            raise DOWN
        return say("ok")

    desk.book.append("run-1", [created()])
    client = BreakerClient(
        ScriptedModel(*[answer] * 20),
        ledger=desk.book,
        run="run-1",
        clock=desk.clock,
        waiting=desk.waiting,
        circuits=desk.circuits,
        address=lambda _: "here",
        between=Queue,
    )
    done = await asyncio.gather(*(client.complete(asking(step=n)) for n in range(20)), return_exceptions=True)

    assert sum(isinstance(one, ModelFault) for one in done) == 5
    assert asked[:5] == [0.0] * 5
    assert 60.0 <= min(asked[5:]) < 200.0


@given(st.lists(st.tuples(st.sampled_from(["worked", "failed", "silent"]), st.floats(0, 90)), max_size=60))
def test_whatever_happens_an_open_breaker_rests_and_tries_one_at_a_time(ends: list[tuple[str, float]]) -> None:
    circuit, now, row = Circuit(), 0.0, 0
    opened = -OPEN_S
    for end, later in ends:
        now += later
        call = object()
        wait = circuit.enter(call, now)
        assert (wait == 0) == (circuit.state == "closed" or now >= opened + OPEN_S)
        if wait:
            continue
        trial = circuit.state == "half_open"
        assert not trial or circuit.enter(object(), now) > 0
        circuit.leave(call, now, end)  # type: ignore[arg-type]
        row = row + 1 if end == "failed" else 0 if end == "worked" or trial else row
        assert circuit.failures == row
        if end == "failed" and (trial or row >= FAILURES):
            opened = now
            assert circuit.state == "open"
        else:
            assert circuit.state == "closed"
