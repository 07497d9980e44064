"""Recordings: whole after a crash, nobody else's, without secrets; and their replays, which tell what is asked otherwise."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aurea.domain.errors import Blocked, UsageError
from aurea.domain.events import Difference
from aurea.domain.messages import (
    AssistantMessage,
    Message,
    ModelRef,
    ModelRequest,
    SystemMessage,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.asked import Parts
from aurea.models.cassette import read_cassette
from aurea.models.faults import Server, fault
from aurea.models.layers import Around
from aurea.models.record import RecordingClient
from aurea.models.registry import build_client
from aurea.models.replay import ReplayClient
from aurea.models.scrub import scrubbed
from aurea.models.tape import Tape, find_secrets, remember, remembered, require_recordable, told_of
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import ScriptedModel, asking, call, say
from aurea.testing.store import MemoryEventStore

READ = ToolSpec(name="read_file", description="reads", parameters={"type": "object"})
WRITE = ToolSpec(name="write_file", description="writes", parameters={"type": "object"})
PARTS = {"item": "write storage", "objective": "notes", "evidence": "1 passed in 0.02s"}


def new_book() -> Book:
    book = Book(MemoryEventStore(), SimulatedClock())
    book.append("run-1", [created(), planned()])
    book.append("run-1", [started()])
    return book


@pytest.fixture
def book() -> Iterator[Book]:
    book = new_book()
    yield book
    book.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapes" / "tape.yaml"


def talk(
    results: tuple[str, ...] = (), *, system: str = "You code.", task: str = "the task", said: str = "", **more: Any
) -> ModelRequest:
    """Step `len(results) + 1` of a coder's conversation that called one tool at each step before."""
    messages: list[Message] = [SystemMessage(text=system), UserMessage(text=task)]
    for n, text in enumerate(results, 1):
        messages.append(AssistantMessage(calls=(ToolCall(id=f"c{n}", name="run_shell", arguments={}),)))
        messages.append(ToolMessage(call=f"c{n}", name="run_shell", text=text))
    if said:
        messages.append(UserMessage(text=said))
    return asking(item="storage", step=len(results) + 1, messages=tuple(messages), **{"tools": (READ,), **more})


def recording(
    path: Path,
    book: Book,
    *answers: Any,
    run: str = "run-1",
    parts: Parts | None = None,
    secrets: Mapping[str, str] | None = None,
) -> RecordingClient:
    return RecordingClient(ScriptedModel(*answers), Tape(path, run, secrets or {}), run, book, lambda address: parts)


async def recorded(path: Path, *requests: ModelRequest, parts: Parts | None = None) -> None:
    """Record an answer to each of these."""
    book = new_book()
    client = recording(path, book, *[say(f"answer {n}") for n in range(len(requests))], parts=parts)
    for request in requests:
        await client.complete(request)
    client.close()
    book.close()


async def drift(path: Path, *requests: ModelRequest, parts: Parts | None = None) -> dict[int, tuple[Difference, ...]]:
    """What differs by step where these are asked of a replay."""
    book = new_book()
    for request in requests:
        client = ReplayClient(read_cassette(path), SimulatedClock(), "run-1", book, lambda address: parts)
        await client.complete(request)
        await client.complete(request)  # as after a crash before the answer was on disk
    found = {key[3]: fact.differences for key, fact in book.state("run-1").drifted.items()}
    assert len([e for e in book.events("run-1") if e.type == "replay.drifted"]) == len(found), "each place counts once"
    book.close()
    return found


async def test_the_same_again_differs_in_nothing_whatever_the_clock_says(path: Path) -> None:
    await recorded(path, talk(), talk(("commit 1f2e3d4c5b6a7\n2026-01-02T10:00:00Z 3 passed in 0.02s",)), parts=PARTS)
    again = talk(("commit 9a8b7c6d5e4f3\n2026-11-21T21:00:01Z 3 passed in 1.70s",), model="replay:cassette")
    parts = {**PARTS, "evidence": "1 passed in 4.71s"}

    assert await drift(path, talk(model="replay:cassette"), again, parts=parts) == {}


