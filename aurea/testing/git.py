"""A repository in memory, with workspaces that are real folders: commits, refs and three-way merges by whole files."""

from __future__ import annotations

import difflib
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aurea.ports import Change, Merge, Snapshot, TreeFile

Files = dict[str, bytes]


@dataclass(frozen=True)
class _Commit:
    tree: str
    parents: tuple[str, ...]
    message: str


@dataclass
class MemoryRepository:
    """Implements `ports.Repository` without git."""

    path: Path
    trees: dict[str, Files] = field(default_factory=dict)
    commits: dict[str, _Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def begin(self, files: Mapping[str, str], ref: str = "refs/heads/main") -> str:
        """A first commit with these files, on `ref`."""
        sha = self._commit(self._tree({path: text.encode() for path, text in files.items()}), [], "begin")
        self.refs[ref] = sha
        return sha

    async def resolve(self, ref: str) -> str | None:
        """The commit a ref, or a commit id, names."""
        return ref if ref in self.commits else self.refs.get(ref)

    async def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        return self.commits[commit].tree

    async def set_ref(self, ref: str, new: str, old: str | None) -> bool:
        """Compare-and-swap."""
        if self.refs.get(ref) != old:
            return False
        self.refs[ref] = new
        return True

    async def merge(self, base: str, ours: str, theirs: str) -> Merge:
        """Whole files: a file that both sides changed differently is a conflict."""
        start, left, right = (self._files(commit) for commit in (base, ours, theirs))
        merged: Files = {}
        conflicts = []
        for path in sorted({*start, *left, *right}):
            mine, yours, was = left.get(path), right.get(path), start.get(path)
            if mine != yours and mine != was and yours != was:
                conflicts.append(path)
            chosen = yours if mine == was else mine
            if chosen is not None:
                merged[path] = chosen
        if conflicts:
            return Merge(tree=None, conflicts=tuple(conflicts), details=f"both sides changed {', '.join(conflicts)}")
        return Merge(tree=self._tree(merged))

    async def commit(self, tree: str, parents: Sequence[str], message: str, author: str) -> str:
        """A commit object."""
        return self._commit(tree, parents, message)

    async def find_commit(self, tip: str, stop: str, trailers: Mapping[str, str]) -> str | None:
        """Walk first parents from `tip` to `stop`."""
        sha = tip
        while sha != stop:
            commit = self.commits[sha]
            if all(f"{name}: {value}\n" in commit.message for name, value in trailers.items()):
                return sha
            if not commit.parents:
                return None
            sha = commit.parents[0]
        return None

    async def files(self, tree: str, under: str = "") -> list[TreeFile]:
        """All files of a tree or commit, or those in the folder `under`."""
        files = sorted((path, data) for path, data in self._files(tree).items() if _within(path, under))
        return [TreeFile(path, _sha(b"blob %d\0" % len(data) + data), "100644", len(data)) for path, data in files]

    async def read(self, tree: str, path: str) -> bytes | None:
        """A file's content."""
        return self._files(tree).get(path)

    async def read_many(self, tree: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """The contents of several files."""
        return {path: self._files(tree).get(path) for path in paths}

    async def changes(self, old: str, new: str) -> list[Change]:
        """What differs, with line counts."""
        before, after = self._files(old), self._files(new)
        found = []
        for path in sorted({*before, *after}):
            if before.get(path) != after.get(path):
                status = "A" if path not in before else "D" if path not in after else "M"
                lines = list(self._diff(before, after, path))
                added = sum(1 for line in lines if line.startswith("+") and not line.startswith("+++"))
                deleted = sum(1 for line in lines if line.startswith("-") and not line.startswith("---"))
                found.append(Change(path, status, added, deleted))
        return found

    async def diff(self, old: str, new: str, limit: int = 60_000) -> str:
        """A unified diff."""
        before, after = self._files(old), self._files(new)
        paths = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
        return "\n".join(line for path in paths for line in self._diff(before, after, path))[:limit]

    async def open_workspace(self, path: Path, commit: str) -> MemoryWorkspace:
        """A folder with the files of `commit`."""
        workspace = MemoryWorkspace(self, path, commit)
        for folder in (workspace.tree, workspace.home, workspace.tmp):
            folder.mkdir(parents=True)
        for name, data in self._files(commit).items():
            target = workspace.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        (path / "base").write_text(commit)
        return workspace

    async def adopt_workspace(self, path: Path, commit: str) -> MemoryWorkspace | None:
        """The workspace at `path` where it was opened on `commit`."""
        marker = path / "base"
        whole = marker.exists() and marker.read_text() == commit
        return MemoryWorkspace(self, path, commit) if whole else None

    async def remove_workspace(self, path: Path) -> None:
        """Delete the folder."""
        shutil.rmtree(path, ignore_errors=True)

    def _files(self, name: str) -> Files:
        return self.trees[self.commits[name].tree if name in self.commits else name]

    def _tree(self, files: Files) -> str:
        sha = _sha(repr(sorted(files.items())).encode())
        self.trees[sha] = files
        return sha

    def _commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        sha = _sha(repr((tree, tuple(parents), message)).encode())
        self.commits[sha] = _Commit(tree, tuple(parents), message)
        return sha

    def _diff(self, before: Files, after: Files, path: str) -> list[str]:
        old, new = (side.get(path, b"").decode(errors="replace").splitlines() for side in (before, after))
        return list(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", lineterm=""))


@dataclass
class MemoryWorkspace:
    """Implements `ports.Workspace`: a real folder whose snapshot goes to a `MemoryRepository`."""

    repository: MemoryRepository
    path: Path
    base: str
    ignored: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tree = self.path / "tree"
        self.home = self.path / "home"
        self.tmp = self.path / "tmp"

    async def snapshot(self, message: str) -> Snapshot:
        """Commit the files as they are."""
        files = {name: (self.tree / name).read_bytes() for name in self._present() - self.ignored}
        tree = self.repository._tree(files)
        sha = self.repository._commit(tree, [self.base], message)
        changed = await self.repository.changes(self.base, sha)
        return Snapshot(sha=sha, tree=tree, files=tuple(change.path for change in changed))

    async def ignore_present(self) -> None:
        """Leave out what is not in the base."""
        self.ignored |= self._present() - set(self.repository._files(self.base))

    async def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _present(self) -> set[str]:
        return {str(path.relative_to(self.tree)) for path in self.tree.rglob("*") if path.is_file()}


def _within(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _sha(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
