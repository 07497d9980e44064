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
from aurea.models.retry import BACKOFF_S, LONGEST_REFUSED_S, RetryClient
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


async def test_what_a_server_says_of_the_cost_counts_where_nobody_else_knows(desk: Desk) -> None:
    unknown = asking(item="storage", model="openrouter:acme/unheard-of")
    await desk.journal(ScriptedModel(say("x", usage=Usage(input_tokens=9, usd=0.25)))).complete(unknown)

    assert (desk.book.state(RUN).cost.usd, desk.book.state(RUN).cost.priced) == (0.25, True)


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


async def test_of_calls_that_are_refused_for_long_none_fails(desk: Desk) -> None:
    model = ScriptedModel(*[failing("rate_limit")] * 30, say("ok"))
    client = RetryClient(
        model,
        ledger=desk.book,
        run=RUN,
        clock=desk.clock,
        waiting=desk.waiting,
        storm_s=lambda _: desk.clock.monotonic(),
        dice=random.Random(1),
    )
    assert (await client.complete(asking())).text == "ok"
    assert [request.try_number for request in model.requests] == list(range(1, 32))
    assert desk.clock.slept[-1] <= 7.5
    assert desk.waiting.of(asking().address.key) == pytest.approx(desk.clock.monotonic())


async def test_a_storm_has_an_end(desk: Desk) -> None:
    model = ScriptedModel(*[failing("overloaded")] * 900)
    client = RetryClient(
        model,
        ledger=desk.book,
        run=RUN,
        clock=desk.clock,
        waiting=desk.waiting,
        storm_s=lambda _: desk.clock.monotonic(),
    )
    with pytest.raises(ModelFault):
        await client.complete(asking())
    # The last refusal that cost no try came before the 900 s were over; each wait takes up to half as long again.
    assert 900.0 <= desk.clock.monotonic() <= 900.0 + 1.5 * (LONGEST_REFUSED_S + BACKOFF_S + 2 * BACKOFF_S)


async def test_other_failures_cost_tries_in_a_storm_as_well(desk: Desk) -> None:
    faults = [failing(kind) for kind in ("rate_limit", "server", "rate_limit", "server", "rate_limit", "server")]
    model = ScriptedModel(*faults, say("never"))
    client = RetryClient(
        model, ledger=desk.book, run=RUN, clock=desk.clock, waiting=desk.waiting, storm_s=lambda _: 0.0
    )
    with pytest.raises(ModelFault):
        await client.complete(asking())
    assert len(model.requests) == 6


@pytest.mark.parametrize(("retry_after", "asked"), [(None, 3), (20.0, 3), (31.0, 1)])
async def test_where_another_model_stands_by_refusals_cost_tries(
    desk: Desk, retry_after: float | None, asked: int
) -> None:
    model = ScriptedModel(*[failing("rate_limit", retry_after=retry_after)] * 3)
    client = RetryClient(
        model, ledger=desk.book, run=RUN, clock=desk.clock, waiting=desk.waiting, storm_s=lambda _: 0.0
    )
    with pytest.raises(ModelFault):
        await client.complete(asking(patient=False))
    assert len(model.requests) == asked


async def test_further_tries_have_the_own_time_that_is_left(desk: Desk) -> None:
    model = ScriptedModel(*[failing("timeout")] * 3, clock=desk.clock, seconds=90.0)

    with pytest.raises(ModelFault) as caught:
        await desk.retry(model).complete(asking(timeout_s=120.0, remaining_s=180.0))

    assert [request.timeout_s for request in model.requests] == [120.0, 90.0]
    assert caught.value.out_of_time


async def test_what_a_person_must_mend_is_said_even_where_no_time_is_left(desk: Desk) -> None:
    model = ScriptedModel(failing("authentication"), clock=desk.clock, seconds=5.0)
    with pytest.raises(Blocked) as caught:
        await desk.retry(model).complete(asking(remaining_s=5.0))
    assert isinstance(caught.value, ModelFault)
    assert not caught.value.out_of_time


async def test_a_failed_try_names_whom_it_went_to(desk: Desk) -> None:
    await desk.retry(ScriptedModel(failing("server"), say("ok"))).complete(asking())
    (failed,) = desk.facts(ModelFailed)
    assert isinstance(failed, ModelFailed)
    assert (failed.provider, failed.model) == ("openai", "gpt-5-mini")


async def test_an_answer_from_the_cache_costs_nothing_and_is_marked(desk: Desk) -> None:
    kept = say("again").model_copy(update={"cached": True})
    await desk.journal(ScriptedModel(kept)).complete(asking(model="openai:home-made-7b"))
    (answered,) = desk.facts(ModelAnswered)
    assert isinstance(answered, ModelAnswered)
    assert (answered.cached, answered.usd, answered.priced) == (True, 0.0, True)
