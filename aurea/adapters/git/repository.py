"""The user's repository behind the port: read through a git directory of Aurea's own, written as objects and refs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aurea.adapters.git import merging, workspace
from aurea.adapters.git.cleaning import delete_folder
from aurea.adapters.git.location import Location, checked_out_at, locate, require_version
from aurea.adapters.git.process import IDENTITY, Git, GitFailed
from aurea.adapters.git.snapshot import CLUTTER
from aurea.adapters.git.throwaway import History, config_text
from aurea.adapters.git.workspace import GitWorkspace, Store
from aurea.domain.errors import Blocked, Permanent, Transient
from aurea.ports import Change, Merge, TreeFile

OURS = ("refs/heads/aurea/", "refs/aurea/")
STALE_LOCK_S = 10.0


class GitRepository:
    """A repository opened for one run. Made by `open`."""

    def __init__(self, location: Location, store_git: Git, user_git: Git) -> None:
        self.path = location.path
        self._location = location
        self._git = store_git
        self._user = user_git
        self._trees: dict[str, str] = {}
        self._store: Store | None = None

    @classmethod
    async def open(cls, path: Path, state: Path) -> GitRepository:
        """Open the repository at `path`; `state` is where Aurea's own git directory for this run lies, or is made.

        Whose repository it may be was decided before, by `inspect_repository`. Raises `UsageError` where there is none.
        """
        state = state.absolute()
        await require_version(Git())
        trusting = Git()
        location = await locate(replace(trusting, options=(*trusting.options, "-c", "safe.directory=*")), path)
        user = Git().at(location.common, GIT_DIR=location.common)
        shared = await user("config", "--get", "core.sharedRepository", accept=(0, 1))
        _write_git_dir(state, location, shared.text)
        own = Git().at(state, GIT_DIR=state, GIT_OBJECT_DIRECTORY=location.objects)
        return cls(location, own, user)

    async def resolve(self, ref: str) -> str | None:
        """The commit `ref` names, or None."""
        said = await self._user(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", accept=(0, 1, 128)
        )
        return said.text if said.code == 0 else None

    async def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        if commit not in self._trees:
            said = await self._git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")
            self._remember(commit, said.text)
        return self._trees[commit]

    async def set_ref(self, ref: str, new: str, old: str | None) -> bool:
        """Compare-and-swap: move `ref` to `new` if it is at `old` (None: does not exist). False where it was not.

        Only Aurea's refs are made; others may be moved. No hook runs and no reflog is written. Raises `Blocked` for a
        branch that is checked out: its index would show what landed as deleted, and the next commit there would undo it.
        """
        if old is None and not ref.startswith(OURS):
            raise Permanent(f"Aurea makes no refs but its own, and {ref!r} is none of them")
        if old is not None and (folder := checked_out_at(self._location, ref)) is not None:
            name = ref.removeprefix("refs/heads/")
            raise Blocked(
                f"the branch {name!r} is checked out in the work tree of {str(folder)!r}, so it cannot move",
                remedy="check out another branch there (git switch -), then resume",
            )
        return await self._update_ref(("update-ref", "--no-deref", ref, new, old or ""), ref, old)

    async def delete_ref(self, ref: str, old: str) -> bool:
        """Delete one of Aurea's refs if it is at `old`; False where it was not."""
        if not ref.startswith(OURS):
            raise Permanent(f"Aurea deletes no refs but its own, and {ref!r} is none of them")
        return await self._update_ref(("update-ref", "--no-deref", "-d", ref, old), ref, old)

    async def list_refs(self, prefix: str) -> dict[str, str]:
        """Refs that are or lie under `prefix`, with what they point to."""
        said = await self._user("for-each-ref", "--format=%(objectname) %(refname)", prefix)
        return {name: sha for sha, name in (line.split(" ", 1) for line in said.text.splitlines())}

    async def merge(self, base: str, ours: str, theirs: str) -> Merge:
        """Merge commit `theirs`, made on `base`, into `ours`, in memory.

        git finds the base by itself: it is the parent of `theirs` and an ancestor of `ours`.
        """
        if base == ours:
            return Merge(tree=await self.tree_of(theirs))
        return await merging.merge(self._git, ours, theirs)

    async def commit(self, tree: str, parents: Sequence[str], message: str, author: str) -> str:
        """Make a commit object; committer is Aurea, `author` is `Name <mail>`."""
        name, _, mail = author.rpartition(" <")
        ours, _, our_mail = IDENTITY.rpartition(" <")
        env = {
            **self._git.env,
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": mail.rstrip(">"),
            "GIT_COMMITTER_NAME": ours,
            "GIT_COMMITTER_EMAIL": our_mail.rstrip(">"),
        }
        words = [word for parent in parents for word in ("-p", parent)]
        sha = (await self._git("commit-tree", tree, *words, "-F", "-", stdin=message.encode(), env=env)).text
        self._remember(sha, tree)
        return sha

    async def find_commit(self, tip: str, stop: str, trailers: Mapping[str, str]) -> str | None:
        """The commit between `stop` (not included) and `tip` that carries these trailers, the newest, or None."""
        said = await self._git("log", "-z", "--format=%H%n%(trailers:only=true,unfold=true)", f"{stop}..{tip}", "--")
        wanted = {f"{name}: {value}" for name, value in trailers.items()}
        for entry in said.text.split("\0"):
            sha, *lines = entry.split("\n")
            if sha and wanted <= set(lines):
                return sha
        return None

    async def files(self, tree: str, under: str = "") -> list[TreeFile]:
        """All files of a tree or commit, links included, submodules not; with `under` those in that folder of it."""
        found: list[TreeFile] = []
        below = ("--", f"{under}/") if under else ()
        for entry in (await self._git("ls-tree", "-r", "-z", "--long", "--full-tree", tree, *below)).fields:
            facts, path = entry.split("\t", 1)
            mode, kind, blob, size = facts.split()
            if kind == "blob":
                found.append(TreeFile(path=path, blob=blob, mode=mode, size=int(size)))
        return found

    async def read(self, tree: str, path: str) -> bytes | None:
        """A file's content in a tree or commit, or None."""
        return (await self.read_many(tree, [path]))[path]

    async def read_many(self, tree: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """The contents of several files of a tree or commit with one process; None for those that are not there."""
        found: dict[str, bytes | None] = dict.fromkeys(paths)
        names = [path for path in found if not {"", ".", ".."} & set(path.split("/"))]
        contents = await merging.read_blobs(self._git, [f"{tree}:{name}" for name in names])
        return found | dict(zip(names, contents, strict=True))

    async def changes(self, old: str, new: str) -> list[Change]:
        """What differs between two trees or commits, by path; a move is a file deleted and one added."""
        said = await self._git("diff-tree", "-r", "-z", "--raw", "--numstat", "--no-renames", old, new)
        return _changes(said.fields)

    async def diff(self, old: str, new: str, limit: int = 60_000) -> str:
        """The unified diff, cut at `limit` characters with a note."""
        said = await self._git(
            "diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", old, new, limit=4 * limit
        )
        text = said.stdout.decode("utf-8", "replace")
        return (
            text
            if len(text) <= limit and not said.cut
            else f"{text[:limit]}\n... (the diff is cut at {limit} characters)\n"
        )

    async def open_workspace(self, path: Path, commit: str) -> GitWorkspace:
        """A fresh workspace at `path`, outside every repository, with the files of `commit`."""
        return await workspace.open_workspace(await self._shared(), path.absolute(), commit)

    async def adopt_workspace(self, path: Path, commit: str) -> GitWorkspace | None:
        """The workspace that a dead process left at `path`, or None where it is not whole."""
        return await workspace.adopt_workspace(await self._shared(), path.absolute(), commit)

    async def remove_workspace(self, path: Path) -> None:
        """Delete what is at `path`, the place of a workspace, whatever an agent made of it."""
        await asyncio.to_thread(delete_folder, path.absolute())

    async def _update_ref(self, words: tuple[str, ...], ref: str, old: str | None) -> bool:
        try:
            await self._user(*words)
        except (GitFailed, Blocked):
            if await self._value(ref) != old:
                return False
            raise
        except Transient:
            if not self._took_stale_lock(ref):
                raise
            return await self._update_ref(words, ref, old)
        return True

    def _took_stale_lock(self, ref: str) -> bool:
        """Delete the lock that a killed git left on one of Aurea's refs; nobody else writes those."""
        lock = self._location.common / f"{ref}.lock"
        if not ref.startswith(OURS) or not lock.is_file() or time.time() - lock.stat().st_mtime < STALE_LOCK_S:
            return False
        lock.unlink(missing_ok=True)
        return True

    async def _value(self, ref: str) -> str | None:
        said = await self._user("rev-parse", "--verify", "--quiet", ref, accept=(0, 1, 128))
        return said.text if said.code == 0 else None

    async def _shared(self) -> Store:
        """What all workspaces of the run share: read once, for tags and history do not matter to the minute."""
        if self._store is None:
            said = await self._user("for-each-ref", "--format=%(objectname) %(refname) %(*objectname)", "refs/tags")
            user_exclude = self._location.common / "info/exclude"
            shallow = self._location.common / "shallow"
            self._store = Store(
                git=self._git,
                history=History(
                    objects=self._location.objects,
                    object_format=self._location.object_format,
                    packed_refs=_packed(said.text.splitlines()),
                    shallow=shallow.read_bytes() if shallow.is_file() else None,
                ),
                exclude=CLUTTER.encode() + (user_exclude.read_bytes() if user_exclude.is_file() else b"") + b"\n",
                tree_of=self.tree_of,
                commit=lambda tree, parents, message: self.commit(tree, parents, message, IDENTITY),
            )
        return self._store

    def _remember(self, commit: str, tree: str) -> None:
        self._trees[commit] = tree


def _write_git_dir(state: Path, location: Location, shared: str) -> None:
    """Write Aurea's own git directory: no refs, no hooks, the user's objects by `GIT_OBJECT_DIRECTORY`."""
    for folder in ("objects", "refs"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "HEAD").write_text("ref: refs/heads/none\n")
    # As `git init` finds it out: does this file system tell `CONFIG` from `config`?
    core = {"bare": "false", "filemode": "true"}
    if shared:
        core["sharedRepository"] = shared
    (state / "config").write_text(config_text(location.object_format, **core))
    if (state / "CONFIG").exists():
        (state / "config").write_text(
            config_text(location.object_format, **core, ignorecase="true", precomposeunicode="true")
        )
    shallow = location.common / "shallow"
    if shallow.is_file():
        (state / "shallow").write_bytes(shallow.read_bytes())


def _packed(lines: list[str]) -> str:
    """Tags as a `packed-refs` file, sorted as git sorted them, with what annotated ones point to."""
    if not lines:
        return ""
    packed = ["# pack-refs with: peeled fully-peeled sorted "]
    for line in lines:
        sha, name, *peeled = line.split(" ")
        packed.append(f"{sha} {name}")
        packed.extend(f"^{target}" for target in peeled if target)
    return "\n".join(packed) + "\n"


def _changes(fields: list[str]) -> list[Change]:
    """Changes from `diff-tree -z --raw --numstat`: pairs of facts and path first, then counts with path."""
    status: dict[str, str] = {}
    at = 0
    while at < len(fields) and fields[at].startswith(":"):
        status[fields[at + 1]] = fields[at].rsplit(" ", 1)[1][0]
        at += 2
    counts: dict[str, tuple[int | None, int | None]] = {}
    for entry in fields[at:]:
        added, deleted, path = entry.split("\t", 2)
        counts[path] = (None, None) if added == "-" else (int(added), int(deleted))
    return [Change(path, letter, *counts.get(path, (0, 0))) for path, letter in status.items()]
