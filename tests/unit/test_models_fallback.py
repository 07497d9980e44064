"""The fallback chain: another model takes over where the role's own cannot, for a while, and the ledger says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aurea.domain.events import ModelFellBack
from aurea.domain.messages import ModelRef, ModelReply, ModelRequest
from aurea.ledger.book import Book
from aurea.models.fallback import STICKY_S, FallbackClient
from aurea.models.faults import Kind, ModelFault, Server, fault
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import asking, say
from aurea.testing.store import MemoryEventStore

SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1", "OPENAI_API_KEY")


class Desk:
    """A client with two fallbacks for coders, and models that are up or not."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.book = Book(MemoryEventStore(), self.clock)
        self.book.append("run-1", [created()])
        self.down: dict[str, Kind] = {}
        self.asked: list[tuple[str, bool]] = []
        chain = [ModelRef(provider="anthropic", name="claude"), ModelRef(provider="ollama", name="qwen3:8b")]
        self.client = FallbackClient(
            self,
            ledger=self.book,
            run="run-1",
            clock=self.clock,
            chain=lambda role: chain if role == "coder" else [],
        )

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.asked.append((str(request.model), request.patient))
        kind = self.down.get(request.model.provider)
        if kind is not None:
            raise fault(kind, SERVER)
        return say("ok")

    def take_asked(self) -> list[str]:
        asked, self.asked = [model for model, _ in self.asked], []
        return asked

    def fell(self) -> list[tuple[str, str, str]]:
        facts = [event.fact for event in self.book.events("run-1")]
        return [(fact.source, fact.to, fact.reason) for fact in facts if isinstance(fact, ModelFellBack)]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.book.close()


async def test_the_roles_own_model_is_asked_where_it_works(desk: Desk) -> None:
    await desk.client.complete(asking())
    assert desk.asked == [("openai:gpt-5-mini", False)]
    assert desk.fell() == []


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "server", "connection", "timeout", "circuit_open"])
async def test_another_model_takes_over(desk: Desk, kind: Kind) -> None:
    desk.down = {"openai": kind}
    await desk.client.complete(asking())
    assert desk.asked == [("openai:gpt-5-mini", False), ("anthropic:claude", False)]
    assert desk.fell() == [("openai:gpt-5-mini", "anthropic:claude", kind)]


@pytest.mark.parametrize("kind", ["authentication", "not_found", "quota", "context_too_long", "refused", "malformed"])
async def test_nobody_takes_over_where_that_would_hide_a_fault(desk: Desk, kind: Kind) -> None:
    desk.down = {"openai": kind}
    with pytest.raises(ModelFault):
        await desk.client.complete(asking())
    assert desk.take_asked() == ["openai:gpt-5-mini"]


async def test_the_last_model_of_the_chain_is_waited_for(desk: Desk) -> None:
    desk.down = {"openai": "server", "anthropic": "rate_limit"}
    await desk.client.complete(asking())
    assert desk.asked[-1] == ("ollama:qwen3:8b", True)

    desk.down["ollama"] = "connection"
    with pytest.raises(ModelFault) as caught:
        await desk.client.complete(asking(conversation="coder-2"))
    assert caught.value.kind == "connection"


async def test_a_conversation_stays_with_the_model_that_took_over_for_some_minutes(desk: Desk) -> None:
    desk.down = {"openai": "overloaded"}
    await desk.client.complete(asking(step=1))
    desk.down = {}
    desk.take_asked()

    await desk.client.complete(asking(step=2))
    await desk.client.complete(asking(step=1, conversation="other"))
    desk.clock.advance(STICKY_S)
    await desk.client.complete(asking(step=3))

    assert desk.take_asked() == ["anthropic:claude", "openai:gpt-5-mini", "openai:gpt-5-mini"]


async def test_from_the_model_that_took_over_the_chain_goes_round(desk: Desk) -> None:
    desk.down = {"openai": "overloaded"}
    await desk.client.complete(asking(step=1))
    desk.take_asked()
    desk.down = {"anthropic": "server", "ollama": "connection"}

    await desk.client.complete(asking(step=2))

    assert desk.take_asked() == ["anthropic:claude", "ollama:qwen3:8b", "openai:gpt-5-mini"]


async def test_a_role_without_a_fallback_is_waited_for(desk: Desk) -> None:
    desk.down = {"openai": "server"}
    request = asking()
    planner = request.model_copy(update={"address": request.address.model_copy(update={"role": "planner"})})
    with pytest.raises(ModelFault):
        await desk.client.complete(planner)
    assert desk.asked == [("openai:gpt-5-mini", True)]


async def test_where_no_own_time_is_left_nobody_is_asked(desk: Desk) -> None:
    class Slow:
        asked = 0

        async def complete(self, request: ModelRequest) -> ModelReply:
            self.asked += 1
            error = fault("timeout", SERVER)
            error.out_of_time = True
            raise error

    slow = Slow()
    client = FallbackClient(
        slow,
        ledger=desk.book,
        run="run-1",
        clock=desk.clock,
        chain=lambda _: [ModelRef(provider="anthropic", name="claude")],
    )
    with pytest.raises(ModelFault):
        await client.complete(asking())
    assert slow.asked == 1
