"""Cassettes: what people write is read with every fault named, and what is recorded plays back the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.errors import Blocked, UsageError
from aurea.domain.messages import Usage
from aurea.models.cassette import Answer, RecordedCall, read_cassette, write_answer, write_header
from aurea.models.fingerprint import fingerprint
from aurea.models.record import RecordingClient
from aurea.models.replay import ReplayClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.models import ScriptedModel, asking, call, calls, say

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


async def test_answers_are_found_by_their_place_and_calls_get_the_same_ids_every_time(tmp_path: Path) -> None:
    clock = SimulatedClock()
    client = ReplayClient(read_cassette(written(tmp_path, SMALL)), clock)

    first = await client.complete(asking(item="storage"))
    second = await client.complete(asking(item="storage", step=2))
    planned = await client.complete(asking(conversation="planner-1"))

    assert [(one.id, one.name) for one in first.calls] == [("call-1-1", "write_file"), ("call-1-2", "git_status")]
    assert first.calls[0].arguments["content"] == "def add(note):\n    return note\n"
    assert first.finish == "tool_calls"
    assert (second.text, second.finish, second.usage) == ("done", "stop", Usage(input_tokens=12, output_tokens=3))
    assert (planned.text, planned.finish) == ("a plan", "length")
    assert clock.slept == [0.25]
    assert client.drift == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (asking(item="storage", step=3), "it ends after step 2"),
        (asking(item="storage", attempt=2), "record the run again"),
        (asking(item="api"), "item 'api', attempt 1, conversation 'coder', step 1"),
    ],
)
async def test_a_missing_answer_blocks_and_says_what_to_do(tmp_path: Path, wanted: object, words: str) -> None:
    path = written(tmp_path, SMALL)
    client = ReplayClient(read_cassette(path), SimulatedClock())

    with pytest.raises(Blocked) as caught:
        await client.complete(wanted)  # type: ignore[arg-type]

    assert words in str(caught.value)
    assert str(path) in str(caught.value)


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


def test_a_cassette_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_cassette(tmp_path / "none.yaml")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60) | st.sampled_from(
    [
        "a\nb\n",
        "\n",
        " \n a",
        "a\n\n\n",
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
        calls=(RecordedCall(name="write_file", arguments={"path": "a", "content": content}),),
    )
    path = tmp_path_factory.mktemp("cassette") / "c.yaml"
    path.write_bytes((write_header("run-1") + write_answer(answer)).encode())

    assert read_cassette(path).answers == {answer.key: answer}


def test_long_texts_are_written_as_blocks() -> None:
    answer = Answer(role="coder", conversation="coder", text="one\ntwo\n")

    assert "text: |\n  one\n  two\n" in write_answer(answer)


async def test_a_recording_plays_back_what_was_answered_and_sees_what_drifted(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tape.yaml"
    model = ScriptedModel(
        calls(("write_file", {"path": "a", "content": "x\ny\n"}), ("git_status", {}), usage=Usage(input_tokens=7)),
        say("done"),
    )
    recording = RecordingClient(model, path, "run-1")
    asked = [asking("one", item="storage"), asking("two", item="storage", step=2)]
    said = [await recording.complete(request) for request in asked]

    client = ReplayClient(read_cassette(path), SimulatedClock())
    assert [await client.complete(request) for request in asked] == said
    assert client.drift == []

    await client.complete(asking("something else", item="storage", step=2))
    assert [drift.key for drift in client.drift] == [("storage", 1, "coder", 2)]
    assert client.drift[0].recorded == fingerprint(asked[1])


async def test_a_resumed_run_goes_on_with_its_recording_and_writes_no_answer_twice(tmp_path: Path) -> None:
    path = tmp_path / "tape.yaml"
    await RecordingClient(ScriptedModel(say("one")), path, "run-1").complete(asking())

    resumed = RecordingClient(ScriptedModel(say("one"), call("git_status")), path, "run-1")
    await resumed.complete(asking())
    await resumed.complete(asking(step=2))

    assert [key[3] for key in read_cassette(path).answers] == [1, 2]


def test_the_recording_of_another_run_is_not_written_into(tmp_path: Path) -> None:
    RecordingClient(ScriptedModel(), tmp_path / "tape.yaml", "run-1")

    with pytest.raises(UsageError, match="holds the recording of run 'run-1'"):
        RecordingClient(ScriptedModel(), tmp_path / "tape.yaml", "run-2")
