"""The manifest `aurea.manifest/1`: what a run delivered, file by file, and how that was judged."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from aurea.domain.errors import Permanent
from aurea.domain.state import RunState
from aurea.ports import Repository, TreeFile
from aurea.reporting.schemas import FileEntry, LedgerPoint, Manifest

# Only the tables that ship with Python, so that the answer does not depend on the machine's own lists.
_TYPES = mimetypes.MimeTypes(filenames=())
_MORE_TYPES = {
    ".cfg": "text/plain",
    ".go": "text/x-go",
    ".ini": "text/plain",
    ".lock": "text/plain",
    ".md": "text/markdown",
    ".rs": "text/x-rust",
    ".rst": "text/x-rst",
    ".sql": "application/sql",
    ".toml": "application/toml",
    ".ts": "text/x-typescript",
    ".tsx": "text/x-typescript",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_LINK, _SUBMODULE = "120000", "160000"
_BATCH_BYTES = 32 * 2**20


def manifest(
    document: dict[str, Any], *, files: Sequence[FileEntry], seq: int, chain: str, events: int
) -> dict[str, Any]:
    """The manifest of a run from its run document, its landed files and the end of its chain in the ledger."""
    shared = {key: document[key] for key in document if key in Manifest.model_fields}
    made = Manifest.model_validate(
        {
            **shared,
            "checks": [entry for entry in document["evidence"] if entry["kind"] != "review"],
            "reviews": [entry for entry in document["evidence"] if entry["kind"] == "review"],
            "files": files,
            "ledger": LedgerPoint(seq=seq, hash=chain, events=events),
        }
    )
    return made.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class LandedFile:
    """A file of the manifest, the object that the landed tree names for it, and the object that was hashed."""

    entry: FileEntry
    blob: str
    found: str


async def landed_files(state: RunState, repository: Repository) -> list[FileEntry]:
    """The entries of `landed`: every file of the landed tree that the run added or changed, sorted by path."""
    return [file.entry for file in await landed(state, repository)]


async def landed(state: RunState, repository: Repository) -> list[LandedFile]:
    """Every file of the landed tree that the run added or changed, as it landed, sorted by path.

    `Permanent` where a file of the tree cannot be read: a manifest that leaves something out would be untrue.
    """
    if state.created is None or not state.landings:
        return []
    there = {file.path: file for file in await repository.files(state.tip) if file.mode != _SUBMODULE}
    changed = [change.path for change in await repository.changes(state.created.base.sha, state.tip)]
    files = [there[path] for path in sorted(changed) if path in there]
    owners = await _owners(state, repository, [file.path for file in files])
    found = []
    for batch in _batches(files):
        contents = await repository.read_many(state.tip, [file.path for file in batch])
        found += [_landed(file, contents[file.path], owners[file.path]) for file in batch]
    return found


def blob_id(content: bytes, like: str) -> str:
    """The name under which git keeps `content`, with the hash function that the name `like` was made with."""
    function = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return function(b"blob %d\0" % len(content) + content).hexdigest()


def _landed(file: TreeFile, content: bytes | None, item: str) -> LandedFile:
    if content is None:
        raise Permanent(f"{file.path!r} is in the landed tree and cannot be read")
    entry = FileEntry(
        path=file.path,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        media_type="inode/symlink" if file.mode == _LINK else media_type(file.path, content),
        item=item,
    )
    return LandedFile(entry, file.blob, blob_id(content, file.blob))


def _batches(files: Sequence[TreeFile]) -> Iterator[list[TreeFile]]:
    """The files in groups that are read at once, each small enough to be held in memory."""
    batch: list[TreeFile] = []
    for file in files:
        if batch and sum(other.size for other in batch) + file.size > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


async def _owners(state: RunState, repository: Repository, paths: Sequence[str]) -> dict[str, str]:
    """For each path the item whose landing changed it last.

    Only landings change the target, so a path that one landed attempt alone had touched is that one's. The others are
    looked up in the landing commits, newest first.
    """
    by_commit = {item.landed.sha: item for item in state.items.values() if item.landed}
    claims: dict[str, list[str]] = {}
    for commit, item in by_commit.items():
        attempt = next(attempt for attempt in item.attempts if attempt.landed)
        for path in attempt.ended.files if attempt.ended else ():
            claims.setdefault(path, []).append(commit)
    owners = {path: by_commit[claims[path][0]].spec.id for path in paths if len(claims.get(path, ())) == 1}
    unclear = set(paths) - set(owners)
    for landing in reversed(state.landings):
        if not unclear:
            break
        touched = {change.path for change in await repository.changes(landing.parent, landing.landed.sha)}
        owners.update(dict.fromkeys(unclear & touched, by_commit[landing.landed.sha].spec.id))
        unclear -= touched
    return owners


def media_type(path: str, content: bytes) -> str:
    """The media type of a file by its name, else by whether it holds NUL bytes."""
    suffix = PurePosixPath(path).suffix.lower()
    named = _MORE_TYPES.get(suffix) or _TYPES.guess_type(path, strict=False)[0]
    if named:
        return named
    return "application/octet-stream" if b"\0" in content[:8192] else "text/plain"
