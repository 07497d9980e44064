"""A new repository for a run that was given none, and its way to the end: `main` at what landed, checked out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aurea.adapters.git.process import IDENTITY, Git
from aurea.domain.errors import Blocked, Permanent, UsageError

MAIN = "refs/heads/main"
MADE = "aurea.made"


@dataclass(frozen=True)
class Created:
    """A repository that Aurea made: where it lies, and the empty first commit of `main`."""

    path: Path
    base_ref: str
    base_sha: str


async def create_repository(path: Path, project: str = "") -> Created:
    """Make a repository at `path` with one empty commit on `main`; `UsageError` where something is there already."""
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(
            f"{str(path)!r} is not empty", remedy="give another `output_dir`, or name it as `repo` to work on it"
        )
    path.mkdir(parents=True, exist_ok=True)
    await Git()("init", "--quiet", "--template=", "-b", "main", str(path))
    git = _inside(path)
    await git("config", MADE, "true")
    tree = (await git("hash-object", "-w", "-t", "tree", "--stdin", stdin=b"")).text
    name, _, mail = IDENTITY.rstrip(">").partition(" <")
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", name), ("EMAIL", mail))
    }
    message = f"Start {project}\n" if project else "Start\n"
    sha = (await git("commit-tree", tree, "-F", "-", stdin=message.encode(), env={**git.env, **who})).text
    await git("update-ref", MAIN, sha, "")
    return Created(path=path, base_ref=MAIN, base_sha=sha)


async def follow(path: Path, target: str) -> str:
    """Bring `main` of a repository that Aurea made to commit `target` and check it out; returns the ref that moved.

    Can be repeated. Refused with `Permanent` for a repository of the user's, with `Blocked` where files or commits of
    his would be lost.
    """
    path = path.absolute()
    git = _inside(path)
    if (await git("config", "--get", MADE, accept=(0, 1, 128))).text != "true":
        raise Permanent(f"{str(path)!r} was not made by Aurea, so it is not checked out for you")
    old = (await git("rev-parse", "--verify", MAIN)).text
    if (await git("merge-base", "--is-ancestor", old, target, accept=(0, 1))).code != 0:
        raise Blocked(
            f"`main` of {str(path)!r} has commits of its own", remedy=f"merge by hand: git merge {target[:12]}"
        )
    if (await git("symbolic-ref", "--quiet", "HEAD", accept=(0, 1))).text == MAIN:
        done = await git("read-tree", "-m", "-u", old, target, accept=(0, 128))
        if done.code != 0:
            raise Blocked(
                f"files in {str(path)!r} were changed meanwhile: {done.stderr[:500]}",
                remedy="commit or move them, then resume",
            )
    await git("update-ref", MAIN, target, old)
    return MAIN


def _inside(path: Path) -> Git:
    return Git().at(path, GIT_DIR=path / ".git", GIT_WORK_TREE=path)
