"""The user's repository, and the private workspaces of attempts and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Snapshot:
    """A workspace's files as a commit on its base.

    `refused` names what may not be committed: nested repositories, links that leave the tree.
    """

    sha: str
    tree: str
    files: tuple[str, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merge:
    """A merge made in memory: its tree, or the conflicting files and the conflict text."""

    tree: str | None
    rung: str = "clean"
    conflicts: tuple[str, ...] = ()
    details: str = ""


@dataclass(frozen=True)
class TreeFile:
    """A file of a tree: path, blob, mode, size in bytes."""

    path: str
    blob: str
    mode: str
    size: int


@dataclass(frozen=True)
class Change:
    """A file that differs between two trees. `status` is A, M, D or T; `added` and `deleted` count lines (None: binary)."""

    path: str
    status: str
    added: int | None
    deleted: int | None


class Workspace(Protocol):
    """The private folder of one attempt or gate: `tree` with the files, `home` and `tmp` for its commands."""

    path: Path
    tree: Path
    home: Path
    tmp: Path
    base: str

    async def snapshot(self, message: str) -> Snapshot:
        """Commit the files as they are on `base`, without trusting any git data in the workspace."""
        ...

    async def ignore_present(self) -> None:
        """Leave every file that is untracked now (what `setup` made) out of later snapshots."""
        ...

    async def remove(self) -> None:
        """Delete the folder, also where files in it are read-only."""
        ...


class Repository(Protocol):
    """The user's repository: read freely, written only as new objects and Aurea's own refs."""

    path: Path

    async def resolve(self, ref: str) -> str | None:
        """The commit `ref` names, or None."""
        ...

    async def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        ...

    async def set_ref(self, ref: str, new: str, old: str | None) -> bool:
        """Compare-and-swap: move `ref` to `new` if it is at `old` (None: does not exist). False where it was not."""
        ...

    async def merge(self, base: str, ours: str, theirs: str) -> Merge:
        """Merge commit `theirs`, made on `base`, into `ours`, in memory."""
        ...

    async def commit(self, tree: str, parents: Sequence[str], message: str, author: str) -> str:
        """Make a commit object; committer is Aurea."""
        ...

    async def find_commit(self, tip: str, stop: str, trailers: Mapping[str, str]) -> str | None:
        """The commit between `stop` (not included) and `tip` that carries these trailers, or None."""
        ...

    async def files(self, tree: str, under: str = "") -> list[TreeFile]:
        """All files of a tree or commit; with `under` those in that folder of it."""
        ...

    async def read(self, tree: str, path: str) -> bytes | None:
        """A file's content in a tree or commit, or None."""
        ...

    async def read_many(self, tree: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """The contents of several files of a tree or commit, by path; None for those that are not there."""
        ...

    async def changes(self, old: str, new: str) -> list[Change]:
        """What differs between two trees or commits."""
        ...

    async def diff(self, old: str, new: str, limit: int = 60_000) -> str:
        """The unified diff, cut at `limit` characters with a note."""
        ...

    async def open_workspace(self, path: Path, commit: str) -> Workspace:
        """A fresh workspace at `path` with the files of `commit`."""
        ...

    async def adopt_workspace(self, path: Path, commit: str) -> Workspace | None:
        """The workspace that a dead process left at `path`, or None where it is not whole."""
        ...

    async def remove_workspace(self, path: Path) -> None:
        """Delete what is at `path`, the place of a workspace, whatever was made of it. Links are not followed."""
        ...
