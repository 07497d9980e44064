"""Workspaces: the files of a commit in a folder of their own, and their way back into a commit without trusting it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aurea.adapters.git.cleaning import MARK, delete_folder
from aurea.adapters.git.process import Git, GitFailed
from aurea.adapters.git.snapshot import GIT_NAME, Picked, exclude_pattern, may_have_gitlinks, pick
from aurea.adapters.git.throwaway import History, write_throwaway
from aurea.domain.errors import Blocked, UsageError, WorkspaceLost
from aurea.ports import Snapshot

BASE = "base"
IGNORED = "Ignoring path "


@dataclass(frozen=True)
class Store:
    """What workspaces need of their repository.

    `git` runs in Aurea's own git directory; `exclude` names what is never staged; `tree_of` and `commit` are the
    repository's.
    """

    git: Git
    history: History
    exclude: bytes
    tree_of: Callable[[str], Awaitable[str]]
    commit: Callable[[str, list[str], str], Awaitable[str]]


class GitWorkspace:
    """A workspace on disk: `tree`, `home`, `tmp`, and beside them Aurea's index of the base, which never changes."""

    def __init__(self, store: Store, path: Path, base: str) -> None:
        self.path = path
        self.tree = path / "tree"
        self.home = path / "home"
        self.tmp = path / "tmp"
        self.base = base
        self._store = store

    async def snapshot(self, message: str) -> Snapshot:
        """Commit the files as they are on `base`. Nothing in the tree is asked or run, its `.git` least of all.

        Each snapshot starts from the base again, so it can be repeated at any time. What may not be committed stays as
        the base has it and is named in `refused`. Raises `WorkspaceLost` where the files are gone, or the record of the
        base, which a command can reach, is damaged.
        """
        try:
            return await self._snapshot(message)
        except (GitFailed, PermissionError) as failed:
            raise WorkspaceLost(f"the workspace {str(self.path)!r} is damaged: {failed}") from failed

    async def _snapshot(self, message: str) -> Snapshot:
        listed = await self._list("--others", "--modified", "--deleted")
        gitlinks = await self._gitlinks() if may_have_gitlinks(self.tree, listed) else frozenset[str]()
        picked = await asyncio.to_thread(pick, self.tree, listed, gitlinks)
        if picked.stage:
            tree = await self._write_tree(picked)
        else:
            tree = await self._store.tree_of(self.base)
        sha = await self._store.commit(tree, [self.base], message)
        return Snapshot(sha=sha, tree=tree, files=tuple(picked.files), refused=tuple(picked.refused))

    async def ignore_present(self) -> None:
        """Leave every file that is untracked now (what `setup` made) out of later snapshots.

        A folder without any tracked file is left out as a whole, with what comes into it later.
        """
        present = [entry[2:] for entry in await self._list("--others", "--directory", "--no-empty-directory")]
        if present:
            lines = b"".join(exclude_pattern(path) + b"\n" for path in present)
            with (self.path / "exclude").open("ab") as exclude:
                exclude.write(lines)

    async def remove(self) -> None:
        """Delete the folder, also where files in it are read-only. Nothing that a link points to is touched."""
        await asyncio.to_thread(delete_folder, self.path)

    async def _list(self, *which: str) -> list[str]:
        """`git ls-files -t` against the index of the base: a letter, a space, a path."""
        git = self._git(self.path / "index")
        said = await git(
            "ls-files",
            "-z",
            "-t",
            *which,
            f"--exclude-from={self.path / 'exclude'}",
            "--exclude-per-directory=.gitignore",
        )
        return said.fields

    async def _gitlinks(self) -> frozenset[str]:
        """Paths of the base's submodules."""
        entries = (await self._git(self.path / "index")("ls-files", "-z", "--stage")).fields
        return frozenset(entry.split("\t", 1)[1] for entry in entries if entry.startswith("160000 "))

    async def _write_tree(self, picked: Picked) -> str:
        """The base's tree with the picked paths as they are on disk now."""
        work = self.path / "index.work"
        (self.path / "index.work.lock").unlink(missing_ok=True)  # of a process that was killed
        shutil.copy2(self.path / "index", work)  # with its time: git tells by it which files it must look at again
        git = self._git(work)
        stdin = b"".join(path.encode() + b"\0" for path in picked.stage)
        said = await git("update-index", "-z", "--add", "--remove", "--replace", "--stdin", stdin=stdin)
        for line in said.stderr.splitlines():  # git passes over names that it keeps for itself, and only says so
            if line.startswith(IGNORED):
                picked.refuse(line.removeprefix(IGNORED), GIT_NAME)
        tree = (await git("write-tree")).text
        work.unlink()
        return tree

    def _git(self, index: Path) -> Git:
        """The git program on these files with Aurea's own git directory; a `.git` in the tree plays no part."""
        if self.tree.is_symlink() or not self.tree.is_dir() or not index.exists():
            raise WorkspaceLost(f"the files of the workspace {str(self.path)!r} are gone")
        return self._store.git.at(self.tree, GIT_WORK_TREE=self.tree, GIT_INDEX_FILE=index)


