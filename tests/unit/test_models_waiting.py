"""Long waits of model calls are told: what for and how long, once each, and few of them however many calls wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from aurea.domain.events import ModelWaiting
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.spec import ProviderLimits
from aurea.ledger.book import Book
from aurea.models.breaker import FAILURES, BreakerClient, Circuits
from aurea.models.faults import ModelFault, Server, fault
from aurea.models.limits import LimitsClient
from aurea.models.retry import RetryClient
from aurea.models.waiting import EVERY_S, Notices, Waiting
from aurea.ports import ModelClient
from aurea.reporting.board import Board
from aurea.reporting.lines import event_text, matters, notable
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import ScriptedModel, asking, say
from aurea.testing.store import MemoryEventStore

SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1")
RUN = "run-1"


class Desk:
    """A run that is told of waits, and the layers that wait."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.book = Book(MemoryEventStore(), self.clock)
        self.book.append(RUN, [created()])
        self.waiting = Waiting(Notices(self.book, RUN, self.clock))

    def retry(self, inner: ModelClient) -> RetryClient:
        dice = random.Random(1)
        return RetryClient(inner, ledger=self.book, run=RUN, clock=self.clock, waiting=self.waiting, dice=dice)

    def limits(self, inner: ModelClient, **limits: int) -> LimitsClient:
        given = {"openai": ProviderLimits(**limits)}
        return LimitsClient(inner, clock=self.clock, waiting=self.waiting, limits=given, address=lambda _: "here")

    def breaker(self, inner: ModelClient) -> BreakerClient:
        return BreakerClient(
            inner, ledger=self.book, run=RUN, clock=self.clock, waiting=self.waiting, circuits=Circuits(),
            address=lambda _: "here",
        )  # fmt: skip

    def told(self) -> list[ModelWaiting]:
        return [event.fact for event in self.book.events(RUN) if isinstance(event.fact, ModelWaiting)]

    def words(self) -> list[str]:
        return [event_text(event) for event in self.book.events(RUN) if isinstance(event.fact, ModelWaiting)]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.book.close()


async def test_a_provider_that_names_a_time_is_told_of(desk: Desk) -> None:
    busy = fault("rate_limit", SERVER, retry_after=30.0)
    assert (await desk.retry(ScriptedModel(busy, say("ok"))).complete(asking(step=3))).text == "ok"
    [fact] = desk.told()
    assert (fact.conversation, fact.step, fact.provider, fact.why) == ("coder", 3, "openai", "retry_after")
    assert 30.0 <= fact.seconds <= 33.0
    [event] = [event for event in desk.book.events(RUN) if isinstance(event.fact, ModelWaiting)]
    assert matters(event) and not notable(event), "a line of progress, none that stays above the table"
    assert event_text(event).startswith("coder step 3: waits ") and event_text(event).endswith(", as openai asks")


async def test_short_waits_are_not(desk: Desk) -> None:
    down = fault("server", SERVER)
    assert (await desk.retry(ScriptedModel(down, down, say("ok"))).complete(asking())).text == "ok"
    assert desk.clock.slept and not desk.told()


async def test_an_open_breaker_is_told_of(desk: Desk) -> None:
    client = desk.breaker(ScriptedModel(*[fault("server", SERVER)] * FAILURES, say("ok")))
    for step in range(FAILURES):
        with pytest.raises(ModelFault):
            await client.complete(asking(step=step))
    await client.complete(asking(step=9))
    assert desk.words() == ["coder step 9: waits 1m 00s for openai, which is down"]
    assert [fact.why for fact in desk.told()] == ["breaker"]


async def test_a_full_minute_is_told_of_once(desk: Desk) -> None:
    client = desk.limits(ScriptedModel(*[say("ok")] * 2), requests_per_minute=1)
    for step in (1, 2):
        await client.complete(asking(step=step))
    [fact] = desk.told()
    assert (fact.step, fact.why) == (2, "limits") and fact.seconds > 50


async def test_waiting_behind_other_calls_is_told_of_once(desk: Desk) -> None:
    class Slow:
        async def complete(self, request: ModelRequest) -> ModelReply:
            await desk.clock.sleep(120.0)
            return say("ok")

    client = desk.limits(Slow(), concurrency=1)
    await asyncio.gather(*(client.complete(asking(step=step)) for step in (1, 2)))
    [fact] = desk.told()
    assert (fact.step, fact.why) == (2, "busy") and 5.0 < fact.seconds < 10.0
    assert "has waited" in desk.words()[0]


async def test_a_storm_floods_nobody(desk: Desk) -> None:
    busy = fault("rate_limit", SERVER, retry_after=20.0)
    calls = 50
    models = [desk.retry(ScriptedModel(busy, busy, say("ok"))) for _ in range(calls)]
    replies = await asyncio.gather(*(model.complete(asking(step=n)) for n, model in enumerate(models)))
    assert len(replies) == calls
    assert 1 <= len(desk.told()) <= desk.clock.monotonic() / EVERY_S + 1


async def test_the_table_says_what_an_item_waits_for(desk: Desk) -> None:
    board = Board(RUN)
    await desk.retry(ScriptedModel(fault("rate_limit", SERVER, retry_after=30.0), say("ok"))).complete(asking())
    for event in desk.book.events(RUN):
        board.take(event)
    assert "as openai asks" in board._doing[None]
