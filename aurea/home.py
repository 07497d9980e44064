"""One AUREA_HOME: its ledger, its run folders, and the locks that say which process works on a run."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TextIO

from aurea.adapters.clock import SystemClock
from aurea.adapters.sql import SqlEventStore, place_of
from aurea.domain.errors import RunBusy, Transient, UsageError
from aurea.domain.events import RunCreated, timestamp
from aurea.domain.spec import LATEST
from aurea.domain.state import RunState
from aurea.ledger.book import Book
from aurea.ledger.files import write_atomic
from aurea.ledger.origin import Origin, read_origin, write_origin
from aurea.settings import Settings

LOOK_S = 1.0  # how long the lock of a run may be held by somebody who only looks whether it is
BEGIN_S = 30.0  # how long another command may take to find or create its run

HALTED = "halted"


class Home:
    """The state of one user: opened by every command, closed when the command ends."""

    def __init__(self, settings: Settings) -> None:
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            reason = (fault.strerror or str(fault)).lower()
            raise UsageError(
                f"cannot use {str(settings.home)!r} as Aurea's home: {reason}",
                remedy="name another: --home or AUREA_HOME",
            ) from None
        self.settings = settings
        self.clock = SystemClock()
        self.store = SqlEventStore(settings.database_url)
        self.ledger = Book(self.store, self.clock, write_s=settings.ledger_wait_s)
        self._held: set[str] = set()

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is queued and let go of the ledger."""
        self.ledger.close()

    def folder(self, run: str) -> Path:
        """The run folder, whether it exists or not."""
        return self.settings.home / "runs" / run

    def find(self, name: str) -> str:
        """The run that `name` means: its id, a unique prefix, or `latest`; `UsageError` otherwise."""
        runs = self.ledger.runs()
        if name in runs:
            return name
        if name == LATEST:
            if not runs:
                raise UsageError("there is no run yet", remedy="start one with `aurea run SPEC`")
            return runs[0]
        if there := self.recorded_elsewhere(name):
            raise UsageError(
                f"run {name!r} is recorded in another ledger than this one: {there}",
                remedy=f"name that one in AUREA_LEDGER_URL; this one is {self.where}",
            )
        found = [run for run in runs if run.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"{name!r} begins the id of {len(found)} runs: {', '.join(found[:5])}", remedy="write more of it"
            )
        raise UsageError(f"there is no run {name!r}", remedy="`aurea list` shows the runs")

    def unfinished(self, digest: str) -> str | None:
        """The newest run of the same spec, which names the repository, that can be gone on with."""
        for run in self.ledger.runs():
            if self._created(run).spec_digest == digest and not self.elsewhere(run) and not self.finished(run):
                return run
        return None

    def finished(self, run: str) -> bool:
        """Whether the run has come to an end that cannot be gone on from, and its report tells of that end."""
        state = self.state(run)
        return state.finished and self._reported(run, state)

    def state(self, run: str) -> RunState:
        """The fold of everything recorded about a run, by whichever process."""
        return self.ledger.refresh(run)

    def elsewhere(self, run: str) -> str | None:
        """The folder of a run that another home of a shared ledger started; None for the runs of this one."""
        if self.settings.ledger_url is None or self.folder(run).is_dir() or run not in self.ledger.runs():
            return None
        folder = self._created(run).folder
        return folder if Path(folder) != self.folder(run) else None

    @property
    def where(self) -> str:
        """Where the ledger is, without user and password; a file of this home relative to it."""
        return place_of(self.settings.database_url, self.settings.home)

    def mark(self, run: str) -> None:
        """Let the run folder say in which ledger its run is recorded."""
        here, said = Origin(self.where, self.ledger.first()), read_origin(self.folder(run))
        if said != here:
            write_origin(self.folder(run), here)

    def recorded_elsewhere(self, run: str) -> str | None:
        """Where the ledger is that a run of this home is recorded in, as its folder says; None where that is this one."""
        said = read_origin(self.folder(run))
        if said is None or said.is_of(Origin(self.where, self.ledger.first())):
            return None
        return said.where

    def alive(self, run: str) -> bool:
        """Whether some process works on the run right now."""
        return self.holder(run) is not None

    def holder(self, run: str) -> str | None:
        """The process that works on the run right now, in words; None where there is none."""
        path = self.folder(run) / "lock"
        if not path.exists():
            # Of another home's processes nothing can be seen from here but what they record.
            there = self.elsewhere(run)
            return f"a process of the home of {there!r}" if there and self.state(run).ended is None else None
        with path.open() as file:
            # Shared, so that two who look at the same moment do not take each other for somebody at work.
            return None if _try_lock(file, fcntl.LOCK_SH) else file.read().strip() or "another process"

    @contextmanager
    def lock(self, run: str, *, to_end: bool = False) -> Iterator[None]:
        """Be the one process that works on the run; `RunBusy` names the one that does, `UsageError` says what was halted.

        Whoever has it may enter again. `to_end`: only to end the run, which a halt does not forbid.
        """
        if run in self._held:
            yield
            return
        if not to_end and (why := self.halted) is not None:
            raise UsageError(f"this home is halted: {why}", remedy="`aurea unhalt` ends that")
        if there := self.elsewhere(run):
            raise UsageError(
                f"run {run!r} was started in another home of this ledger: its folder is {there!r}",
                remedy="go on with it there, or `aurea run --new` starts another one here",
            )
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+") as file:
            if not _lock_within(file, LOOK_S):
                file.seek(0)
                raise busy(run, file.read().strip() or "another process")
            _sign(file)
            self._held.add(run)
            try:
                yield
            finally:
                self._held.discard(run)

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Be the one command of this home that looks for an unfinished run and creates one where there is none."""
        with (self.settings.home / "beginning.lock").open("a+") as file:
            if not _lock_within(file, BEGIN_S):
                file.seek(0)
                raise Transient(f"{file.read().strip() or 'another process'} has been creating a run for {BEGIN_S:g} s")
            _sign(file)
            yield

    @contextmanager
    def claim(self, run: str) -> Iterator[bool]:
        """Keep every process from working on the run meanwhile, halted or not; False where one does. Makes no folder."""
        path = self.folder(run) / "lock"
        if run in self._held or not path.parent.is_dir():
            yield run not in self._held and not self.elsewhere(run)
            return
        with path.open("a+") as file:
            free = _try_lock(file, fcntl.LOCK_EX)
            if free:
                _sign(file)
            yield free

    @property
    def halted(self) -> str | None:
        """Why nothing may start in this home; None where it may."""
        marker = self.settings.home / HALTED
        return marker.read_text(encoding="utf-8").strip() if marker.exists() else None

    def halt(self, reason: str) -> None:
        """Let nothing start in this home until `unhalt`."""
        write_atomic(self.settings.home / HALTED, f"{reason}\n")

    def unhalt(self) -> bool:
        """End the halt; False where there was none."""
        marker = self.settings.home / HALTED
        there = marker.exists()
        marker.unlink(missing_ok=True)
        return there

    def _reported(self, run: str, state: RunState) -> bool:
        """False where the process died between the end and its report. A folder that was cleaned away is no such case."""
        if state.cleaned is not None or not self.folder(run).is_dir() or state.closed is None:
            return True
        try:
            manifest = json.loads((self.folder(run) / "manifest.json").read_text(encoding="utf-8"))
            return bool(manifest["ended_at"] == timestamp(state.closed))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):  # damaged, which is for `verify` to say
            return True

    def _created(self, run: str) -> RunCreated:
        first = next(iter(self.ledger.events(run)))
        assert isinstance(first.fact, RunCreated)
        return first.fact


def busy(run: str, holder: str) -> RunBusy:
    """The refusal to work on a run on which somebody else does."""
    return RunBusy(
        f"run {run!r} is being worked on by {holder}",
        remedy=f"watch it with `aurea tail {run} -f`; `aurea run --new` starts another run of the same spec",
    )


def _sign(file: TextIO) -> None:
    """Say in a lock file who has it."""
    file.truncate(0)
    file.write(f"process {os.getpid()}\n")
    file.flush()


def _lock_within(file: TextIO, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not _try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _try_lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