async def open_workspace(store: Store, path: Path, commit: str) -> GitWorkspace:
    """A fresh workspace at `path` with the files of `commit`; what a dead process left there is deleted first.

    Raises `UsageError` where `path` lies inside a repository or holds something else, `Blocked` where the disk says no.
    """
    workspace = GitWorkspace(store, path, commit)
    try:
        await asyncio.to_thread(_prepare, workspace, store.exclude)
        git = store.git.at(workspace.tree, GIT_WORK_TREE=workspace.tree, GIT_INDEX_FILE=path / "index")
        await git("read-tree", "--reset", "-u", commit)
        await asyncio.to_thread(_complete, workspace, store.history)
    except OSError as failed:
        await workspace.remove()
        raise Blocked(
            f"no workspace could be made at {str(path)!r}: {failed}", remedy="see `AUREA_WORKSPACES`"
        ) from failed
    except BaseException:
        if (path / MARK).exists():
            await workspace.remove()
        raise
    return workspace


async def adopt_workspace(store: Store, path: Path, commit: str) -> GitWorkspace | None:
    """The workspace with `commit` as its base that another process left at `path`, or None where it is not whole."""
    try:
        return await asyncio.to_thread(_adopt, store, path, commit)
    except PermissionError:  # a command that ran there has locked it
        return None


def _prepare(workspace: GitWorkspace, exclude: bytes) -> None:
    path = workspace.path
    refuse_inside_repository(path)
    if path.exists() or path.is_symlink():
        if not (path / MARK).is_file() and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
            raise UsageError(
                f"{str(path)!r} is in the way of a workspace", remedy="move it away, or set AUREA_WORKSPACES"
            )
        (path / MARK).touch()
        delete_folder(path)
    path.mkdir(parents=True)
    (path / MARK).touch()
    for folder in (workspace.tree, workspace.home, workspace.tmp):
        folder.mkdir()
    (path / "exclude").write_bytes(exclude)


def _complete(workspace: GitWorkspace, history: History) -> None:
    """Write the private repository, and last of all the note that the workspace is whole."""
    path = workspace.path
    write_throwaway(workspace.tree, workspace.base, path / "index", path / "exclude", history)
    note = path / f"{BASE}.new"
    note.write_text(f"{workspace.base}\n")
    note.replace(path / BASE)


def _adopt(store: Store, path: Path, commit: str) -> GitWorkspace | None:
    workspace = GitWorkspace(store, path, commit)
    whole = (
        not path.is_symlink()
        and (path / MARK).is_file()
        and (path / BASE).is_file()
        and (path / BASE).read_text().strip() == commit
        and (path / "index").is_file()
        and (path / "exclude").is_file()
        and workspace.tree.is_dir()
        and not workspace.tree.is_symlink()
    )
    if not whole:
        return None
    for folder in (workspace.home, workspace.tmp):
        folder.mkdir(exist_ok=True)
    return workspace


def refuse_inside_repository(path: Path) -> None:
    """Raise `UsageError` where a folder above `path` is, or has, a git repository: git would climb up to it."""
    for folder in path.absolute().parents:
        is_bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()
        if is_bare or (folder / ".git").exists():
            raise UsageError(
                f"workspaces may not lie inside a repository, and {str(folder)!r} is one",
                remedy="set AUREA_WORKSPACES to a folder outside",
            )
