"""The port Repository on real git: reading, merging, committing, compare-and-swap, on every kind of repository."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from aurea.adapters.git import GitFailed, GitRepository
from aurea.domain.errors import Blocked, Permanent, Transient, UsageError

AURA = "Aurea <aurea@localhost>"


@pytest.fixture
async def repository(user: Any, tmp_path: Path) -> GitRepository:
    return await GitRepository.open(user.path, tmp_path / "state")


async def change(repository: GitRepository, folder: Path, base: str, **files: str) -> str:
    """A commit on `base` with these files, made in a workspace."""
    workspace = await repository.open_workspace(folder, base)
    for name, text in files.items():
        path = workspace.tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    shot = await workspace.snapshot("a change")
    await workspace.remove()
    return shot.sha


async def test_resolves_names_and_not_nonsense(repository: GitRepository, user: Any) -> None:
    assert await repository.resolve("refs/heads/main") == user.head
    assert await repository.resolve("v1.0") == user.git("rev-parse", "v1.0^{commit}")
    assert await repository.resolve(user.head[:10]) == user.head
    for name in ("nothing", "0" * 40, "--all", "main:readme.md", ""):
        assert await repository.resolve(name) is None
    assert await repository.tree_of(user.head) == user.git("rev-parse", "HEAD^{tree}")
    with pytest.raises(GitFailed):
        await repository.tree_of("1" * 40)


async def test_lists_and_reads_files(repository: GitRepository, user: Any) -> None:
    (user.path / "link").symlink_to("readme.md")
    (user.write("größe zwei.sh", "#!\n")).chmod(0o755)
    head = user.commit()
    files = {file.path: (file.mode, file.size) for file in await repository.files(head)}
    assert files == {
        "größe zwei.sh": ("100755", 3),
        "link": ("120000", 9),
        "notes/api.py": ("100644", 6),
        "notes/store.py": ("100644", 18),
        "readme.md": ("100644", 8),
    }
    assert await repository.read(head, "größe zwei.sh") == b"#!\n"
    assert await repository.read(await repository.tree_of(head), "notes/api.py") == b"x = 1\n"
    names = ["notes/api.py", "nothing", "notes", "../readme.md", "with\nline end", "readme.md"]
    found = await repository.read_many(head, names)
    assert found == dict.fromkeys(names) | {"notes/api.py": b"x = 1\n", "readme.md": b"# Notes\n"}


async def test_names_changes(repository: GitRepository, user: Any) -> None:
    old = user.commit(gone="1\n", kept="1\n2\n", turned="text\n")
    (user.path / "gone").unlink()
    (user.path / "turned").unlink()
    (user.path / "turned").symlink_to("kept")
    (user.path / "binary").write_bytes(b"\0\1\2")
    (user.path / "readme.md").chmod(0o755)
    new = user.commit(kept="1\n3\n4\n", **{"new\tname": "1\n"})
    changes = {c.path: (c.status, c.added, c.deleted) for c in await repository.changes(old, new)}
    assert changes == {
        "binary": ("A", None, None),
        "gone": ("D", 0, 1),
        "kept": ("M", 2, 1),
        "new\tname": ("A", 1, 0),
        "readme.md": ("M", 0, 0),
        "turned": ("T", 1, 1),
    }
    assert await repository.changes(old, old) == []


async def test_diff_is_cut_with_a_note(repository: GitRepository, user: Any) -> None:
    old = user.head
    new = user.commit(big="line of text\n" * 300_000)
    assert "+line of text" in await repository.diff(old, new)
    cut = await repository.diff(old, new, limit=1_000)
    assert len(cut) < 1_100
    assert "cut at 1000" in cut
    assert await repository.diff(old, old) == ""


async def test_set_ref_is_compare_and_swap(repository: GitRepository, user: Any) -> None:
    first, second = user.git("rev-parse", "HEAD~1"), user.head
    ref = "refs/heads/aurea/run-1"
    assert not await repository.set_ref(ref, second, first), "it does not exist yet"
    assert await repository.set_ref(ref, first, None)
    assert not await repository.set_ref(ref, second, None), "it exists"
    assert not await repository.set_ref(ref, second, second), "it is elsewhere"
    assert await repository.set_ref(ref, second, first)
    assert await repository.resolve(ref) == second
    assert await repository.set_ref("refs/aurea/run-1/item/1", first, None)
    assert await repository.list_refs("refs/aurea/run-1") == {"refs/aurea/run-1/item/1": first}
    assert not await repository.delete_ref("refs/aurea/run-1/item/1", second)
    assert await repository.delete_ref("refs/aurea/run-1/item/1", first)
    assert await repository.list_refs("refs/aurea") == {}


async def test_makes_and_deletes_no_refs_of_others(repository: GitRepository, user: Any) -> None:
    with pytest.raises(Permanent, match="its own"):
        await repository.set_ref("refs/heads/feature", user.head, None)
    with pytest.raises(Permanent, match="its own"):
        await repository.delete_ref("refs/heads/main", user.head)
    with pytest.raises(GitFailed):
        await repository.set_ref("refs/heads/aurea/broken", "1" * 40, None)


async def test_a_branch_that_somebody_looks_at_is_not_moved_under_him(
    repository: GitRepository, user: Any, tmp_path: Path
) -> None:
    first, second, ref = user.git("rev-parse", "HEAD~1"), user.head, "refs/heads/aurea/run-1"
    assert await repository.set_ref(ref, first, None)
    user.git("worktree", "add", "-q", str(tmp_path / "look"), "aurea/run-1")
    with pytest.raises(Blocked, match="checked out"):
        await repository.set_ref(ref, second, first)
    user.git("worktree", "remove", str(tmp_path / "look"))
    assert await repository.set_ref(ref, second, first)


async def test_a_lock_is_waited_for_unless_a_dead_git_left_it(repository: GitRepository, user: Any) -> None:
    lock = user.write(".git/refs/heads/aurea/run-1.lock")
    with pytest.raises(Transient, match="lock"):
        await repository.set_ref("refs/heads/aurea/run-1", user.head, None)
    os.utime(lock, (time.time() - 60, time.time() - 60))
    assert await repository.set_ref("refs/heads/aurea/run-1", user.head, None)
    assert not lock.exists()


async def test_commits_carry_author_committer_and_message(repository: GitRepository, user: Any) -> None:
    message = "Añade: 'storage'\n\nWhy.\n\nAurea-Run: run-1\nAurea-Item: storage\n"
    sha = await repository.commit(await repository.tree_of(user.head), [user.head], message, "Zoë Q <zoe@example.org>")
    assert (
        user.git("show", "-s", "--format=%an <%ae>|%cn <%ce>|%P", sha) == f"Zoë Q <zoe@example.org>|{AURA}|{user.head}"
    )
    assert user.git("show", "-s", "--format=%B", sha).strip() == message.strip()
    assert await repository.tree_of(sha) == await repository.tree_of(user.head)


async def test_finds_a_commit_by_its_trailers(repository: GitRepository, user: Any) -> None:
    tree, start = await repository.tree_of(user.head), user.head
    shas = [start]
    for item in ("a", "ab", "c"):
        message = f"{item}\n\nAurea-Item: b\n\nAurea-Run: run-1\nAurea-Item: {item}\n"
        shas.append(await repository.commit(tree, [shas[-1]], message, AURA))
    wanted = {"Aurea-Run": "run-1", "Aurea-Item": "a"}
    assert await repository.find_commit(shas[-1], start, wanted) == shas[1]
    assert await repository.find_commit(shas[-1], shas[1], wanted) is None
    assert await repository.find_commit(start, start, wanted) is None
    assert await repository.find_commit(shas[-1], start, {"Aurea-Item": "b"}) is None, (
        "a line of the text is no trailer"
    )


async def test_merges_in_memory(repository: GitRepository, user: Any, tmp_path: Path) -> None:
    base = user.head
    one = await change(repository, tmp_path / "1", base, **{"notes/store.py": "a = 0\nb = 2\nc = 3\n"})
    two = await change(
        repository, tmp_path / "2", base, new="n\n", **{"notes/store.py": "a = 1\nb = 2\nc = 3\nd = 4\n"}
    )
    first = await repository.merge(base, base, one)
    assert first.tree == await repository.tree_of(one)
    tip = await repository.commit(first.tree, [base], "one", AURA)
    second = await repository.merge(base, tip, two)
    assert second.tree is not None
    assert await repository.read(second.tree, "notes/store.py") == b"a = 0\nb = 2\nc = 3\nd = 4\n"
    assert await repository.read(second.tree, "new") == b"n\n"


async def test_a_conflict_shows_both_sides(repository: GitRepository, user: Any, tmp_path: Path) -> None:
    base = user.commit(binary="\0\n", long="".join(f"{n}\n" for n in range(3_000)))
    ours = {"notes/store.py": "a = 1\nb = 22\nc = 3\n", "binary": "\0one\n", "readme.md": "# Ours\n"}
    tip = await change(repository, tmp_path / "1", base, long="ours\n" * 3_000, **ours)
    workspace = await repository.open_workspace(tmp_path / "2", base)
    (workspace.tree / "notes/store.py").write_text("a = 1\nb = 33\nc = 3\n")
    (workspace.tree / "binary").write_text("\0two\n")
    (workspace.tree / "long").write_text("theirs\n" * 3_000)
    (workspace.tree / "readme.md").unlink()
    theirs = (await workspace.snapshot("theirs")).sha
    merged = await repository.merge(base, tip, theirs)
    assert merged.tree is None
    assert merged.conflicts == ("binary", "long", "notes/store.py", "readme.md")
    for part in (
        "b = 22",
        "b = 33",
        "b = 2\n",
        "landed meanwhile",
        "this change",
        "before both",
        "readme.md deleted in",
    ):
        assert part in merged.details, part
    assert len(merged.details) < 25_000


async def test_many_at_once_lose_nothing(repository: GitRepository, user: Any, tmp_path: Path) -> None:
    base, ref = user.head, "refs/heads/aurea/run-1"
    names = [f"file{n}" for n in range(8)]
    shas = await asyncio.gather(*(change(repository, tmp_path / name, base, **{name: name}) for name in names))
    for name, sha in zip(names, shas, strict=True):
        assert [change.path for change in await repository.changes(base, sha)] == [name]
    assert await repository.set_ref(ref, base, None)
    won = await asyncio.gather(*(repository.set_ref(ref, sha, base) for sha in shas))
    assert won.count(True) == 1
    assert await repository.resolve(ref) == shas[won.index(True)]


@pytest.mark.parametrize(
    "kind", ["worktree", "autocrlf", "hooks", "merging", "shared clone", "packed", "sha256", "bare", "shallow"]
)
async def test_lands_in_every_kind_of_repository_and_leaves_it_as_it_was(
    kind: str, user: Any, user_at: Any, tmp_path: Path
) -> None:
    user = prepare(kind, user, user_at, tmp_path)
    base, before = user.head, user.fingerprint()
    (tmp_path / "fired").unlink(missing_ok=True)
    repository = await GitRepository.open(user.path, tmp_path / "state")
    ref = "refs/heads/aurea/run-1"
    tip = await land(repository, tmp_path / "ws/1", base, None, ref, "one.txt")
    other = await land(repository, tmp_path / "ws/2", base, tip, ref, "zwei ä.txt")
    assert not (tmp_path / "fired").exists()
    assert user.fingerprint() == before
    assert await repository.resolve(ref) == other
    assert user.git("rev-parse", "aurea/run-1~2") == base
    assert user.git("diff", "--name-only", "-z", base, "aurea/run-1").split("\0")[:-1] == ["one.txt", "zwei ä.txt"]
    assert "error" not in user.git("fsck", "--no-dangling")


async def land(repository: GitRepository, folder: Path, base: str, tip: str | None, ref: str, name: str) -> str:
    """Land one new file as a run does: workspace, snapshot, attempt ref, merge, commit, target."""
    workspace = await repository.open_workspace(folder, base)
    (workspace.tree / name).write_text("one\ntwo\n")
    shot = await workspace.snapshot(name)
    assert shot.files == (name,)
    assert await repository.set_ref(f"refs/aurea/run-1/{len(name)}/1", shot.sha, None)
    merged = await repository.merge(base, tip or base, shot.sha)
    assert merged.tree is not None
    sha = await repository.commit(merged.tree, [tip or base], name, AURA)
    assert await repository.set_ref(ref, sha, tip)
    await workspace.remove()
    return sha


def prepare(kind: str, user: Any, user_at: Any, tmp_path: Path) -> Any:
    """A repository of a kind, with work in progress in it."""
    match kind:
        case "worktree":
            user.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "ein anderer Ört"))
            user = user_at(tmp_path / "ein anderer Ört")
        case "autocrlf":
            user.git("config", "core.autocrlf", "true")
            user.git("rm", "-q", "--cached", "-r", ".")
            user.git("reset", "-q", "--hard")
            assert b"\r\n" in (user.path / "readme.md").read_bytes()
        case "hooks":
            for hook in ("pre-commit", "reference-transaction", "post-checkout", "post-index-change", "fsmonitor"):
                path = user.write(f".git/hooks/{hook}", f"#!/bin/sh\ntouch '{tmp_path}/fired'\nexit 1\n")
                path.chmod(0o755)
            user.git("config", "core.fsmonitor", str(user.path / ".git/hooks/fsmonitor"))
        case "merging":
            user.git("checkout", "-q", "-b", "side", "HEAD~1")
            user.commit("side", **{"notes/api.py": "x = 2\n"})
            user.git("merge", "main", check=False)
            assert (user.path / ".git/MERGE_HEAD").exists()
            return user
        case "shared clone":
            user.git("clone", "-q", "--shared", str(user.path), str(tmp_path / "clone"))
            user = user_at(tmp_path / "clone")
        case "packed":
            user.git("gc", "-q")
        case "sha256":
            user = user_at(tmp_path / "sha256").init("--object-format=sha256")
            user.commit("first", readme="one\n")
        case "bare":
            user.git("clone", "-q", "--bare", str(user.path), str(tmp_path / "bare.git"))
            return user_at(tmp_path / "bare.git")
        case "shallow":
            user.git("clone", "-q", "--depth", "1", f"file://{user.path}", str(tmp_path / "shallow"))
            user = user_at(tmp_path / "shallow")
            assert user.git("rev-list", "--count", "HEAD") == "1"
    user.write("staged.txt")
    if kind != "hooks":
        user.git("add", "staged.txt")
    user.write("untracked.txt")
    user.write(user.git("ls-files").split("\n")[-1], "dirty\n")
    return user


async def test_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UsageError):
            await GitRepository.open(path, tmp_path / "state")


async def test_opening_again_goes_on_with_the_same_state(user: Any, tmp_path: Path) -> None:
    first = await GitRepository.open(user.path, tmp_path / "state")
    workspace = await first.open_workspace(tmp_path / "ws", user.head)
    (workspace.tree / "new").write_text("1")
    again = await GitRepository.open(user.path, tmp_path / "state")
    found = await again.adopt_workspace(tmp_path / "ws", user.head)
    assert found is not None
    assert (await found.snapshot("again")).files == ("new",)
