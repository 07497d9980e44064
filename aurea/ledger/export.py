"""`events.jsonl` in the run folder: the run's events as lines, growing as they happen, mended from the ledger."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from aurea.domain.errors import Permanent
from aurea.domain.events import Event
from aurea.ledger.files import explained
from aurea.ports import Ledger

FILE = "events.jsonl"


def line_of(event: Event) -> bytes:
    """An event as one line of `events.jsonl`: `aurea.event/1`."""
    return json.dumps(event.document(), ensure_ascii=False).encode() + b"\n"


class JsonLines:
    """Keeps `<folder>/events.jsonl` of one run growing. Belongs to the process that works on the run.

    `follow` mends the file and goes on from there without a gap. A write that fails (a full disk) leaves only whole
    lines, is raised to the ledger (which logs it), and is made up for with the next event.
    """

    def __init__(self, run: str, folder: Path) -> None:
        self._run = run
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._last = 0
        self._waiting: list[bytes] = []
        self._unsubscribe: Callable[[], None] | None = None

    def follow(self, ledger: Ledger) -> None:
        """Mend the file from the ledger, then write what comes; see `repair` for what it refuses."""
        with self._lock:
            # Subscribed first: what is recorded meanwhile waits at the lock, and is skipped if it was read already.
            self._unsubscribe = ledger.subscribe(self)
            self._last = repair(self._path.parent, ledger.events(self._run))

    def __call__(self, events: Sequence[Event]) -> None:
        """Write the run's events among these; a listener of the ledger."""
        with self._lock:
            new = [event for event in events if event.run == self._run and event.seq > self._last]
            if not new and not self._waiting:
                return
            self._waiting += map(line_of, new)
            self._last = new[-1].seq if new else self._last
            try:
                self._write(b"".join(self._waiting))
            except OSError as fault:
                raise explained(fault, self._path) from fault
            self._waiting.clear()

    def close(self) -> None:
        """Stop following, and make what was written durable."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        with self._lock:
            if self._file is not None:
                os.fsync(self._file.fileno())
                self._file.close()
                self._file = None

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
        whole = self._file.seek(0, os.SEEK_END)
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(whole)
            raise


def repair(folder: Path, events: Iterable[Event]) -> int:
    """Make `events.jsonl` say what the ledger says of the run; returns the last sequence number in it (0: none).

    A half-written line goes, missing events come. `Permanent` where the file holds an event that the ledger does not:
    then the ledger lost it or was changed, and the file is the proof, which is left as it is.
    """
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    known = list(events)
    try:
        with path.open("a+b") as file:
            file.seek(0)
            good, missing = _common(file, known)
            file.seek(good)
            if foreign := _foreign(file, {event.seq: event.hash for event in known}):
                raise Permanent(
                    f"{str(path)!r} holds event {foreign}, which the ledger does not",
                    remedy="`aurea verify` says what is wrong with the ledger; keep the file as a proof elsewhere",
                )
            file.truncate(good)
            file.writelines(map(line_of, known[len(known) - missing :]))
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        raise explained(fault, path) from fault
    return known[-1].seq if known else 0


def _common(file: BinaryIO, events: Sequence[Event]) -> tuple[int, int]:
    """How many bytes from the start are as they should be, and how many events do not stand there."""
    good = 0
    for index, event in enumerate(events):
        line = line_of(event)
        if file.readline() != line:
            return good, len(events) - index
        good += len(line)
    return good, 0


def _foreign(file: BinaryIO, known: dict[int, str]) -> int | None:
    """The first event in the rest of the file that is not in the ledger; torn and senseless lines do not count."""
    for line in file:
        try:
            found = json.loads(line)
            seq, chain = found["seq"], found["hash"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(seq, int) and known.get(seq) != chain:
            return seq
    return None
