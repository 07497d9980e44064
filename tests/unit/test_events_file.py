"""`events.jsonl` and whole files: what a crash or a full disk leaves is mended, and what proves a cut is kept."""

import errno
import json
import os
import stat
import threading

import pytest

from aurea.domain.errors import Blocked, Permanent
from aurea.ledger import files
from aurea.ledger.book import Book
from aurea.ledger.export import JsonLines, repair
from aurea.ledger.files import write_atomic
from aurea.testing import drafts
from aurea.testing.clock import SimulatedClock
from aurea.testing.store import MemoryEventStore

RUN = "run-1"


@pytest.fixture
def book():
    made = Book(MemoryEventStore(), SimulatedClock())
    made.append(RUN, [drafts.created("Zettelkästen"), drafts.planned()])
    made.append("run-2", [drafts.created()])
    yield made
    made.close()


@pytest.fixture
def lines(tmp_path):
    made = JsonLines(RUN, tmp_path / "runs" / RUN)
    yield made
    made.close()


def path(tmp_path):
    return tmp_path / "runs" / RUN / "events.jsonl"


def documents(tmp_path):
    return [json.loads(line) for line in path(tmp_path).read_text().splitlines()]


def told(book):
    return [event.document() for event in book.events(RUN)]


def test_the_file_grows_as_things_happen(book, lines, tmp_path):
    lines.follow(book)
    assert documents(tmp_path) == told(book)
    assert "Zettelkästen" in path(tmp_path).read_text()
    for step in range(3):
        book.append("run-2", [drafts.asked(step)])
        book.append(RUN, [drafts.asked(step)])
        assert documents(tmp_path) == told(book)
    lines.close()
    book.append(RUN, [drafts.asked(9)])
    assert documents(tmp_path) == told(book)[:-1]


@pytest.mark.parametrize("damage", [
    lambda data: b"",
    lambda data: data[:-1],
    lambda data: data[:-40],
    lambda data: data + data[:30],
    lambda data: data + b"\0" * 100,
    lambda data: data[: data.index(b"\n") + 1],
    lambda data: b"what is this?\n" + data,
    lambda data: data.replace(b'": ', b'":'),
])  # fmt: skip
def test_a_resume_mends_the_file(book, lines, tmp_path, damage):
    lines.follow(book)
    lines.close()
    whole = path(tmp_path).read_bytes()
    path(tmp_path).write_bytes(damage(whole))
    assert repair(path(tmp_path).parent, book.events(RUN)) == 2
    assert path(tmp_path).read_bytes() == whole


def test_a_file_that_knows_more_than_the_ledger_is_a_proof_and_stays(book, lines, tmp_path):
    lines.follow(book)
    events = list(book.events(RUN))
    before = path(tmp_path).read_bytes()
    with pytest.raises(Permanent, match="holds event 2, which the ledger does not") as caught:
        repair(path(tmp_path).parent, events[:1])
    assert "aurea verify" in caught.value.remedy
    assert path(tmp_path).read_bytes() == before


def test_a_full_disk_leaves_whole_lines_and_is_made_up_for(book, lines, tmp_path):
    lines.follow(book)
    book.append(RUN, [drafts.asked(1)])

    class FullDisk:
        """Takes ten bytes of each write, then none."""

        def __init__(self, file):
            self.file, self.room = file, 10

        def write(self, data):
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken, self.room = self.file.write(data[: self.room]), 0
            return taken

        def __getattr__(self, name):
            return getattr(self.file, name)

    real = lines._file
    lines._file = FullDisk(real)
    (event,) = book.append("run-1", [drafts.asked(2)])  # the ledger itself is not harmed
    assert documents(tmp_path) == told(book)[:-1]
    with pytest.raises(Blocked, match="No space left") as caught:
        lines._file.room = 5
        lines([event])
    assert "free space" in caught.value.remedy
    lines._file = real
    book.append(RUN, [drafts.asked(3)])
    assert documents(tmp_path) == told(book)


def test_events_recorded_while_the_file_is_mended_are_there_once(book, lines, tmp_path):
    class Meanwhile:
        """A ledger to which somebody appends just when its events were read."""

        subscribe = book.subscribe

        def events(self, run, after=0):
            yield from book.events(run, after)
            threading.Thread(target=book.append, args=(RUN, [drafts.asked(1)])).start()

    lines.follow(Meanwhile())
    book.append(RUN, [drafts.asked(2)])
    assert documents(tmp_path) == told(book)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "deep" / "manifest.json"
    write_atomic(target, "für alle")
    assert target.read_bytes() == "für alle".encode()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    write_atomic(target, b"new")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(Blocked, match="No space left"):
        write_atomic(target, b"newer, but never there")
    assert target.read_bytes() == b"new"
    assert [found.name for found in target.parent.iterdir()] == ["manifest.json"]


def test_a_folder_that_is_a_file_is_no_fault_of_the_disk(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        write_atomic(tmp_path / "file" / "manifest.json", b"x")
