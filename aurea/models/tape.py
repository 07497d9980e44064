"""The file of a recording: one run's, held by one process, whole after every crash, and without anybody's secrets."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from aurea.domain.errors import UsageError
from aurea.ledger.files import explained, write_atomic
from aurea.models.cassette import Answer, Key, read_cassette, write_answer, write_header
from aurea.settings import VENDORS

SECRET = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
SHORTEST_SECRET = 6  # characters; a shorter value stands in every second text by chance

Secrets = Mapping[str, str]

_ANOTHER = (
    "give `aurea run ... --record` a file that does not exist yet; a run that has begun keeps the name in `inputs/record` "
    "of its folder"
)


class Tape:
    """The cassette at `path`, to which answers are added. `known` are the places it holds, `texts` the hashes it tells.

    `UsageError` where it is another run's, or another process writes it; `Blocked` where it cannot be written. Half of
    a document that a crash left at the end is taken away.
    """

    def __init__(self, path: Path, run: str, secrets: Secrets) -> None:
        self.path = path
        self._secrets = secrets
        self._lock = threading.Lock()
        require_recordable(path, run)
        try:
            _begin(path, run)
            self._file = path.open("r+b", buffering=0)
        except OSError as fault:
            raise explained(fault, path) from fault
        _lock(self._file, path)
        _mend(self._file)
        cassette = read_cassette(path)
        self.known: set[Key] = set(cassette.answers)
        self.texts: set[str] = set(cassette.texts())

    def write(self, answer: Answer) -> None:
        """Add an answer that is not there yet; all of it or, where the disk is full, nothing. From any thread."""
        data = memoryview(write_answer(masked(answer, self._secrets)).encode())
        with self._lock:
            if answer.key in self.known or self._file.closed:
                return
            end = self._file.seek(0, os.SEEK_END)
            try:
                while data:
                    data = data[self._file.write(data) :]
            except OSError as fault:
                self._file.truncate(end)
                raise explained(fault, self.path) from fault
            self.known.add(answer.key)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()


def require_recordable(path: Path, run: str | None) -> None:
    """`UsageError` where the cassette at `path` is not that of `run` (None: a run that does not exist yet)."""
    if path.is_dir():
        raise UsageError(f"--record: {str(path)!r} is a folder", remedy="name a file in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"--record: {str(path)!r} is no file", remedy="name one that does not exist yet")
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not os.access(there, os.R_OK | os.W_OK):
        raise UsageError(f"--record: {str(there)!r} cannot be written", remedy="name a file in a folder of yours")
    if there != path or not path.stat().st_size:
        return
    with path.open("rb") as file:
        header = _header(path, file.read(4096))
        _lock(file, path)
        if run is not None and header == run:
            return
    raise UsageError(f"{path} holds the recording of run {header!r}", remedy=_ANOTHER)


def find_secrets(environ: Mapping[str, str], passed: Iterable[str]) -> dict[str, str]:
    """The values that no recording may hold, each with its variable: keys, and what commands are given (`passed`)."""
    keys = {variable for variable, address in VENDORS.values() if variable != address}
    names = [name for name in environ if name in keys or name in set(passed) or SECRET.search(name)]
    found = {environ[name]: name for name in names if len(environ[name]) >= SHORTEST_SECRET}
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))  # a value within another one comes second


def masked(answer: Answer, secrets: Secrets) -> Answer:
    """`answer` with the name of the variable in the place of each secret, and `masked` naming them."""
    hit: set[str] = set()

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            for secret, name in secrets.items():
                if secret in value:
                    hit.add(name)
                    value = value.replace(secret, f"***{name}***")
            return value
        if isinstance(value, dict):
            return {clean(name): clean(part) for name, part in value.items()}
        return [clean(part) for part in value] if isinstance(value, list | tuple) else value

    told = {"text": answer.text, "texts": answer.texts, "calls": [call.model_dump() for call in answer.calls]}
    shown = clean(told)
    if not hit:
        return answer
    return Answer.model_validate({**answer.model_dump(), **shown, "masked": sorted(hit)})


def remember(folder: Path, path: Path, run: str) -> None:
    """Claim the file for a run, and keep in its folder where it is recorded, for whichever process goes on with it."""
    _begin(path, run)
    write_atomic(_note(folder), f"{path.absolute()}\n")


def remembered(folder: Path) -> Path | None:
    """Where the run is recorded, if it is."""
    note = _note(folder)
    return Path(note.read_text(encoding="utf-8").rstrip("\n")) if note.is_file() else None


def told_of(path: Path) -> str:
    """What a recording holds, in a line for its user."""
    try:
        answers = read_cassette(path).answers.values()
    except UsageError as fault:
        return f"the recording cannot be read: {fault.message}"
    names = sorted({name for answer in answers for name in answer.masked})
    note = f"; the values of {', '.join(names)} stood in it and are left out as ***NAME***" if names else ""
    count = f"{len(answers)} answer" + ("" if len(answers) == 1 else "s")
    return f"recorded {count} in {path}{note}"


def _begin(path: Path, run: str) -> None:
    if not path.exists() or not path.stat().st_size:
        write_atomic(path.resolve(), write_header(run))


def _note(folder: Path) -> Path:
    return folder / "inputs" / "record"


def _header(path: Path, start: bytes) -> str | None:
    """Which run the cassette says that it is of; `UsageError` where the file is no cassette."""
    if b"schema: aurea.cassette/1" not in start:
        raise UsageError(f"{path} is there and no cassette", remedy=_ANOTHER)
    found = re.search(rb"^run: *['\"]?([^'\"\n]+)", start.partition(b"\n---")[0], re.MULTILINE)
    return found.group(1).decode("utf-8", "replace").strip() if found else None


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"another process records into {path}", remedy="give `--record` a file of its own, or wait for its end"
        ) from None


def _mend(file: BinaryIO) -> None:
    """Take away a last document that is not whole; whole is one that ends with what had been asked."""
    file.seek(0)
    text = file.read()
    if (begun := re.search(rb"(?<=\n)-{1,3}\Z", text)) is not None:
        text = text[: begun.start()]
        file.truncate(len(text))
    at = text.rfind(b"\n---\n")
    if at < 0:
        return
    last = text[at + 1 :]
    line = last.rstrip(b"\n").rpartition(b"\n")[2]
    if not (last.endswith(b"\n") and line.startswith(b"asked: {") and line.endswith(b"}")):
        file.truncate(at + 1)
