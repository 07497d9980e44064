"""Cassettes: what people write is read with every fault named, and what is recorded plays back the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.errors import Blocked, Permanent, UsageError
from aurea.domain.messages import Usage
from aurea.ledger.book import Book
from aurea.models.asked import Asked
from aurea.models.cassette import MOST_FAULTS, Answer, RecordedCall, read_cassette, write_answer, write_header
from aurea.models.replay import ReplayClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import asking
from aurea.testing.store import MemoryEventStore

SMALL = """\
schema: aurea.cassette/1
about: written by hand
---
item: storage
role: coder
conversation: coder
calls:
- name: write_file
  arguments:
    path: notes/storage.py
    content: |
      def add(note):
          return note
- name: git_status
---
item: storage
role: coder
conversation: coder
step: 2
text: done
usage: {input_tokens: 12, output_tokens: 3}
delay_s: 0.25
---
item: null
attempt: 1
role: planner
conversation: planner-1
text: a plan
finish: length
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cassette.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def book() -> Iterator[Book]:
    book = Book(MemoryEventStore(), SimulatedClock())
    book.append("run-1", [created()])
    yield book
    book.close()


def replay(path: Path, book: Book, clock: SimulatedClock | None = None) -> ReplayClient:
    return ReplayClient(read_cassette(path), clock or SimulatedClock(), "run-1", book, lambda address: None)


async def test_answers_are_found_by_their_place_and_calls_get_the_same_ids_every_time(
    tmp_path: Path, book: Book
) -> None:
    clock = SimulatedClock()
    client = replay(written(tmp_path, SMALL), book, clock)

    first = await client.complete(asking(item="storage"))
    second = await client.complete(asking(item="storage", step=2))
    planned = await client.complete(asking(conversation="planner-1"))

    assert [(one.id, one.name) for one in first.calls] == [("call-1-1", "write_file"), ("call-1-2", "git_status")]
    assert first.calls[0].arguments["content"] == "def add(note):\n    return note\n"
    assert first.finish == "tool_calls"
    assert (second.text, second.finish, second.usage) == ("done", "stop", Usage(input_tokens=12, output_tokens=3))
    assert (planned.text, planned.finish) == ("a plan", "length")
    assert clock.slept == [0.25]
    assert book.state("run-1").drifted == {}, "a cassette that does not say what was asked differs from nothing"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (asking(item="storage", step=3), "it ends after step 2"),
        (asking(item="storage", attempt=2), "record the run again"),
        (asking(item="api"), "item 'api', attempt 1, conversation 'coder', step 1"),
    ],
)
async def test_a_missing_answer_blocks_and_says_what_to_do(
    tmp_path: Path, book: Book, wanted: object, words: str
) -> None:
    path = written(tmp_path, SMALL)
    client = replay(path, book)

    with pytest.raises(Blocked) as caught:
        await client.complete(wanted)  # type: ignore[arg-type]

    assert words in str(caught.value)
    assert str(path) in str(caught.value)


async def test_a_guardian_that_looks_at_another_moment_than_then_holds_nobody_up(tmp_path: Path, book: Book) -> None:
    request = asking(item="storage", conversation="guardian-2")
    request = request.model_copy(update={"address": request.address.model_copy(update={"role": "guardian"})})
    with pytest.raises(Permanent, match="no answer for item 'storage', attempt 1, conversation 'guardian-2'"):
        await replay(written(tmp_path, SMALL), book).complete(request)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (SMALL.replace("step: 2", "step: zwei"), 19, "step: Input should be a valid integer"),
        (SMALL.replace("text: done", "txt: done"), 20, "txt: Extra inputs are not permitted"),
        (SMALL.replace("- name: git_status", "- nam: git_status"), 14, "calls.1"),
        (SMALL.replace("role: planner\n", ""), 24, "role: Field required"),
        (SMALL.replace("step: 2", "step: 1"), 16, "was answered in line 4 already"),
        (SMALL.replace("text: done", "text: done\ntext: again"), 21, "duplicate key"),
        (SMALL.replace("usage: {input", "usage: {{input"), 22, "expected"),
        ("a: b\n", 1, "schema: aurea.cassette/1"),
        ("", 1, "empty cassette"),
    ],
)
def test_faults_carry_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(UsageError) as caught:
        read_cassette(path)

    assert f"{path}:{line}: " in str(caught.value)
    assert words in str(caught.value)


def test_all_faults_of_a_cassette_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL.replace("step: 2", "step: 0").replace("finish: length", "finish: never"))

    with pytest.raises(UsageError) as caught:
        read_cassette(path)

    assert "step: " in str(caught.value)
    assert "finish: " in str(caught.value)


def test_of_very_many_faults_the_first_are_told(tmp_path: Path) -> None:
    answers = "".join(f"---\nrole: coder\nconversation: c\nstep: {n}\ntxt: x\n" for n in range(1, 101))
    with pytest.raises(UsageError) as caught:
        read_cassette(written(tmp_path, "schema: aurea.cassette/1\n" + answers))

    lines = caught.value.message.splitlines()
    assert len(lines) == MOST_FAULTS + 1
    assert lines[-1] == "and 80 more"


def test_a_cassette_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_cassette(tmp_path / "none.yaml")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60) | st.sampled_from(
    [
        "a\nb\n",
        "\n",
        " \n a",
        "a\n\n\n",
        "a\n...\n",
        "x\n  y\t\nz ",
        "---\nschema: x\n",
        "a: b\n- c\n",
        "\ta\nb",
        "#\n",
        "a\r\nb",
        "\x85\n",
    ]
)


@given(text=TEXT, content=TEXT)
def test_whatever_is_written_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, text: str, content: str
) -> None:
    answer = Answer(
        item="storage",
        role="coder",
        conversation="coder",
        text=text,
        calls=(RecordedCall(name="write_file", arguments={"path": "a", content: "b", "content": content}),),
        texts={"3f2a": text},
        asked=Asked(said="77"),
    )
    path = tmp_path_factory.mktemp("cassette") / "c.yaml"
    path.write_bytes((write_header("run-1") + write_answer(answer)).encode())

    assert read_cassette(path).answers == {answer.key: answer}


def test_long_texts_are_written_as_blocks() -> None:
    answer = Answer(role="coder", conversation="coder", text="one\ntwo\n")

    assert "text: |\n  one\n  two\n" in write_answer(answer)
