"""Looks at the user's repository before a run: what it is, where the run starts from, what cannot work and why."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aurea.adapters.git.location import Location, locate, require_version
from aurea.adapters.git.process import Git
from aurea.domain.errors import UsageError

# Variables that would point git at another repository than the one it is asked about, as in a git hook.
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)


@dataclass(frozen=True)
class Opened:
    """A repository that a run can work on.

    `path` is the top of its work tree, or the bare repository. `base_ref` is the full name of what the run starts from,
    or the commit itself where that has no name; `branch_checked_out` is the full name of the branch at HEAD, None where
    HEAD is detached. `uncommitted` are changed and new paths that the run will not see. `quality`: there may be suites of
    the project's own.
    """

    path: Path
    base_ref: str
    base_sha: str
    branch_checked_out: str | None
    uncommitted: tuple[str, ...]
    quality: bool
    warnings: tuple[str, ...]


async def inspect_repository(path: Path, base: str | None = None, *, environ: Mapping[str, str]) -> Opened:
    """Open the repository that `path` lies in, to start from `base` (None: what is checked out). Writes nothing.

    `environ` is the caller's environment: with it git decides whom to trust (`safe.directory`), as on his command line.
    Raises `UsageError` with a remedy for what cannot work, `Blocked` where git itself is missing or too old.
    """
    git = callers_git(environ)
    await require_version(git)
    location = await locate(git, path)
    here = git.at(location.path)
    branches = (await here("for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags")).text.split()
    _refuse_branch_aurea(branches)
    _refuse_read_only(location)
    await _refuse_partial(here)
    head = (await here("symbolic-ref", "--quiet", "HEAD", accept=(0, 1))).text or None
    base_ref, base_sha = await _base(here, base, head, branches)
    warnings = await _filters(here, location, base_sha)
    if base is None and head is None:
        warnings.append(f"no branch is checked out; the run starts from commit {base_sha[:12]}")
    names = (await here("ls-tree", "--name-only", "--full-tree", base_sha, ".gitmodules", ".aurea")).text.split()
    if ".gitmodules" in names:
        warnings.append("submodules are kept as they are, and their folders are empty in workspaces")
    if location.shallow:
        warnings.append("the repository is shallow: history ends where it was cut off")
    uncommitted = () if location.bare else await asyncio.to_thread(_uncommitted, location, git.env, await _asleep(here))
    return Opened(location.path, base_ref, base_sha, head, uncommitted, ".aurea" in names, tuple(warnings))


def callers_git(environ: Mapping[str, str]) -> Git:
    """The git program with the user's own rules, except that it starts no program for him and takes no locks."""
    env = {name: value for name, value in environ.items() if name not in ELSEWHERE}
    env |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    return Git(
        env=env, options=("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
    )


def _refuse_branch_aurea(branches: list[str]) -> None:
    if "refs/heads/aurea" in branches:
        raise UsageError(
            "the repository has a branch named 'aurea', and git cannot hold that beside the branches 'aurea/<run>'",
            remedy="rename it: git branch -m aurea NEW-NAME",
        )


def _refuse_read_only(location: Location) -> None:
    for folder in (location.objects, location.common / "refs"):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(
                f"this user may not write to {str(folder)!r}",
                remedy="give it write access, or give a clone of the repository",
            )


async def _refuse_partial(here: Git) -> None:
    said = await here(
        "config",
        "--get-regexp",
        r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$",
        accept=(0, 1),
    )
    if said.text:
        raise UsageError(
            "the repository is a partial clone: files that are not here would have to be fetched during the run",
            remedy="make it whole: `git fetch --refetch --no-filter`, then unset remote.<name>.promisor and "
            "remote.<name>.partialclonefilter; or give a full clone",
        )


async def _base(here: Git, base: str | None, head: str | None, refs: list[str]) -> tuple[str, str]:
    """Full name and commit of what the run starts from."""
    if base is None:
        sha = await _commit(here, "HEAD")
        if sha is None:
            where = head.removeprefix("refs/heads/") if head else "HEAD"
            raise UsageError(
                f"{where!r} has no commit yet",
                remedy="commit something first, or leave `repo` out for a new repository",
            )
        return head or sha, sha
    for name in (f"refs/heads/{base}", f"refs/tags/{base}", base):
        sha = await _commit(here, name) if name in refs or name == base else None
        if sha is not None:
            full = (
                name
                if name in refs
                else (await here("rev-parse", "--symbolic-full-name", "--end-of-options", base)).text
            )
            return full.removeprefix("--end-of-options").strip() or sha, sha
    short = [name.split("/", 2)[2] for name in refs]
    close = difflib.get_close_matches(base, short, n=3, cutoff=0.5)
    raise UsageError(
        f"base {base!r} names no commit of the repository",
        remedy=f"did you mean {', '.join(close)}?" if close else f"there are: {', '.join(short[:10]) or 'no branches'}",
    )


async def _commit(here: Git, name: str) -> str | None:
    said = await here("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", accept=(0, 1, 128))
    return said.text if said.code == 0 else None


async def _filters(here: Git, location: Location, sha: str) -> list[str]:
    """Warnings about files that a program would convert; refuses LFS, whose files would be pointers in a workspace."""
    said = await here(
        "grep", "-h", "-I", "--no-color", "-E", "^[^#].*filter=", sha, "--", ":(glob)**/.gitattributes", accept=(0, 1)
    )
    lines = said.text.splitlines()
    own = location.common / "info/attributes"
    if own.is_file():
        lines += own.read_text("utf-8", "replace").splitlines()
    names = {
        word.removeprefix("filter=")
        for line in lines
        if not line.startswith("#")
        for word in line.split()
        if word.startswith("filter=")
    }
    if "lfs" in names:
        names.remove("lfs")
        if location.bare or (await here("ls-files", "--", ":(attr:filter=lfs)", limit=1)).stdout:
            raise UsageError(
                "the repository keeps files in Git LFS: workspaces would only have pointers to them",
                remedy="give a clone without LFS files (git lfs migrate export)",
            )
    return [
        f"files with filter={name} stay as they are stored: the filter does not run in workspaces"
        for name in sorted(names)
    ]


async def _asleep(here: Git) -> tuple[str, ...]:
    """Settings under which a look at the user's files starts none of his programs: neither monitor nor filters."""
    said = await here("config", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process)$", accept=(0, 1))
    drivers = {name.rpartition(".")[0] for name in said.text.splitlines()}
    none = [f"{driver}.{key}" for driver in sorted(drivers) for key in ("clean=", "process=", "required=false")]
    return ("core.fsmonitor=false", *none)


def _uncommitted(location: Location, env: Mapping[str, str], settings: tuple[str, ...]) -> tuple[str, ...]:
    """Paths that differ from what is committed, and new ones."""
    import git  # GitPython takes a moment to import, and only the start of a run needs it

    with git.Repo(location.path) as repository:
        # GitPython hands on the environment of this process: name all that could point it elsewhere.
        named = {
            "GIT_DIR": location.git_dir,
            "GIT_WORK_TREE": location.path,
            "GIT_INDEX_FILE": location.git_dir / "index",
            "GIT_OBJECT_DIRECTORY": location.objects,
            "GIT_COMMON_DIR": location.common,
        }
        repository.git.update_environment(**env, **{name: str(path) for name, path in named.items()})
        said = repository.git(c=settings).status("--porcelain", "-z", "--no-renames")
    return tuple(entry[3:] for entry in said.split("\0") if entry)
