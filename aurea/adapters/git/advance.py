"""Moving a branch of the user's, with the worktree that has it checked out, when nothing of his is in the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aurea.adapters.git.inspection import callers_git
from aurea.adapters.git.process import Git
from aurea.domain.errors import Blocked


async def advance_branch(path: Path, ref: str, new: str, old: str, *, environ: Mapping[str, str]) -> None:
    """Move branch `ref` of the repository at `path` from `old` to `new`; a worktree that has it checked out follows.

    Only a clean worktree does; `Blocked` says so otherwise, and that the branch was moved by somebody else meanwhile.
    Runs no hook.
    """
    git = callers_git(environ).at(path)
    places = await _checked_out(git, ref)
    for place in places:
        changed = (await git.at(place)("status", "--porcelain", "--untracked-files=no")).text
        if changed:
            raise Blocked(
                f"{ref.removeprefix('refs/heads/')!r} is checked out in {str(place)!r} with uncommitted changes",
                remedy="commit or stash them there, then resume; what landed is safe on the target",
            )
    for place in places:
        done = await git.at(place)("read-tree", "-m", "-u", old, new, accept=(0, 128))
        if done.code != 0:
            raise Blocked(
                f"the files in {str(place)!r} cannot follow: {done.stderr[:500]}",
                remedy="move the files that are in the way, then resume",
            )
    moved = await git("update-ref", "-m", "aurea: land", ref, new, old, accept=(0, 1, 128))
    if moved.code != 0:
        for place in places:
            await git.at(place)("read-tree", "-m", "-u", new, old, accept=(0, 128))
        raise Blocked(f"{ref!r} was moved by somebody else: {moved.stderr[:500]}", remedy="resume to try again")


async def _checked_out(git: Git, ref: str) -> list[Path]:
    """The worktrees that have `ref` checked out."""
    found, current = [], None
    for line in (await git("worktree", "list", "--porcelain")).text.splitlines():
        word, _, value = line.partition(" ")
        if word == "worktree":
            current = Path(value)
        elif word == "branch" and value == ref and current is not None:
            found.append(current)
    return found
