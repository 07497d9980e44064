"""What run folders say about the ledger: proofs outside the database, by which a cut or rewritten end is found."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from aurea.ledger.export import FILE
from aurea.ledger.origin import Origin, read_origin

MANIFEST = "manifest.json"

# What JSON of another shape than ours raises.
_SENSELESS = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Checkpoint:
    """Row `seq` had `hash` when `source` was written; `events` is how many the run had by then (None: not said)."""

    seq: int
    hash: str
    source: str
    events: int | None = None


@dataclass
class Folder:
    """One run folder as `verify` reads it.

    `faults` are things wrong with the folder itself, `origin` is the ledger that its run was recorded in (None: not said).
    """

    run: str
    path: Path
    checkpoints: list[Checkpoint] = field(default_factory=list)
    manifest: Mapping[str, Any] | None = None
    end: Checkpoint | None = None
    faults: list[str] = field(default_factory=list)
    origin: Origin | None = None


def folders(home: Path, run: str | None = None) -> list[Folder]:
    """The run folders of a home, or the one of `run`; those that were cleaned away are not there."""
    root = home / "runs"
    names = [run] if run is not None else sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    return [_read(name, root / name) for name in names if (root / name).is_dir()]


def _read(run: str, path: Path) -> Folder:
    folder = Folder(run, path, origin=read_origin(path))
    try:
        with (path / FILE).open("rb") as file:
            line = last_line(file)
        if line is not None:
            folder.end = _checkpoint(json.loads(line), f"{FILE} of run {run!r}")
            folder.checkpoints.append(folder.end)
    except FileNotFoundError:
        if (path / MANIFEST).exists():
            folder.faults.append(f"{FILE} of run {run!r} is missing")
    except _SENSELESS:
        folder.faults.append(f"{FILE} of run {run!r} cannot be read at its end")
    try:
        folder.manifest = json.loads((path / MANIFEST).read_bytes())
        marks = [folder.manifest["ledger"]] if folder.manifest.get("ledger") else []
        marks += folder.manifest.get("checkpoints", ())
        folder.checkpoints += [_checkpoint(mark, f"{MANIFEST} of run {run!r}") for mark in marks]
    except FileNotFoundError:
        pass  # written at the first landing, or at the end
    except _SENSELESS:
        folder.faults.append(f"{MANIFEST} of run {run!r} cannot be read")
    if folder.end and any(mark.seq > folder.end.seq for mark in folder.checkpoints):
        folder.faults.append(f"{FILE} of run {run!r} was cut: {MANIFEST} knows later events")
    return folder


def _checkpoint(document: Mapping[str, Any], source: str) -> Checkpoint:
    events = document.get("events")
    return Checkpoint(int(document["seq"]), str(document["hash"]), source, int(events) if events is not None else None)


def last_line(file: BinaryIO, block: int = 16_384) -> bytes | None:
    """The last complete line of a file, without reading the rest; None where there is none."""
    end = file.seek(0, os.SEEK_END)
    size = 0
    while size < end:
        size = min(max(size * 2, block), end)
        file.seek(end - size)
        whole, newline, _torn = file.read(size).rpartition(b"\n")
        if newline and (b"\n" in whole or size == end):
            return whole.rpartition(b"\n")[2]
    return None


def lines_of(folder: Folder) -> Iterator[tuple[int, str]]:
    """Sequence number and hash of each event in the folder's `events.jsonl`; senseless lines are left out."""
    with (folder.path / FILE).open("rb") as file:
        for line in file:
            try:
                document = json.loads(line)
                found = int(document["seq"]), str(document["hash"])
            except _SENSELESS:
                continue
            yield found


def kept_files(folder: Folder) -> Iterator[tuple[str, str, str]]:
    """Path, SHA-256 in the manifest and SHA-256 on disk of each landed file that the run folder keeps a copy of."""
    manifest = folder.manifest or {}
    root = folder.path / "outputs" / str(manifest.get("project", ""))
    for path, listed in listed_files(manifest):
        copy = root / path
        if copy.is_symlink():
            yield path, listed, hashlib.sha256(os.fsencode(copy.readlink())).hexdigest()
        elif copy.is_file():
            with copy.open("rb") as file:
                yield path, listed, hashlib.file_digest(file, "sha256").hexdigest()


def listed_files(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Path and SHA-256 of each file that a manifest lists."""
    return [(str(entry["path"]), str(entry["sha256"])) for entry in manifest.get("files", ())]