@pytest.mark.parametrize(
    ("change", "parts", "found"),
    [
        ({}, {**PARTS, "item": "write STORAGE"}, [("task", "item", "changed")]),
        ({}, {**PARTS, "rules": "be kind"}, [("task", "rules", "new")]),
        ({}, {"item": "write storage", "evidence": "1 passed in 0.02s"}, [("task", "objective", "gone")]),
        ({}, {**PARTS, "item": "write storage in 5 s"}, [("task", "item", "changed")]),
        ({"system": "You write."}, PARTS, [("system", "", "changed")]),
        ({"tools": (READ, WRITE)}, PARTS, [("tools", "write_file", "new")]),
        (
            {"tools": (READ.model_copy(update={"parameters": {"type": "object", "title": "x"}}),)},
            PARTS,
            [("tools", "read_file", "changed")],
        ),
        ({"model": "replay:other"}, PARTS, [("model", "gpt-5-mini -> other", "changed")]),
        ({"options": {"seed": 1}}, PARTS, [("options", "", "changed")]),
        ({"said": "go on"}, PARTS, [("said", "", "new")]),
    ],
)
async def test_what_is_asked_otherwise_is_named(
    path: Path, change: dict[str, Any], parts: Parts, found: list[tuple[str, str, str]]
) -> None:
    await recorded(path, talk(), talk(("ok",)), parts=PARTS)
    later = {name: value for name, value in change.items() if name != "said"}
    drifted = await drift(path, talk(**change), talk(("ok",), **later), parts=parts)

    assert {1: [(one.kind, one.name, one.how) for one in drifted[1]]} == {1: found}
    assert list(drifted) == [1], "what lasts is told of where it begins"


async def test_a_result_that_differs_is_named_by_its_call_and_only_at_its_step(path: Path) -> None:
    await recorded(path, talk(), talk(("2 passed",)), talk(("2 passed", "ok")))
    drifted = await drift(path, talk(), talk(("1 failed",)), talk(("1 failed", "ok")))

    assert drifted == {2: (Difference(kind="result", name="run_shell c1"),)}


async def test_without_known_parts_the_task_is_one(path: Path) -> None:
    await recorded(path, talk())

    assert await drift(path, talk(task="another task")) == {1: (Difference(kind="task", name="task"),)}


async def test_an_older_recording_tells_that_something_differs(path: Path) -> None:
    await recorded(path, talk())
    old = "".join(line for line in path.read_text().splitlines(True) if not line.startswith("asked"))
    path.write_text(old)

    assert await drift(path, talk()) == {}
    assert await drift(path, talk(task="another task")) == {1: (Difference(kind="unknown"),)}


async def test_a_recording_tells_each_text_once_and_says_where_it_stands(path: Path) -> None:
    long = {**PARTS, "rules": "x" * 9_000}
    await recorded(path, talk(), talk(("ok",)), parts=long)
    await recorded_again(path)
    cassette = read_cassette(path)

    told = [PARTS["item"], PARTS["objective"], "You code."]
    assert sorted(cassette.texts().values()) == sorted(told), "neither what the run made itself nor whole books"
    second = cassette.answers["storage", 1, "coder", 2].asked
    assert second is not None
    assert (second.system, second.task, second.tools, list(second.results)) == ("", {}, {}, ["c1"])
    standing = cassette.asked(("storage", 1, "coder", 2))
    assert standing is not None
    assert list(standing.task) == list(long)


async def recorded_again(path: Path) -> None:
    """Another conversation with the same prompt, into the same file."""
    book = new_book()
    client = recording(path, book, say("other"), parts=PARTS)
    request = talk()
    await client.complete(
        request.model_copy(update={"address": request.address.model_copy(update={"conversation": "tester"})})
    )
    client.close()
    book.close()


async def test_a_resumed_run_goes_on_with_its_recording_and_writes_no_answer_twice(path: Path, book: Book) -> None:
    first = recording(path, book, say("one"))
    await first.complete(asking())
    first.close()

    resumed = recording(path, book, say("one"), call("git_status"))
    await resumed.complete(asking())
    await resumed.complete(asking(step=2))
    resumed.close()

    assert [key[3] for key in read_cassette(path).answers] == [1, 2]


@pytest.mark.parametrize("lost", range(1, 400, 7))
async def test_half_an_answer_at_the_end_of_a_file_is_written_anew(path: Path, book: Book, lost: int) -> None:
    first = recording(path, book, say("one\nwith lines\n"), say("two\nand more\n" * 9), parts=PARTS)
    await first.complete(asking())
    whole = path.stat().st_size
    await first.complete(asking(step=2))
    first.close()
    both = path.read_bytes()
    os.truncate(path, max(whole + 1, len(both) - lost))

    resumed = recording(path, book, say("one\nwith lines\n"), say("two\nand more\n" * 9), parts=PARTS)
    await resumed.complete(asking())
    await resumed.complete(asking(step=2))
    resumed.close()
    assert path.read_bytes() == both


