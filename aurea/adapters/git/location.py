"""Where a repository lies: its folders and object store, found as git finds them, in linked worktrees too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aurea.adapters.git.process import Git, GitFailed
from aurea.domain.errors import Blocked, UsageError

OLDEST = (2, 38)


@dataclass(frozen=True)
class Location:
    """The folders of a repository.

    `path` is the top of the work tree (or the bare repository), `git_dir` the git directory of this work tree,
    `common` the one shared by all work trees, `objects` its object store.
    """

    path: Path
    git_dir: Path
    common: Path
    objects: Path
    object_format: str
    bare: bool
    shallow: bool


async def locate(git: Git, path: Path) -> Location:
    """Find the repository that `path` lies in. `git` decides whose rules count, ownership (`safe.directory`) included.

    Raises `UsageError` where there is none, or git refuses it.
    """
    if not path.is_dir():
        raise UsageError(f"no folder at {str(path)!r}", remedy="give the path of a git repository, or leave `repo` out")
    asked = git.at(path)
    try:
        said = await asked(
            "rev-parse",
            "--path-format=absolute",
            "--is-bare-repository",
            "--is-inside-work-tree",
            "--is-shallow-repository",
            "--show-object-format",
            "--absolute-git-dir",
            "--git-common-dir",
            "--git-path",
            "objects",
        )
    except GitFailed as failed:
        raise await _explained(git, path, failed) from None
    bare, inside, shallow, object_format, git_dir, common, objects = said.text.split("\n")
    if inside == "true":
        top = Path((await asked("rev-parse", "--show-toplevel")).text)
    elif bare == "true":
        top = Path(git_dir)
    else:
        raise UsageError(f"{str(path)!r} is a git directory, not a work tree", remedy="give the folder that holds it")
    return Location(top, Path(git_dir), Path(common), Path(objects), object_format, bare == "true", shallow == "true")


def checked_out_at(location: Location, ref: str) -> Path | None:
    """The git directory of the work tree that has the branch `ref` checked out, or None."""
    for folder in (location.common, *sorted((location.common / "worktrees").glob("*"))):
        head = folder / "HEAD"
        is_bare = folder == location.common and location.bare
        if not is_bare and head.is_file() and head.read_text("utf-8", "replace").strip() == f"ref: {ref}":
            return folder
    return None


async def _explained(git: Git, path: Path, failed: GitFailed) -> UsageError | Blocked:
    """Why git found nothing that it may use at `path`."""
    await require_version(git)
    if "dubious ownership" in failed.message:
        return UsageError(
            f"the repository at {str(path)!r} belongs to another user, and git refuses to work with it",
            remedy=f"if you trust it: git config --global --add safe.directory {str(path)!r}",
        )
    if "not a git repository" in failed.message:
        return UsageError(
            f"{str(path)!r} is not in a git repository",
            remedy="run `git init` and commit something there, give another `repo`, or leave it out for a new one",
        )
    return UsageError(f"the repository at {str(path)!r} cannot be opened: {failed.message}")


async def require_version(git: Git) -> str:
    """The version of git; `Blocked` where it is older than Aurea needs."""
    said = (await git("--version")).text
    check_version(said)
    return said.removeprefix("git version ")


def check_version(said: str) -> None:
    """Raise `Blocked` where what `git --version` said is older than `OLDEST`."""
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise Blocked(
            f"{said!r} is too old: Aurea merges with `git merge-tree --write-tree`", remedy="install git 2.38 or newer"
        )
