"""Looking at the user's repository before a run, and making one where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aurea.adapters.git import GitRepository, Opened, create_repository, follow, inspect_repository
from aurea.adapters.git.location import check_version
from aurea.domain.errors import Blocked, Permanent, UsageError


async def look(user: Any, base: str | None = None, **environ: str) -> Opened:
    """Inspect, and see that nothing was written."""
    before = user.fingerprint()
    try:
        return await inspect_repository(user.path, base, environ=user.env | environ)
    finally:
        assert user.fingerprint() == before


async def test_a_plain_repository(user: Any) -> None:
    opened = await look(user)
    assert opened == Opened(user.path, "refs/heads/main", user.head, "refs/heads/main", (), False, ())


async def test_is_found_from_a_folder_inside(user: Any) -> None:
    opened = await inspect_repository(user.path / "notes", environ=user.env)
    assert opened.path == user.path


async def test_uncommitted_changes_are_named(user: Any) -> None:
    user.write("new file ä")
    user.write("readme.md", "dirty")
    user.write("staged")
    user.git("add", "staged")
    (user.path / "notes/api.py").unlink()
    assert set((await look(user)).uncommitted) == {"new file ä", "readme.md", "staged", "notes/api.py"}


async def test_autocrlf_is_not_taken_for_changes(user: Any) -> None:
    user.git("config", "core.autocrlf", "true")
    user.git("rm", "-q", "--cached", "-r", ".")
    user.git("reset", "-q", "--hard")
    for path in (user.path / "readme.md", user.path / "notes/api.py"):
        os.utime(path, (1, 1))
    assert (await look(user)).uncommitted == ()


async def test_where_a_run_starts_from(user: Any) -> None:
    first, head = user.git("rev-parse", "HEAD~1"), user.head
    user.git("branch", "side/way", "HEAD~1")
    user.git("update-ref", "refs/remotes/origin/dev", first)
    user.git("tag", "main", "HEAD~1")
    for base, expected in {
        "side/way": ("refs/heads/side/way", first),
        "v1.0": ("refs/tags/v1.0", first),
        "refs/tags/v1.0": ("refs/tags/v1.0", first),
        "main": ("refs/heads/main", head),
        "origin/dev": ("refs/remotes/origin/dev", first),
        first[:9]: (first, first),
        "HEAD~1": (first, first),
    }.items():
        opened = await look(user, base)
        assert (opened.base_ref, opened.base_sha) == expected
        assert opened.branch_checked_out == "refs/heads/main"


async def test_a_detached_head_is_a_start_without_a_name(user: Any) -> None:
    user.git("checkout", "-q", "--detach", "HEAD~1")
    opened = await look(user)
    assert (opened.base_ref, opened.base_sha, opened.branch_checked_out) == (user.head, user.head, None)
    assert "no branch is checked out" in opened.warnings[0]
    assert (await look(user, "main")).warnings == ()


async def test_an_unknown_base_is_answered_with_what_there_is(user: Any) -> None:
    user.git("branch", "feature/login")
    with pytest.raises(UsageError, match="'feature/logn' names no commit") as caught:
        await look(user, "feature/logn")
    assert "feature/login" in caught.value.remedy
    for nonsense in ("zzz", "--all", "1" * 40, "main:readme.md", ""):
        with pytest.raises(UsageError, match="names no commit"):
            await look(user, nonsense)


async def test_linked_worktrees_bare_and_shallow_repositories(user: Any, user_at: Any, tmp_path: Path) -> None:
    user.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "ein Ört"), "HEAD~1")
    side = await look(user_at(tmp_path / "ein Ört"))
    assert (side.base_ref, side.base_sha) == ("refs/heads/side", user.git("rev-parse", "side"))
    user.git("clone", "-q", "--bare", str(user.path), str(tmp_path / "bare.git"))
    bare = await look(user_at(tmp_path / "bare.git"))
    assert (bare.path, bare.base_ref, bare.uncommitted) == (tmp_path / "bare.git", "refs/heads/main", ())
    user.git("clone", "-q", "--depth=1", f"file://{user.path}", str(tmp_path / "shallow"))
    assert "shallow" in (await look(user_at(tmp_path / "shallow"))).warnings[0]


async def test_submodules_and_foreign_filters_are_warned_of(user: Any) -> None:
    user.write(".gitmodules", "")
    user.commit(**{"deep/er/.gitattributes": "*.bin filter=crypt -text\n# filter=lfs\n"})
    warnings = (await look(user)).warnings
    assert len(warnings) == 2
    assert "filter=crypt" in warnings[0]
    assert "submodules" in warnings[1]


async def test_another_repository_in_the_environment_is_not_looked_at(
    user: Any, user_at: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = user_at(tmp_path / "other").init()
    other.commit(x="1")
    elsewhere = {
        "GIT_DIR": other.path / ".git",
        "GIT_INDEX_FILE": other.path / ".git/index",
        "GIT_WORK_TREE": other.path,
    }
    for name, path in elsewhere.items():
        monkeypatch.setenv(name, str(path))
    opened = await look(user, **{name: str(path) for name, path in elsewhere.items()})
    assert (opened.base_sha, opened.uncommitted) == (user.head, ())


async def test_hooks_and_monitors_of_the_user_do_not_run(user: Any, tmp_path: Path) -> None:
    hook = user.write(".git/hooks/monitor", f"#!/bin/sh\ntouch '{tmp_path}/fired'\n")
    hook.chmod(0o755)
    user.git("config", "core.fsmonitor", str(hook))
    await look(user)
    assert not (tmp_path / "fired").exists()


def no_commits(user: Any) -> None:
    user.git("checkout", "-q", "--orphan", "fresh")


def branch_aurea(user: Any) -> None:
    user.git("branch", "aurea")


def partial_clone(user: Any) -> None:
    user.git("config", "remote.origin.promisor", "true")


def lfs(user: Any) -> None:
    user.commit(**{"model.bin": "1", "sub/.gitattributes": "*.bin filter=lfs diff=lfs -text\n", "sub/a.bin": "1"})


def no_objects(user: Any) -> None:
    (user.path / ".git/HEAD").write_text("damaged")


REFUSED: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "no commits": (no_commits, "'fresh' has no commit yet", "commit something"),
    "branch aurea": (branch_aurea, "branch named 'aurea'", "git branch -m aurea"),
    "partial clone": (partial_clone, "partial clone", "git fetch --refetch"),
    "LFS": (lfs, "Git LFS", "git lfs migrate"),
    "damaged": (no_objects, "not in a git repository", "git init"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_cannot_work_is_refused_with_a_remedy(kind: str, user: Any) -> None:
    prepare, message, remedy = REFUSED[kind]
    prepare(user)
    with pytest.raises(UsageError, match=message) as caught:
        await inspect_repository(user.path, environ=user.env)
    assert remedy in caught.value.remedy


async def test_lfs_rules_without_lfs_files_are_fine(user: Any) -> None:
    user.commit(**{".gitattributes": "*.psd filter=lfs diff=lfs merge=lfs -text\n"})
    assert (await look(user)).base_sha == user.head


async def test_no_repository_no_folder_and_the_inside_of_one(user: Any, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for path, message in {
        tmp_path / "plain": "not in a git repository",
        tmp_path / "missing": "no folder at",
        user.path / ".git": "not a work tree",
    }.items():
        with pytest.raises(UsageError, match=message):
            await inspect_repository(path, environ=user.env)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
async def test_a_repository_of_somebody_else_is_judged_as_git_does(user: Any) -> None:
    for path in (user.path, user.path / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(UsageError, match="belongs to another user") as caught:
        await inspect_repository(user.path, environ=user.env)
    assert "safe.directory" in caught.value.remedy
    trust = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": str(user.path)}
    opened = await inspect_repository(user.path, environ=user.env | trust)
    assert opened.base_ref == "refs/heads/main"
    assert (await GitRepository.open(user.path, user.path.parent / "state")).path == user.path


def test_an_old_git_is_refused() -> None:
    for said in ("git version 2.38.0", "git version 2.39.5 (Apple Git-154)", "git version 3.0.1"):
        check_version(said)
    for said in ("git version 2.37.9", "git version 1.9", "something else"):
        with pytest.raises(Blocked, match="too old"):
            check_version(said)


async def test_a_new_repository_starts_empty_and_ends_at_what_landed(user_at: Any, tmp_path: Path) -> None:
    path = tmp_path / "out put" / "notes"
    made = await create_repository(path, "notes")
    user = user_at(path)
    assert (made.base_ref, made.base_sha, user.git("symbolic-ref", "HEAD")) == (
        "refs/heads/main",
        user.head,
        made.base_ref,
    )
    assert user.git("log", "--format=%an|%ae|%cn|%s") == "Aurea|aurea@localhost|Aurea|Start notes"
    repository = await GitRepository.open(path, tmp_path / "state")
    tips = [made.base_sha]
    for number in (1, 2):
        workspace = await repository.open_workspace(tmp_path / f"ws{number}", tips[-1])
        (workspace.tree / "main.py").write_text(f"print({number})\n")
        tips.append((await workspace.snapshot(f"item {number}")).sha)
    for tip in (tips[1], tips[1], tips[2]):
        assert await follow(path, tip) == "refs/heads/main"
        assert user.git("status", "--porcelain") == ""
        assert user.head == tip
    assert (path / "main.py").read_text() == "print(2)\n"
    with pytest.raises(Blocked, match="commits of its own"):
        await follow(path, tips[1])


async def test_following_loses_nothing_of_the_users(user: Any, user_at: Any, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="not made by Aurea"):
        await follow(user.path, user.head)
    path = tmp_path / "made"
    made = await create_repository(path)
    repository = await GitRepository.open(path, tmp_path / "state")
    workspace = await repository.open_workspace(tmp_path / "ws", made.base_sha)
    (workspace.tree / "main.py").write_text("ours\n")
    tip = (await workspace.snapshot("item")).sha
    (path / "main.py").write_text("mine\n")
    with pytest.raises(Blocked, match="changed meanwhile"):
        await follow(path, tip)
    assert (path / "main.py").read_text() == "mine\n"
    assert user_at(path).head == made.base_sha
    (path / "main.py").unlink()
    user_at(path).git("checkout", "-q", "-b", "elsewhere")
    await follow(path, tip)
    assert not (path / "main.py").exists(), "another branch is checked out"
    assert user_at(path).git("rev-parse", "main") == tip


async def test_a_new_repository_takes_only_an_empty_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="not empty"):
            await create_repository(path)
    (tmp_path / "empty").mkdir()
    await create_repository(tmp_path / "empty")
