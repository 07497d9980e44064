"""What is told of a call under way: pieces gathered into few events, and how long a call may be silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.errors import Transient
from aurea.domain.events import Draft, ModelAsked, ModelFailed, ModelSaid
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.ledger.book import Book
from aurea.models.faults import ModelFault
from aurea.models.hearing import ear, heard_by
from aurea.models.said import EVERY_S, LONGEST_WORD, MOST, Said, runs_of, whole_words
from aurea.models.switch import ProviderSwitch
from aurea.models.waiting import Waiting
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import asking, say
from aurea.testing.store import MemoryEventStore


class Spoken:
    """A wire that answers as `speak` does, and a switch in front of it whose clock moves by hand."""

    def __init__(self, speak: Callable[[ModelRequest], Awaitable[ModelReply]]) -> None:
        self.clock = SimulatedClock(auto=False)
        self.book = Book(MemoryEventStore(), self.clock)
        self.book.append("run-1", [created()])
        self.speak = speak
        self.client = ProviderSwitch(
            lambda _: self, lambda _: "here", run="run-1", ledger=self.book, clock=self.clock, waiting=Waiting()
        )

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self.speak(request)

    async def close(self) -> None:
        self.book.close()

    async def later(self, seconds: float) -> None:
        """Let time pass, and let what wakes then be recorded."""
        for _ in range(20):
            await asyncio.sleep(0)
        self.clock.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.to_thread(self.book.append, "run-1", [])

    def said(self) -> list[tuple[str, str, int]]:
        facts = [event.fact for event in self.book.events("run-1")]
        return [
            (fact.kind, self.book.body(fact.body) if fact.body else "", fact.tokens)
            for fact in facts
            if isinstance(fact, ModelSaid)
        ]


async def test_pieces_are_gathered_and_each_is_told_once() -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        for n in range(6):
            ear().hear("text", f"{n} ")
            await spoken.clock.sleep(1.0)
        return say("all of it")

    spoken = Spoken(speak)
    call = asyncio.create_task(spoken.client.complete(asking()))
    for _ in range(6):
        await spoken.later(1.0)
    await call
    told = [text for _, text, _ in spoken.said()]

    assert len(told) <= 3
    assert "".join(told) == "0 1 2 3 4 5 "[: len("".join(told))]
    assert told[0].startswith("0 1 ")
    await spoken.close()


async def test_nothing_is_told_of_a_call_that_is_soon_over() -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        ear().hear("text", "soon")
        await spoken.clock.sleep(EVERY_S - 0.1)
        return say("soon over")

    spoken = Spoken(speak)
    call = asyncio.create_task(spoken.client.complete(asking()))
    await spoken.later(EVERY_S - 0.1)
    await call
    await spoken.later(60)

    assert spoken.said() == []
    await spoken.close()


async def test_a_long_call_makes_few_events() -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        for _ in range(600):
            ear().hear("text", "word ")
            await spoken.clock.sleep(1.0)
        return say("at last")

    spoken = Spoken(speak)
    call = asyncio.create_task(spoken.client.complete(asking(timeout_s=10_000)))
    for _ in range(600):
        await spoken.later(1.0)
    await call
    told = spoken.said()

    assert 20 <= len(told) <= 50
    assert [tokens for _, _, tokens in told] == sorted(tokens for _, _, tokens in told)
    await spoken.close()


async def test_what_a_failed_try_said_is_no_part_of_the_next() -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        ear().hear("text", f"try {request.try_number} ")
        await spoken.clock.sleep(10.0)
        return say("ok")

    def drafted(fact: Any) -> Draft:
        return Draft(fact=fact, actor="agent", attempt=request.address.attempt)

    spoken, request = Spoken(speak), asking()
    place, state = request.address.key, spoken.book.state("run-1")
    asked = ModelAsked(conversation="coder", role="coder", step=1, provider="openai", model="m", fingerprint="f")
    await spoken.book.record("run-1", [drafted(asked)])
    first = asyncio.create_task(spoken.client.complete(request))
    await spoken.later(3.0)
    assert [fact.kind for fact in state.saying[place]] == ["text"]
    first.cancel()
    failed = ModelFailed(conversation="coder", step=1, attempt=1, kind="server", message="m", retryable=True)
    await spoken.book.record("run-1", [drafted(failed)])

    assert place not in state.saying
    await asyncio.gather(first, return_exceptions=True)
    await spoken.close()


async def test_a_ledger_that_does_not_take_it_does_not_end_the_call() -> None:
    class Away(Book):
        async def record(self, *_: Any) -> Any:
            raise Transient("the ledger is away")

    clock = SimulatedClock()
    said = Said(asking(), run="run-1", ledger=Away(MemoryEventStore(), clock), clock=clock, sign=lambda: None)
    with heard_by(said):
        ear().hear("text", "so")
        await clock.sleep(10)
        ear().hear("text", "be it")
    await said.close()


def test_runs_of_a_kind_are_put_together_and_arguments_only_counted() -> None:
    heard: Any = [
        ("reasoning", "hm"), ("reasoning", ", hm"), ("text", "So "), ("text", "be it."),
        ("tool", "read_file"), ("arguments", "{}"), ("tool", "git_status"),
    ]  # fmt: skip

    assert runs_of(heard) == [("reasoning", "hm, hm"), ("text", "So be it."), ("tool", "read_file\ngit_status")]
    assert runs_of([("arguments", '{"content": "')]) == [("tool", "")]


@given(st.lists(st.text(alphabet="ab \n", min_size=1, max_size=9), min_size=1, max_size=20))
def test_what_is_told_ends_with_whole_words_and_nothing_is_lost(pieces: list[str]) -> None:
    rest: Any = []
    words = ""
    for piece in pieces:
        told, rest = whole_words(runs_of([*rest, ("text", piece)]))
        words += "".join(text for _, text in told)
        assert not words or words[-1] in " \n" or len(words) >= LONGEST_WORD
    assert words + "".join(text for _, text in rest) == "".join(pieces)


async def test_halves_of_characters_are_put_together() -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        for piece in ("so \ud83d", "\ude00 be it \ud83d "):
            ear().hear("text", piece)
        await spoken.clock.sleep(10.0)
        return say("ok")

    spoken = Spoken(speak)
    call = asyncio.create_task(spoken.client.complete(asking()))
    await spoken.later(10.0)
    await call
    ((_, text, _),) = spoken.said()

    assert text == "so \U0001f600 be it \ufffd "
    await spoken.close()


async def test_a_very_long_piece_is_cut() -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        ear().hear("text", "word " * 20_000)
        await spoken.clock.sleep(10.0)
        return say("ok")

    spoken = Spoken(speak)
    call = asyncio.create_task(spoken.client.complete(asking()))
    await spoken.later(10.0)
    await call
    ((_, text, tokens),) = spoken.said()

    assert MOST <= len(text) < MOST + 100
    assert tokens > 20_000
    await spoken.close()


async def test_a_call_that_goes_on_may_take_longer_than_its_limit() -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        for _ in range(8):
            await asyncio.sleep(0.05)
            ear().sign()
        return say("ok")

    spoken = Spoken(speak)
    assert (await spoken.client.complete(asking(timeout_s=0.2))).text == "ok"
    await spoken.close()


@pytest.mark.parametrize(
    ("signs", "more", "words"),
    [
        (0, {}, "0.1 s are over"),
        (1, {}, "silent for 0.1 s in the middle"),
        (50, {"remaining_s": 0.3}, "0.3 s are over"),
    ],
)
async def test_silence_and_the_end_of_the_time_are_told_apart(signs: int, more: dict[str, float], words: str) -> None:
    async def speak(request: ModelRequest) -> ModelReply:
        for _ in range(signs):
            ear().sign()
            await asyncio.sleep(0.02)
        await asyncio.sleep(60)
        return say("late")

    spoken = Spoken(speak)
    with pytest.raises(ModelFault, match=words) as caught:
        await spoken.client.complete(asking(timeout_s=0.1, **more))

    assert (caught.value.kind, caught.value.maybe_billed) == ("timeout", True)
    await spoken.close()
