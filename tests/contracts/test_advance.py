"""Moving a branch of the user's with his worktree: follows when clean, is refused when anything would be lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aurea.adapters.git.advance import advance_branch
from aurea.domain.errors import Blocked

ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
MAIN = "refs/heads/main"


def git(folder: Path, *words: str) -> str:
    user = ("-c", "user.name=u", "-c", "user.email=u@example.org")
    done = subprocess.run(["git", "-C", folder, *user, *words], env=ENV, text=True, capture_output=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, str, str]:
    """A repository on `main`, and a commit ahead of it that changes one file and adds another."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.txt").write_text("one\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "begin")
    old = git(folder, "rev-parse", "HEAD")
    git(folder, "checkout", "-q", "--detach")
    (folder / "a.txt").write_text("two\n")
    (folder / "b.txt").write_text("new\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "ahead")
    new = git(folder, "rev-parse", "HEAD")
    git(folder, "checkout", "-q", "main")
    return folder, old, new


async def test_a_clean_worktree_follows(project):
    folder, old, new = project
    (folder / "mine.txt").write_text("untracked\n")
    await advance_branch(folder, MAIN, new, old, environ=ENV)
    assert git(folder, "rev-parse", MAIN) == new
    assert (folder / "a.txt").read_text() == "two\n"
    assert git(folder, "status", "--porcelain") == "?? mine.txt"


async def test_a_worktree_elsewhere_follows_and_a_branch_that_is_not_checked_out_just_moves(project, tmp_path):
    folder, old, new = project
    git(folder, "checkout", "-q", "--detach")
    await advance_branch(folder, MAIN, new, old, environ=ENV)
    assert (folder / "a.txt").read_text() == "one\n"
    git(folder, "update-ref", MAIN, old)
    git(folder, "worktree", "add", "-q", str(tmp_path / "other"), "main")
    await advance_branch(folder, MAIN, new, old, environ=ENV)
    assert (tmp_path / "other" / "b.txt").read_text() == "new\n"
    assert git(tmp_path / "other", "status", "--porcelain") == ""


@pytest.mark.parametrize(("name", "content"), [("a.txt", "mine\n"), ("b.txt", "mine, untracked\n")])
async def test_nothing_of_the_users_is_overwritten(project, name, content):
    folder, old, new = project
    (folder / name).write_text(content)
    with pytest.raises(Blocked):
        await advance_branch(folder, MAIN, new, old, environ=ENV)
    assert git(folder, "rev-parse", MAIN) == old
    assert (folder / name).read_text() == content


async def test_a_branch_that_moved_meanwhile_stays_where_it_is(project):
    folder, old, new = project
    git(folder, "commit", "-q", "--allow-empty", "-m", "meanwhile")
    now = git(folder, "rev-parse", "HEAD")
    with pytest.raises(Blocked):
        await advance_branch(folder, MAIN, new, old, environ=ENV)
    assert git(folder, "rev-parse", MAIN) == now
    assert git(folder, "status", "--porcelain") == ""


async def test_no_hook_runs(project, tmp_path):
    folder, old, new = project
    for name in ("post-checkout", "reference-transaction", "post-merge"):
        hook = folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/fired\n")
        hook.chmod(0o755)
    await advance_branch(folder, MAIN, new, old, environ=ENV)
    assert not (tmp_path / "fired").exists()
