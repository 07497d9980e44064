"""Journal and retry: an answered call is never made again, and a failed one only where that helps."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from aurea.domain.errors import Blocked
from aurea.domain.events import ModelAnswered, ModelAsked, ModelFailed
from aurea.domain.messages import Usage
from aurea.ledger.book import Book
from aurea.models.faults import Kind, ModelFault, Server, fault
from aurea.models.journal import JournalClient
from aurea.models.prices import Prices
from aurea.models.retry import RetryClient
from aurea.models.waiting import Waiting
from aurea.ports import ModelClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import ScriptedModel, asking, call, say
from aurea.testing.store import MemoryEventStore

RUN = "run-1"
SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1", "OPENAI_API_KEY")


class Desk:
    """A ledger, a clock, and the layers on them."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.store = MemoryEventStore()
        self.book = Book(self.store, self.clock)
        self.book.append(RUN, [created(), planned("storage"), started(item="storage")])
        self.waiting = Waiting()

    def crash(self) -> None:
        """Another process takes the run up."""
        self.book.close()
        self.book = Book(self.store, self.clock)

    def journal(self, inner: ModelClient) -> JournalClient:
        return JournalClient(
            inner,
            ledger=self.book,
            run=RUN,
            prices=Prices(lambda _: True),
            clock=self.clock,
            waiting=self.waiting,
        )

    def retry(self, inner: ModelClient, seed: int = 1) -> RetryClient:
        return RetryClient(
            inner, ledger=self.book, run=RUN, clock=self.clock, waiting=self.waiting, dice=random.Random(seed)
        )

    def facts(self, kind: type) -> list[object]:
        return [event.fact for event in self.book.events(RUN) if isinstance(event.fact, kind)]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.book.close()


def failing(kind: Kind, retry_after: float | None = None) -> ModelFault:
    return fault(kind, SERVER, "no", retry_after=retry_after)


async def test_every_call_is_in_the_ledger_before_and_after(desk: Desk) -> None:
    seen: list[int] = []

    def answer(_: object) -> object:
        seen.append(len(desk.facts(ModelAsked)))
        return call("write_file", path="a").model_copy(update={"usage": Usage(input_tokens=1000, output_tokens=100)})

    reply = await desk.journal(ScriptedModel(answer)).complete(asking(item="storage"))  # type: ignore[arg-type]

    assert seen == [1]
    (answered,) = desk.facts(ModelAnswered)
    assert isinstance(answered, ModelAnswered)
    assert (answered.tools, answered.finish, answered.priced) == (("write_file",), "tool_calls", True)
    assert answered.usd == pytest.approx(0.00045)
    state = desk.book.state(RUN)
    assert state.cost.model_calls == 1
    assert desk.book.body(answered.body) == reply.model_dump_json()


async def test_a_resumed_run_repeats_no_answered_call(desk: Desk) -> None:
    requests = [asking(item="storage", step=step) for step in (1, 2, 3)]
    first = ScriptedModel(*(call("write_file", path=str(n)) for n in (1, 2)))
    said = [await desk.journal(first).complete(request) for request in requests[:2]]
    desk.crash()

    second = ScriptedModel(say("third"))
    again = [await desk.journal(second).complete(request) for request in requests]

    assert again[:2] == said
    assert [request.address.step for request in second.requests] == [3]
    assert desk.book.state(RUN).cost.model_calls == 3


async def test_a_call_without_an_answer_is_made_again(desk: Desk) -> None:
    with pytest.raises(ModelFault):
        await desk.journal(ScriptedModel(failing("server"))).complete(asking())
    desk.crash()

    assert (await desk.journal(ScriptedModel(say("now"))).complete(asking())).text == "now"


async def test_calls_of_other_items_attempts_and_conversations_share_nothing(desk: Desk) -> None:
    model = ScriptedModel(*(say(str(n)) for n in range(4)))
    journal = desk.journal(model)
    places = [asking(item="storage"), asking(), asking(conversation="reviewer-1"), asking(step=2)]

    assert [(await journal.complete(place)).text for place in places] == ["0", "1", "2", "3"]
    assert [(await journal.complete(place)).text for place in places] == ["0", "1", "2", "3"]


async def test_a_model_nobody_knows_the_price_of_is_marked(desk: Desk) -> None:
    await desk.journal(ScriptedModel(say("x"))).complete(asking(model="openai:home-made-7b"))

    assert desk.book.state(RUN).cost.priced is False


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "server", "connection", "timeout", "malformed"])
async def test_transient_faults_are_tried_three_times(desk: Desk, kind: Kind) -> None:
    model = ScriptedModel(*[failing(kind)] * 3)

    with pytest.raises(ModelFault):
        await desk.retry(model).complete(asking(item="storage"))

    assert [request.try_number for request in model.requests] == [1, 2, 3]
    failed = desk.facts(ModelFailed)
    assert [(one.attempt, one.kind, one.retryable) for one in failed if isinstance(one, ModelFailed)] == [
        (1, kind, True),
        (2, kind, True),
        (3, kind, True),
    ]
    assert len(desk.clock.slept) == 2
    assert 0.5 <= desk.clock.slept[0] <= 1.5
    assert 1.0 <= desk.clock.slept[1] <= 3.0


@pytest.mark.parametrize("kind", ["authentication", "not_found", "quota", "context_too_long", "refused", "rejected"])
async def test_lasting_faults_are_tried_once(desk: Desk, kind: Kind) -> None:
    model = ScriptedModel(failing(kind), say("never"))

    with pytest.raises(ModelFault) as caught:
        await desk.retry(model).complete(asking())

    assert len(model.requests) == 1
    assert isinstance(caught.value, Blocked) == (kind in ("authentication", "not_found", "quota"))
    assert caught.value.remedy


async def test_the_time_a_server_asks_for_is_waited(desk: Desk) -> None:
    model = ScriptedModel(failing("rate_limit", retry_after=17.0), say("ok"))

    assert (await desk.retry(model).complete(asking())).text == "ok"
    assert 17.0 <= desk.clock.slept[0] <= 18.7


async def test_a_server_that_asks_for_an_hour_is_not_waited_for(desk: Desk) -> None:
    with pytest.raises(ModelFault):
        await desk.retry(ScriptedModel(failing("rate_limit", retry_after=3600.0), say("late"))).complete(asking())

    assert desk.clock.slept == []


async def test_calls_that_fail_together_do_not_come_back_together(desk: Desk) -> None:
    for seed in range(20):
        await desk.retry(ScriptedModel(failing("overloaded"), say("ok")), seed).complete(asking())

    assert len(set(desk.clock.slept)) == 20


async def test_waiting_is_not_counted_as_the_calls_own_time(desk: Desk) -> None:
    model = ScriptedModel(failing("rate_limit", retry_after=60.0), say("ok"), clock=desk.clock, seconds=2.0)

    await desk.journal(desk.retry(model)).complete(asking())

    (answered,) = desk.facts(ModelAnswered)
    assert isinstance(answered, ModelAnswered)
    assert answered.seconds == pytest.approx(4.0)
