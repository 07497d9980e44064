"""Is the ledger what was written? One pass over the whole chain, held against the proofs that run folders keep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aurea.domain.errors import AureaError
from aurea.domain.events import RunEnded
from aurea.ledger import chain
from aurea.ledger.checkpoints import Checkpoint, Folder, folders, kept_files, lines_of, listed_files
from aurea.ledger.export import FILE
from aurea.ledger.origin import Origin
from aurea.ports import EventStore, Row

_MOST = 50
_OVER = ("succeeded", "failed", "cancelled")

Landed = Callable[[str, Mapping[str, Any]], Mapping[str, str]]


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    `checked` rows were recomputed, `purged` of them without their payload; `bodies` texts were compared with their
    digests, `files` files with a manifest. `first_bad` is the first sequence number that is changed or missing.
    `checkpoint` is the last row that a proof outside the database vouches for: of the `after_checkpoint` rows behind
    it, a cut or a rewriting of the chain to its very end could not be seen. `elsewhere` are the runs whose folders say
    that they were recorded in another ledger, each with the place of that one: their events were compared with nothing.
    """

    ok: bool
    checked: int
    head: int
    hash: str
    first_bad: int | None
    problems: tuple[str, ...]
    checkpoint: int
    after_checkpoint: int
    purged: int
    bodies: int
    files: int
    elsewhere: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON values, for `aurea verify --json`."""
        elsewhere = [{"run": run, "ledger": where} for run, where in self.elsewhere]
        return {**vars(self), "problems": list(self.problems), "elsewhere": elsewhere}


def verify(
    store: EventStore,
    home: Path,
    run: str | None = None,
    landed: Landed | None = None,
    *,
    own: bool = False,
    where: str | None = None,
) -> Verification:
    """Recompute the chain of the whole ledger, and compare it with the run folders under `home` (or that of `run`).

    `landed` gives, for a run and its manifest, the SHA-256 of each file as it stands in the landed tree. `own`: no other
    home shares the ledger, so that a run folder which is missing was either cleaned away, which is recorded, or lost.
    `where` the ledger is: folders that name another one are set apart.
    """
    found = _Findings()
    # Read before the ledger: a run at work may only add rows in between, never be ahead of them.
    marked, apart = _set_apart(folders(home, run), store, where)
    passed = _pass_over(store, marked, found)
    if own:
        _find_lost_folders(home, run, passed, found)
    for folder in marked:
        if folder.run in passed.cleaned:
            continue  # what is left of it
        for fault in folder.faults:
            found.add(fault)
        _compare_end(store, folder, passed, found)
        _compare_files(folder, landed, found)
        if folder.checkpoints and folder.origin is None and folder.run not in passed.last:
            found.add(
                f"the ledger knows nothing of run {folder.run!r}: its rows were cut, or it was recorded in another "
                "database, which AUREA_LEDGER_URL has to name"
            )
    for folder in apart:
        for fault in folder.faults:
            found.add(fault)
        _compare_files(folder, None, found)
    bodies = 0
    for bodies, (digest, text) in enumerate(store.bodies(), 1):  # noqa: B007 (counts them)
        if not isinstance(text, str) or chain.digest(text) != digest:
            found.add(f"the text {digest} was changed")
    sound = [mark.seq for folder in marked for mark in folder.checkpoints if mark.seq in passed.vouched]
    checkpoint = max(sound, default=0)
    return Verification(
        ok=not found.count,
        checked=passed.rows,
        head=passed.seq,
        hash=passed.hash,
        first_bad=found.first_bad,
        problems=found.told,
        checkpoint=checkpoint,
        after_checkpoint=max(passed.seq - checkpoint, 0),
        purged=passed.purged,
        bodies=bodies,
        files=found.files,
        elsewhere=tuple((folder.run, folder.origin.where) for folder in apart if folder.origin),
    )


@dataclass
class _Findings:
    """Problems as they are found; the first ones in words, the others counted."""

    problems: list[str] = field(default_factory=list)
    count: int = 0
    first_bad: int | None = None
    files: int = 0

    def add(self, problem: str, seq: int | None = None) -> None:
        self.count += 1
        if self.count <= _MOST:
            self.problems.append(problem)
        if seq is not None:
            self.first_bad = seq if self.first_bad is None else min(self.first_bad, seq)

    @property
    def told(self) -> tuple[str, ...]:
        more = self.count - len(self.problems)
        return (*self.problems, f"and {more} more") if more else tuple(self.problems)


@dataclass
class _Pass:
    """Where the pass over the chain is, and what it has to remember."""

    seq: int = 0
    hash: str = ""
    rows: int = 0
    purged: int = 0
    last: dict[str, Row] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    vouched: set[int] = field(default_factory=set)
    created: dict[str, str | None] = field(default_factory=dict)
    cleaned: set[str] = field(default_factory=set)


def _set_apart(marked: list[Folder], store: EventStore, where: str | None) -> tuple[list[Folder], list[Folder]]:
    """The folders of this ledger, and those of another: at another place, with another first row, and not known here.

    A ledger that was emptied or exchanged where it stands is not another one, nor is one that was cut and moved.
    """
    named = [folder for folder in marked if folder.origin is not None]
    if where is None or all(folder.origin.where == where for folder in named if folder.origin):
        return marked, []
    here, known = Origin(where, store.first()), set(store.runs())
    apart = [each for each in named if each.origin and not each.origin.is_of(here) and each.run not in known]
    return [folder for folder in marked if folder not in apart], apart


def _pass_over(store: EventStore, marked: list[Folder], found: _Findings) -> _Pass:
    """Every row against its hash and the row before it, and against the checkpoints that name it."""
    marks: dict[int, list[tuple[str, Checkpoint]]] = {}
    for folder in marked:
        for mark in folder.checkpoints:
            marks.setdefault(mark.seq, []).append((folder.run, mark))
    done = _Pass()
    for row in store.rows():
        expected = done.seq + 1
        for fault in chain.faults(row, expected, done.hash):
            found.add(fault, min(expected, row.seq))
        # Go on from what stands there, so that each fault is named once.
        done.seq, done.hash = row.seq, row.hash
        done.rows += 1
        done.purged += row.payload is None
        done.last[row.run] = row
        done.events[row.run] += 1
        if row.type == "run.created":
            done.created[row.run] = row.payload
        elif row.type == "run.cleaned" and '"folder":true' in (row.payload or ""):
            done.cleaned.add(row.run)
        for run, mark in marks.pop(row.seq, ()):
            _compare_mark(row, run, mark, done, found)
    for seq in sorted(marks):
        for _, mark in marks[seq]:
            found.add(f"row {seq}, which {mark.source} names, is missing", min(seq, done.seq + 1))
    return done


def _compare_mark(row: Row, run: str, mark: Checkpoint, done: _Pass, found: _Findings) -> None:
    if row.hash != mark.hash or row.run != run:
        found.add(f"row {row.seq} is not the one that {mark.source} names", row.seq)
    elif mark.events is not None and mark.events != done.events[run]:
        found.add(
            f"run {run!r} had {mark.events} events at row {row.seq}, says {mark.source}; it has {done.events[run]}"
        )
    else:
        done.vouched.add(row.seq)


def _find_lost_folders(home: Path, run: str | None, passed: _Pass, found: _Findings) -> None:
    """Folders that runs were given in this very home and that are gone, though nothing says that they were cleaned."""
    for name, payload in passed.created.items():
        folder = home / "runs" / name
        if run not in (None, name) or name in passed.cleaned or folder.is_dir() or payload is None:
            continue
        with suppress(ValueError, TypeError, AttributeError):  # named by the pass over the chain already
            if json.loads(payload).get("folder") == str(folder):
                found.add(f"the folder of run {name!r} is missing, and nothing says that it was cleaned away")


def _compare_end(store: EventStore, folder: Folder, passed: _Pass, found: _Findings) -> None:
    """The end of `events.jsonl` against the run's last row; behind it only while the run is not over."""
    end, last = folder.end, passed.last.get(folder.run)
    if end is None or last is None:
        return
    if end.seq in passed.vouched:
        if last.seq > end.seq and _is_over(last):
            found.add(f"{FILE} of run {folder.run!r} ends at event {end.seq}; the run ended with event {last.seq}")
        return
    # The chain was rewritten, or the file was: the first line that does not fit says from where on.
    hashes = {row.seq: row.hash for row in store.rows(folder.run)}
    for seq, named in lines_of(folder):
        if hashes.get(seq) != named:
            found.add(f"{FILE} of run {folder.run!r} and the ledger part at event {seq}", seq)
            return


def _is_over(last: Row) -> bool:
    try:
        fact = chain.event_of(last).fact
    except AureaError:
        return False  # named by the pass over the chain already
    return isinstance(fact, RunEnded) and fact.state in _OVER


def _compare_files(folder: Folder, landed: Landed | None, found: _Findings) -> None:
    if folder.manifest is None:
        return
    try:
        for path, listed, kept in kept_files(folder):
            found.files += 1
            if listed != kept:
                found.add(f"{path!r}, kept by run {folder.run!r}, is not the file that its manifest lists")
        if landed is None:
            return
        stands = landed(folder.run, folder.manifest)
        for path, listed in listed_files(folder.manifest):
            found.files += 1
            if stands.get(path) != listed:
                found.add(f"{path!r}, as landed by run {folder.run!r}, is not the file that its manifest lists")
    except (KeyError, TypeError, AttributeError):
        found.add(f"the files in the manifest of run {folder.run!r} cannot be read")
