"""The drift report: what differs from the recording, where, in which words, and what was asked too much or too little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aurea.agents.parts import part
from aurea.delivery.prompts import sealed
from aurea.domain import events as ev
from aurea.domain.messages import ModelReply, SystemMessage, Usage, UserMessage
from aurea.ledger.book import Book
from aurea.ledger.chain import digest
from aurea.models.asked import Asked, asked, texts
from aurea.models.cassette import Answer, write_answer, write_header
from aurea.reporting.drift import drift_document, drift_markdown, replayed
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import asking
from aurea.testing.store import MemoryEventStore

REPLY = ModelReply(text="yes").model_dump_json()
Changed = ev.Difference


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tape.yaml"


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    book = Book(MemoryEventStore(), SimulatedClock())
    fact = created().fact
    assert isinstance(fact, ev.RunCreated)
    spec = {
        "project": "n",
        "objective": "n",
        "checks": [],
        "unproven": True,
        "provider": "replay",
        "cassette": str(path),
    }
    book.append("run-1", [ev.Draft(fact=fact.model_copy(update={"spec": spec})), planned()])
    book.append("run-1", [started()])
    yield book
    book.close()


def say(book: Book, fact: ev.AnyFact, bodies: dict[str, str] | None = None) -> None:
    book.append("run-1", [ev.Draft(fact=fact, actor="agent", item="storage", attempt=1)], bodies)


def play(book: Book, step: int, *found: Changed, conversation: str = "reviewer-1", answered: bool = True) -> None:
    """One step of a replay, with what differs there."""
    place = {"conversation": conversation, "step": step}
    say(book, ev.ModelAsked(**place, role="reviewer", provider="replay", model="cassette", fingerprint="f"))  # type: ignore[arg-type]
    if found:
        say(book, ev.ReplayDrifted(**place, differences=found))  # type: ignore[arg-type]
    if answered:
        fact = ev.ModelAnswered(
            **place, role="reviewer", provider="replay", model="cassette", body=digest(REPLY), usage=Usage(), usd=0.0,
            priced=True, seconds=0.0, finish="stop",
        )  # type: ignore[arg-type]  # fmt: skip
        say(book, fact, {fact.body: REPLY})


def tape(path: Path, *places: tuple[str, int], told: Asked | None = None, said: dict[str, str] | None = None) -> None:
    answers = [
        Answer(item="storage", role="reviewer", conversation=name, step=step, asked=told, texts=said or {})
        for name, step in places
    ]
    path.write_text(write_header("20260101-000000-000aa") + "".join(map(write_answer, answers)))


def test_a_run_that_played_nothing_has_no_report(book: Book) -> None:
    assert replayed(book.state("run-1")) is None
    assert drift_document(book.state("run-1"), book) is None


def test_nothing_differs(book: Book, path: Path) -> None:
    tape(path, ("reviewer-1", 1), ("reviewer-1", 2), told=Asked(model="openai:m"))
    play(book, 1)
    play(book, 2)
    told = replayed(book.state("run-1"))
    assert told == {
        "answers": 2, "drifted": 0, "kinds": {}, "summary": "replayed 2 answers; no difference found",
        "file": "artifacts/drift.md",
    }  # fmt: skip
    document = drift_document(book.state("run-1"), book)
    assert document is not None
    assert (document["unused"], document["missing"], document["places"]) == ([], [], [])
    assert "replayed 2 answers; no difference found." in drift_markdown(document)


def test_a_cassette_that_says_nothing_of_questions_is_called_so(book: Book, path: Path) -> None:
    tape(path, ("reviewer-1", 1))
    play(book, 1)
    document = drift_document(book.state("run-1"), book)
    assert document is not None
    assert "there is nothing to compare with" in drift_markdown(document)
    path.unlink()
    document = drift_document(book.state("run-1"), book)
    assert document is not None
    assert "cannot be read any more" in drift_markdown(document)


def test_a_changed_prompt_is_shown_with_its_words(book: Book, path: Path) -> None:
    before = {"item": "write storage\nwith tests", "objective": "notes"}
    request = asking(messages=(SystemMessage(text="You review."), UserMessage(text="...")))
    tape(path, ("reviewer-1", 1), told=asked(request, before), said=texts(request, before))
    body, text = sealed("reviewer", (part("item", "Item", "write storage\nwithout tests", 100),))
    say(book, ev.PromptGiven(conversation="reviewer-1", role="reviewer", body=body), {body: text})
    gone = Changed(kind="task", name="objective", how="gone")
    play(book, 1, Changed(kind="system"), Changed(kind="task", name="item"), gone)

    document = drift_document(book.state("run-1"), book)
    assert document is not None
    system, item, objective = document["places"][0]["differences"]
    assert "-You review." in system["diff"]
    assert item["diff"][-3:] == [" write storage", "-with tests", "+without tests"]
    assert objective["diff"][-1] == "-notes"
    shown = drift_markdown(document)
    assert "**The task, part `item`** is changed:\n\n- `reviewer-1` of `storage`, attempt 1, step 1" in shown
    assert "-with tests\n+without tests" in shown
    assert document["summary"] == (
        "replayed 1 answer; the instructions of reviewer-1 (storage) differ, the task of reviewer-1 (storage) differs"
    )


def test_results_unused_and_missing_answers_are_listed(book: Book, path: Path) -> None:
    tape(path, ("reviewer-1", 1), ("reviewer-1", 2), ("coder", 7), told=Asked(model="openai:m"))
    play(book, 1, Changed(kind="result", name="run_shell c1"))
    play(book, 2, Changed(kind="result", name="run_shell c2"), Changed(kind="said", how="new"))
    play(book, 3, answered=False)

    document = drift_document(book.state("run-1"), book)
    assert document is not None
    assert document["kinds"] == {"result": 2, "said": 1}
    assert document["summary"] == (
        "replayed 2 answers; 2 tool results differ, what the agent was told in between differs at 1 place"
    )
    assert document["missing"] == [{"item": "storage", "attempt": 1, "conversation": "reviewer-1", "step": 3}]
    assert document["unused"] == [{"item": "storage", "attempt": 1, "conversation": "coder", "step": 7}]
    shown = drift_markdown(document)
    assert "- `reviewer-1` of `storage`, attempt 1, step 2: `run_shell c2` changed" in shown
    assert "## Asked for, and not in the cassette\n\n- `reviewer-1` of `storage`, attempt 1, step 3" in shown
    assert "## In the cassette, and not asked for so far\n\n- `coder` of `storage`, attempt 1, step 7" in shown


def test_many_conversations_are_counted_not_named(book: Book, path: Path) -> None:
    tape(path, ("reviewer-1", 1))
    for n in range(1, 4):
        play(book, 1, Changed(kind="task", name="rules"), conversation=f"reviewer-{n}")
    told = replayed(book.state("run-1"))
    assert told is not None
    assert told["summary"] == "replayed 3 answers; the task of 3 conversations differs"
