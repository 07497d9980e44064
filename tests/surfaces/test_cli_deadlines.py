"""Whatever command looks at a run applies the deadlines of its questions, once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aurea.domain.events import Draft, QuestionAsked
from aurea.domain.evidence import Question
from aurea.home import Home
from aurea.settings import Settings

RUN = "alpha-waits"


def ask(used: Any, name: str, seconds: float) -> None:
    """A blocked question whose deadline is `seconds` from now."""
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    question = Question(id=name, kind="blocked", title="no key", why="it is missing", default="stop", deadline=deadline)
    with Home(Settings.read(used.env)) as home:
        home.ledger.append(RUN, [Draft(fact=QuestionAsked(question=question))])


@pytest.mark.parametrize(
    "words", [("show", RUN), ("list",), ("inbox",), ("decide", "q-late", "--choice", "retry")], ids=lambda w: w[0]
)
def test_whoever_looks_applies_a_deadline(words: tuple[str, ...], used: Any) -> None:
    ask(used, "q-late", -1)
    ask(used, "q-open", 600)
    told = used(*words)
    assert f"nobody answered q-late of run {RUN} in time: stop" in told.err
    assert told.code == (2 if words[0] == "decide" else 0)
    assert ("its default was applied: stop" in told.err) == (words[0] == "decide")

    events = [json.loads(line) for line in used("tail", RUN, "--type", "question.answered", "--json").out.splitlines()]
    assert [event["actor"] for event in events] == ["policy"]
    answer = events[0]["payload"]
    assert (answer["question"], answer["choice"], answer["door"]) == ("q-late", "stop", "deadline")
    again = used("inbox", "--json")
    assert again.err == "", "applied once"
    waiting = {question["question"]: question for question in json.loads(again.out)}
    assert len(waiting) == 2, "the one that waits for ever, too"
    assert (waiting.pop("q-open")["deadline"] is None, [q["deadline"] for q in waiting.values()]) == (False, [None])
    assert "it waits for an answer for ever" in used("inbox").out
    assert used("verify", RUN).code == 0
