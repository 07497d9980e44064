"""What is shown of models that speak: words as they come, none of them twice, and calls that have no answer yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aurea.domain import events as ev
from aurea.domain.messages import ModelReply, ToolCall, Usage
from aurea.ledger.book import Book
from aurea.ledger.chain import digest
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import ITEM, created, planned, started
from aurea.testing.store import MemoryEventStore
from surfaces.cli.telling import BEHIND, Teller, under_way

RUN = "run-1"


class Told:
    """A run, and somebody who watches it."""

    def __init__(self) -> None:
        self.book = Book(MemoryEventStore(), SimulatedClock())
        self.book.append(RUN, [created(), planned(), started()])
        self.seen = self.book.state(RUN).last_seq
        self.teller = Teller(self.book, words=True)

    def record(self, fact: Any, text: str = "") -> None:
        bodies = {digest(text): text} if text else {}
        self.book.append(RUN, [ev.Draft(fact=fact, actor="agent", item=ITEM, attempt=1)], bodies)

    def asked(self) -> None:
        self.record(ev.ModelAsked(**PLACE, provider="openai", model="m", fingerprint="f"))

    def said(self, kind: Any, text: str, tokens: int = 10) -> None:
        body = digest(text) if text else ""
        self.record(ev.ModelSaid(**PLACE, kind=kind, body=body, tokens=tokens), text)

    def answered(self, text: str) -> None:
        call = ToolCall(id="x", name="read_file", arguments={"path": "README.md"})
        body = ModelReply(text=text, calls=(call,), finish="tool_calls").model_dump_json()
        fact = ev.ModelAnswered(
            **PLACE, provider="openai", model="m", body=digest(body), usage=Usage(), usd=0, priced=True, seconds=9,
            finish="tool_calls", tools=("read_file",),
        )  # fmt: skip
        self.record(fact, body)

    def lines(self) -> list[str]:
        """What the watcher is shown of what came since, without the times and the margin; ends what is being said."""
        lines = self.shown().splitlines()
        self.teller.end()
        return [line.partition("| ")[2] or line[9:].partition("  ")[2].strip() for line in lines]

    def shown(self) -> str:
        events = list(self.book.events(RUN, after=self.seen))
        self.seen = events[-1].seq if events else self.seen
        return "".join(self.teller.text(events))


PLACE: Any = {"conversation": "coder", "role": "coder", "step": 1}


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    yield told
    told.book.close()


def test_words_are_told_as_they_come_and_not_again_with_the_answer(told: Told) -> None:
    told.asked()
    told.said("reasoning", "Hm. ")
    told.said("text", "First I read ")
    first = told.shown()
    told.said("text", "what is there:\nall of ")
    second = told.shown()
    told.answered("First I read what is there:\nall of it.")
    third = told.shown()

    assert [line[9:].strip() for line in first.splitlines()] == [
        "storage #1    coder step 1: asks m",
        "storage #1    coder step 1: thinks, about 10 tokens so far",
        "| ~ Hm.",
        "storage #1    coder step 1: writes, about 10 tokens so far",
        "| First I read",
    ]
    assert second == f"what is there:\n{BEHIND}all of "  # on the same line
    assert third.startswith("\n00:")
    assert [line.strip() for line in third.splitlines()[2:]] == ["| it.", "| → read_file path: README.md"]


def test_without_words_one_line_tells_that_a_model_begins(told: Told) -> None:
    told.teller = Teller(told.book, words=False)
    told.said("reasoning", "Hm. ")
    told.said("text", "First I read ")
    told.said("text", "what is there ", tokens=20)

    assert told.lines() == [
        "coder step 1: thinks, about 10 tokens so far",
        "coder step 1: writes, about 10 tokens so far",
    ]


def test_of_a_call_that_is_over_the_answer_is_told_alone(told: Told) -> None:
    told.asked()
    told.said("text", "First I read ")
    told.answered("First I read what is there.")

    assert told.lines()[1:][1:] == ["First I read what is there.", "→ read_file path: README.md"]


def test_another_try_begins_anew(told: Told) -> None:
    told.asked()
    told.said("text", "First I ")
    told.lines()
    told.record(ev.ModelFailed(conversation="coder", step=1, attempt=1, kind="server", message="m", retryable=True))
    told.answered("First I read it.")

    assert "First I read it." in told.lines()


def test_arguments_are_told_by_their_length(told: Told) -> None:
    told.said("tool", "write_file", tokens=3)
    told.said("tool", "", tokens=300)

    assert told.lines() == [
        "coder step 1: prepares a call, about 3 tokens so far",
        "→ write_file",
        "coder step 1: prepares a call, about 300 tokens so far",
    ]


def test_a_terminal_is_not_steered_by_what_is_said(told: Told) -> None:
    told.said("text", "red \x1b[31mand\x07 gone ")

    assert told.lines()[-1] == "red and gone "


def test_show_tells_what_a_call_under_way_has_said_so_far(told: Told) -> None:
    told.asked()
    for kind, text in (
        ("reasoning", "Hm. "),
        ("text", "First "),
        ("text", "I read "),
        ("tool", "read_file"),
        ("tool", ""),
    ):
        told.said(kind, text, tokens=40)
    state = told.book.state(RUN)
    (found,) = under_way(state, told.book, ITEM, alive=True)

    assert found["title"] == f"{ITEM}, attempt 1: coder, step 1 is being answered, about 40 tokens so far"
    assert found["messages"][0]["text"] == "~ Hm. \nFirst I read \n→ read_file"
    assert under_way(state, told.book, ITEM, 2, alive=True) == []
    assert "was not answered to the end" in under_way(state, told.book, ITEM, 1, alive=False)[0]["title"]

    told.answered("First I read it.")
    assert under_way(told.book.state(RUN), told.book, ITEM, alive=True) == []