@pytest.mark.parametrize("begun", ["-", "--", "---", "---\n"])
async def test_the_first_sign_of_an_answer_is_no_part_of_the_next(path: Path, book: Book, begun: str) -> None:
    recording(path, book).close()
    header = path.read_text()
    path.write_text(header + begun)
    resumed = recording(path, book, say("one"))
    await resumed.complete(asking())
    resumed.close()

    assert path.read_text().startswith(f"{header}---\nitem:")
    assert len(read_cassette(path).answers) == 1


async def test_what_is_only_in_the_journal_is_written_at_the_end(path: Path, book: Book) -> None:
    def client(*answers: Any, record: Path | None) -> Any:
        spec = Spec.model_validate({"project": "n", "objective": "n", "checks": [], "unproven": True})
        model = ScriptedModel(*answers)
        return build_client(
            run="run-1", ledger=book, clock=SimulatedClock(), spec=spec, environ={}, record=record, make=lambda _: model
        )

    before = client(say("one"), record=None)
    await before.complete(asking(item="storage"))
    await before.close()
    after = client(say("two"), record=path)
    await after.complete(asking(item="storage", step=2))
    await after.close()

    answers = read_cassette(path).answers
    assert {key[3]: answer.text for key, answer in answers.items()} == {1: "one", 2: "two"}
    found = await drift(path, asking(item="storage"), talk(("other",)))
    assert 1 not in found, "what was kept of the answer alone differs from nothing"
    path.unlink()
    again = client(record=path)
    await again.close()
    assert [answer.text for answer in read_cassette(path).answers.values()] == ["one", "two"]


async def test_whoever_answered_at_last_is_recorded_once_and_plays_alone(
    path: Path, tmp_path: Path, book: Book
) -> None:
    role = {"model": "openai:m", "fallback": ["anthropic:n"], "options": {"seed": 1}}
    about = {"project": "n", "objective": "n", "checks": [], "unproven": True, "budget_usd": "none", "cache": True}
    models = {
        "openai": ScriptedModel(*[fault("server", Server("openai", "m", "http://x"), "busy") for _ in range(9)]),
        "anthropic": ScriptedModel(call("read_file", path="a"), say("done")),
    }

    def client(book: Book, spec: dict[str, Any], **more: Any) -> Any:
        return build_client(
            run="run-1", ledger=book, clock=SimulatedClock(), spec=Spec.model_validate({**about, **spec}),
            environ={"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, around=Around(state=tmp_path / "home"), **more,
        )  # fmt: skip

    requests = [talk(model="openai:m", options={"seed": 1}), talk(("ok",), model="openai:m", options={"seed": 1})]
    recording = client(book, {"roles": {"coder": role}}, record=path, make=models.__getitem__)
    said = [await recording.complete(request) for request in requests]
    await recording.close()
    assert len(models["openai"].requests) > 1, "it was tried, and tried again"

    other = new_book()
    playing = client(other, {"roles": {"coder": role}, "provider": "replay", "cassette": str(path)})
    played = [
        await playing.complete(
            request.model_copy(update={"model": ModelRef(provider="replay", name="m", options={"seed": 1})})
        )
        for request in requests
    ]
    await playing.close()
    assert [(one.text, one.calls) for one in played] == [(one.text, one.calls) for one in said]
    assert other.state("run-1").drifted == {}
    other.close()


async def test_two_processes_never_write_one_file(path: Path, book: Book) -> None:
    first = recording(path, book, say("one"))
    with pytest.raises(UsageError, match="another process records into"):
        recording(path, book)
    with pytest.raises(UsageError, match="another process records into"):
        require_recordable(path, None)
    first.close()
    recording(path, book).close()


def test_the_recording_of_another_run_is_not_written_into(path: Path, book: Book) -> None:
    recording(path, book).close()
    before = path.read_bytes()

    with pytest.raises(UsageError, match="holds the recording of run 'run-1'"):
        recording(path, book, run="run-2")
    path.with_name("notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no cassette"):
        require_recordable(path.with_name("notes.txt"), None)
    assert path.read_bytes() == before


async def test_a_full_disk_blocks_and_loses_neither_the_answer_nor_the_file(
    path: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = recording(path, book, say("one"), say("two"), say("two"))
    await client.complete(asking())
    before = path.read_bytes()

    class Full:
        """A file on a disk that has room for ten bytes."""

        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 10

        def write(self, data: Any) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = self.file.write(data[: self.room])
            self.room -= written
            return int(written)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    tape = client._tape
    with monkeypatch.context() as patch:
        patch.setattr(tape, "_file", Full(tape._file))
        with pytest.raises(Blocked, match="No space left"):
            await client.complete(asking("another", step=2))
    assert path.read_bytes() == before
    await client.complete(asking("another", step=2))
    second = read_cassette(path).answers[None, 1, "coder", 2]
    assert second.asked is not None
    assert second.asked.task, "what could not be written is not taken for known"


async def test_no_secret_reaches_a_recording_and_its_user_is_told(path: Path, book: Book) -> None:
    environ = {
        "OPENAI_API_KEY": "sk-live-123", "DB_URL": "postgres://u:pw@h", "OTHER": "harmless", "CI": "1",
        "MY_TOKEN": "t0k3n-999", "PGPASSWORD": "hunter22", "api_key": "lower-1", "KEYMAP": "us-intl",
    }  # fmt: skip
    secrets = find_secrets(environ, ["DB_URL", "CI"])
    assert secrets == {
        "postgres://u:pw@h": "DB_URL", "sk-live-123": "OPENAI_API_KEY", "t0k3n-999": "MY_TOKEN",
        "hunter22": "PGPASSWORD", "lower-1": "api_key",
    }  # fmt: skip
    client = recording(
        path,
        book,
        say("the key is sk-live-123"),
        call("write_file", path="a", content="url = 'postgres://u:pw@h'\nharmless\n"),
        parts={"item": "use sk-live-123"},
        secrets=secrets,
    )
    await client.complete(asking())
    await client.complete(asking(step=2))
    client.close()

    text = path.read_text()
    assert not [secret for secret in secrets if secret in text]
    assert "the key is ***OPENAI_API_KEY***" in text
    assert "harmless" in text
    assert "the values of DB_URL, OPENAI_API_KEY stood in it" in told_of(path)


def test_a_run_remembers_where_it_is_recorded(tmp_path: Path) -> None:
    assert remembered(tmp_path) is None
    remember(tmp_path, tmp_path / "tape.yaml", "run-1")
    assert remembered(tmp_path) == tmp_path / "tape.yaml"
    with pytest.raises(UsageError, match="holds the recording of run 'run-1'"):
        require_recordable(tmp_path / "tape.yaml", None)


def test_what_is_no_file_is_left_alone() -> None:
    with pytest.raises(UsageError, match="is no file"):
        require_recordable(Path("/dev/null"), None)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("commit 1f2e3d4c5b6a", "commit 9f2e3d4c5b6b"),
        ("Date:   Sat Nov 21 20:54:35 2026 +0000", "Date:   Mon Jan 5 01:02:03 2026 +0100"),
        ("3 passed in 0.02s", "3 passed in 12.9s"),
        ("2026-01-02 10:00:00,123 INFO", "2026-11-21 09:01:02,999 INFO"),
        ("rootdir: /root/a/20260101-101010-123ab/storage-1", "rootdir: /home/x/20261121-222222-999zz/storage-1"),
        ("/tmp/tmpabc/x.log: ok", "/tmp/tmpdef/y.log: ok"),
        ("http://127.0.0.1:4711/notes, pid 33", "http://127.0.0.1:5822/notes, pid 4444"),
        ("<notes.Note object at 0x7f00deadbeef>", "<notes.Note object at 0x7f99cafebabe>"),
        ("-rw-r--r-- 1 u u 7 Nov 21 20:54 a.py", "-rw-r--r-- 1 u u 7 Jan  2 09:00 a.py"),
    ],
)  # fmt: skip
def test_what_differs_from_run_to_run_is_taken_out(then: str, now: str) -> None:
    assert scrubbed(then) == scrubbed(now)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("3 passed in 0.02s", "2 passed, 1 failed in 0.02s"),
        ("src/notes/storage.py", "src/notes/models.py"),
        ("version 1.2.3", "version 1.2.4"),
        ("def added(decade): return 7", "def added(decade): return 8"),
        ("/root/a/storage.py:3: error", "/root/a/models.py:3: error"),
    ],
)
def test_what_matters_is_not(then: str, now: str) -> None:
    assert scrubbed(then) != scrubbed(now)
