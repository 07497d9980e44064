"""The port Workspace on real git: the files of a commit, apart from everybody, and their way back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aurea.adapters.git import GitRepository, GitWorkspace, delete_folder, remove_strays
from aurea.adapters.git.process import Git
from aurea.domain.errors import UsageError, WorkspaceLost

AGENT_ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


def agent(workspace: GitWorkspace, *words: str) -> str:
    """What an agent sees when it uses git in its workspace."""
    done = subprocess.run(
        ["git", *words], cwd=workspace.tree, env=AGENT_ENV, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
async def repository(user: Any, tmp_path: Path) -> GitRepository:
    return await GitRepository.open(user.path, tmp_path / "state")


@pytest.fixture
async def workspace(repository: GitRepository, user: Any, tmp_path: Path) -> GitWorkspace:
    return await repository.open_workspace(tmp_path / "workspaces" / "run-1" / "item-1", user.head)


async def paths_of(repository: GitRepository, tree: str) -> set[str]:
    return {file.path for file in await repository.files(tree)}


# --- what a workspace is ----------------------------------------------------------------------------------------


async def test_holds_the_files_of_its_commit(workspace: GitWorkspace, user: Any) -> None:
    files = {str(path.relative_to(workspace.tree)) for path in workspace.tree.rglob("*") if ".git" not in path.parts}
    assert files == {"readme.md", "notes", "notes/store.py", "notes/api.py"}
    assert workspace.home.is_dir()
    assert workspace.tmp.is_dir()
    assert workspace.base == user.head


async def test_git_in_it_is_a_private_repository_with_the_users_history(workspace: GitWorkspace, user: Any) -> None:
    before = user.fingerprint()
    assert agent(workspace, "status", "--porcelain") == ""
    assert agent(workspace, "rev-parse", "HEAD") == user.head
    assert agent(workspace, "describe") == user.git("describe")
    assert agent(workspace, "log", "--format=%s").split() == ["second", "first"]
    assert agent(workspace, "rev-parse", "--show-toplevel") == str(workspace.tree)
    (workspace.tree / "new").write_text("1")
    agent(workspace, "stash", "--include-untracked")
    agent(workspace, "stash", "pop")
    agent(workspace, "add", "-A")
    agent(workspace, "commit", "-q", "-m", "mine")
    agent(workspace, "tag", "mine")
    agent(workspace, "gc", "-q")
    assert agent(workspace, "log", "--format=%an|%s", "-1") == "Aurea|mine"
    assert user.fingerprint() == before
    shot = await workspace.snapshot("Aurea's")
    assert shot.files == ("new",)
    assert user.git("log", "--format=%P", "-1", shot.sha) == user.head, "the agent's commit plays no part"


async def test_lies_outside_every_repository(repository: GitRepository, user: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inside a repository"):
        await repository.open_workspace(user.path / "build" / "ws", user.head)
    assert not (user.path / "build").exists()
    user.git("init", "-q", "--bare", str(tmp_path / "bare"))
    with pytest.raises(UsageError, match="inside a repository"):
        await repository.open_workspace(tmp_path / "bare" / "ws", user.head)


async def test_takes_the_place_of_leftovers_and_of_nothing_else(
    repository: GitRepository, workspace: GitWorkspace, user: Any, tmp_path: Path
) -> None:
    (workspace.tree / "left").write_text("over")
    again = await repository.open_workspace(workspace.path, user.head)
    assert not (again.tree / "left").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="in the way"):
        await repository.open_workspace(tmp_path / "mine", user.head)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(Exception, match="read-tree"):
        await repository.open_workspace(tmp_path / "broken", "1" * 40)
    assert not (tmp_path / "broken").exists()


async def test_is_adopted_only_when_whole(
    repository: GitRepository, workspace: GitWorkspace, user: Any, tmp_path: Path
) -> None:
    path, base = workspace.path, user.head
    found = await repository.adopt_workspace(path, base)
    assert found is not None
    assert (await found.snapshot("x")).files == ()
    assert await repository.adopt_workspace(path, user.git("rev-parse", "HEAD~1")) is None, "another base"
    assert await repository.adopt_workspace(tmp_path / "nothing", base) is None
    (path / "base").rename(path / "base.new")
    assert await repository.adopt_workspace(path, base) is None, "its making was broken off"
    (path / "base.new").rename(path / "base")
    (path / "index.work.lock").touch()
    (workspace.tree / "new").write_text("1")
    found = await repository.adopt_workspace(path, base)
    assert found is not None
    assert (await found.snapshot("x")).files == ("new",), "a killed snapshot does not stop the next"
    workspace.tree.rename(path / "elsewhere")
    assert await repository.adopt_workspace(path, base) is None
    with pytest.raises(WorkspaceLost):
        await workspace.snapshot("x")
    workspace.tree.symlink_to(path / "elsewhere")
    assert await repository.adopt_workspace(path, base) is None, "a link is not the tree"
    with pytest.raises(WorkspaceLost):
        await workspace.snapshot("x")


# --- snapshots --------------------------------------------------------------------------------------------------


async def test_snapshot_takes_every_kind_of_change(
    repository: GitRepository, workspace: GitWorkspace, user: Any
) -> None:
    tree = workspace.tree
    (tree / "readme.md").write_text("# Nodes\n")
    (tree / "notes/store.py").unlink()
    (tree / "notes/api.py").chmod(0o755)
    (tree / "größe\nzwei\t.txt").write_text("x")
    (tree / "*.md").write_text("a name, not a pattern")
    (tree / "-n").write_text("a name, not an option")
    (tree / "inner").symlink_to("notes/api.py")
    (tree / "dangling").symlink_to("notes/later.py")
    (tree / "empty").mkdir()
    shot = await workspace.snapshot("everything\n\nAurea-Item: x\n")
    assert shot.refused == ()
    expected = {"*.md", "-n", "dangling", "größe\nzwei\t.txt", "inner", "notes/api.py", "notes/store.py", "readme.md"}
    assert set(shot.files) == expected
    assert {change.path for change in await repository.changes(user.head, shot.sha)} == expected
    assert await repository.tree_of(shot.sha) == shot.tree
    assert await repository.read(shot.sha, "readme.md") == b"# Nodes\n"
    modes = {file.path: file.mode for file in await repository.files(shot.tree)}
    assert (modes["notes/api.py"], modes["inner"]) == ("100755", "120000")
    assert user.git("log", "-1", "--format=%P|%an|%s|%(trailers:key=Aurea-Item,valueonly)", shot.sha) == (
        f"{user.head}|Aurea|everything|x"
    )


async def test_a_change_within_the_second_of_the_checkout_is_seen(
    repository: GitRepository, user: Any, tmp_path: Path
) -> None:
    """Git tells files by size and time in seconds; the index must keep its own time to know when that is not enough."""
    while True:
        workspace = await repository.open_workspace(tmp_path / "ws", user.head)
        (workspace.tree / "readme.md").write_text("# Nodes\n")
        if int((workspace.tree / "readme.md").stat().st_ctime) == int((workspace.path / "index").stat().st_mtime):
            break
    while int(time.time()) == int((workspace.path / "index").stat().st_mtime):
        await asyncio.sleep(0.02)
    shot = await workspace.snapshot("x")
    assert await repository.read(shot.sha, "readme.md") == b"# Nodes\n"


async def test_snapshots_are_counted_from_the_base_each_time(
    repository: GitRepository, workspace: GitWorkspace
) -> None:
    nothing = await workspace.snapshot("nothing")
    assert nothing.files == ()
    assert nothing.tree == await repository.tree_of(workspace.base)
    (workspace.tree / "one").write_text("1")
    assert (await workspace.snapshot("one")).files == ("one",)
    (workspace.tree / "two").write_text("2")
    assert (await workspace.snapshot("two")).files == ("one", "two")
    (workspace.tree / "one").unlink()
    last = await workspace.snapshot("three")
    assert last.files == ("two",)
    assert "one" not in await paths_of(repository, last.tree)


async def test_files_and_folders_may_trade_places(repository: GitRepository, workspace: GitWorkspace) -> None:
    tree = workspace.tree
    (tree / "readme.md").unlink()
    (tree / "readme.md").mkdir()
    (tree / "readme.md" / "inner").write_text("1")
    delete_folder(tree / "notes")
    (tree / "notes").write_text("a file now")
    shot = await workspace.snapshot("traded")
    assert await paths_of(repository, shot.tree) == {"notes", "readme.md/inner"}
    assert set(shot.files) == {"notes", "notes/api.py", "notes/store.py", "readme.md", "readme.md/inner"}


async def test_a_folder_may_become_a_link_inside_the_tree(repository: GitRepository, workspace: GitWorkspace) -> None:
    (workspace.tree / "notes").rename(workspace.tree / "moved")
    (workspace.tree / "notes").symlink_to("moved")
    shot = await workspace.snapshot("linked")
    assert shot.refused == ()
    assert await paths_of(repository, shot.tree) == {"notes", "moved/api.py", "moved/store.py", "readme.md"}


async def test_clutter_stays_out_unless_it_is_tracked(repository: GitRepository, user: Any, tmp_path: Path) -> None:
    user.write(".git/info/exclude", "*.private\n")
    base = user.commit(**{"node_modules/kept.js": "1\n", ".gitignore": "*.log\n"})
    workspace = await repository.open_workspace(tmp_path / "ws", base)
    clutter = """__pycache__/a.pyc notes/__pycache__/b.pyc .venv/bin/python node_modules/x/y.js a.log .pytest_cache/v
        aurea.egg-info/PKG-INFO .coverage sub/.mypy_cache/1 my.private"""
    for name in clutter.split():
        (workspace.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.tree / name).write_text("clutter")
    (workspace.tree / "node_modules/kept.js").write_text("2\n")
    assert (await workspace.snapshot("x")).files == ("node_modules/kept.js",)
    assert agent(workspace, "status", "--porcelain") == "M node_modules/kept.js"


async def test_ignore_present_leaves_out_what_setup_made(workspace: GitWorkspace) -> None:
    names = (
        "built/deep/out.bin",
        "notes/generated.py",
        "we[i]rd *? \\name!",
        "trailing ",
        "line\nend",
        "#hash",
        "!not",
    )
    for name in names:
        (workspace.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.tree / name).write_text("made by setup")
    await workspace.ignore_present()
    await workspace.ignore_present()
    assert (await workspace.snapshot("x")).files == ()
    for name in ("weird x", "notes/mine.py", "hash", "not", "notes/deep/generated.py", "readme.md"):
        (workspace.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.tree / name).write_text("made by the agent")
    (workspace.tree / "built/deep/more").write_text("into a folder that setup made")
    shot = await workspace.snapshot("x")
    assert set(shot.files) == {"weird x", "notes/mine.py", "hash", "not", "notes/deep/generated.py", "readme.md"}
    assert "built" not in agent(workspace, "status", "--porcelain"), "the agent's git agrees"


async def test_text_attributes_work_as_in_git(repository: GitRepository, user: Any, tmp_path: Path) -> None:
    user.write("dos.bat", "one\r\ntwo\r\n")
    base = user.commit(**{".gitattributes": "*.bat text eol=crlf\n*.txt text\n"})
    workspace = await repository.open_workspace(tmp_path / "ws", base)
    assert (workspace.tree / "dos.bat").read_bytes() == b"one\r\ntwo\r\n"
    (workspace.tree / "dos.bat").write_bytes(b"one\r\nthree\r\n")
    (workspace.tree / "new.txt").write_bytes(b"one\r\n")
    shot = await workspace.snapshot("x")
    assert await repository.read(shot.sha, "dos.bat") == b"one\nthree\n"
    assert await repository.read(shot.sha, "new.txt") == b"one\n"


async def test_submodules_stay_as_they_are(repository: GitRepository, user: Any, tmp_path: Path) -> None:
    user.git("update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},vendor/lib")
    user.write(".gitmodules", '[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://example.org/lib\n')
    user.git("add", ".gitmodules")
    user.git("commit", "-q", "-m", "submodule")
    base, link = user.head, f"160000 commit {'a' * 40}\tvendor/lib"

    async def gitlink(shot: Any) -> str:
        return str(user.git("ls-tree", shot.sha, "vendor/lib"))

    workspace = await repository.open_workspace(tmp_path / "ws", base)
    assert list((workspace.tree / "vendor/lib").iterdir()) == []
    (workspace.tree / "new").write_text("1")
    assert await gitlink(await workspace.snapshot("untouched")) == link
    delete_folder(workspace.tree / "vendor")
    shot = await workspace.snapshot("folder gone")
    assert (shot.files, shot.refused, await gitlink(shot)) == (("new",), (), link)
    for fill in (fill_plainly, fill_with_repository, fill_with_link):
        delete_folder(workspace.tree / "vendor")
        fill(workspace.tree / "vendor/lib")
        shot = await workspace.snapshot("filled")
        assert (shot.files, await gitlink(shot)) == (("new",), link)
        assert shot.refused == ("vendor/lib (files in a submodule)",)


def fill_plainly(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "x").write_text("1")


def fill_with_repository(folder: Path) -> None:
    folder.mkdir(parents=True)
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "nested"]):
        git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x"]
        subprocess.run([*git, *words], check=True, env=AGENT_ENV)


def fill_with_link(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.symlink_to("../notes")


# --- the end of a workspace -------------------------------------------------------------------------------------


def test_read_only_folders_are_deleted_and_links_not_followed(tmp_path: Path) -> None:
    """As a user without the rights of root, who would not notice."""
    script = """
import os, sys, tempfile
from pathlib import Path
from aurea.adapters.git.cleaning import MARK, delete_folder
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
with tempfile.TemporaryDirectory() as top:
    kept = Path(top, "kept"); kept.mkdir(); (kept / "file").write_text("1"); kept.chmod(0o555)
    path = Path(top, "ws"); (path / "tree/a/b").mkdir(parents=True); (path / MARK).touch()
    (path / "tree/a/b/file").write_text("1"); (path / "tree/a/link").symlink_to(kept); (path / "link").symlink_to(kept)
    for name, mode in (("tree/a/b", 0o000), ("tree/a", 0o555), ("tree", 0o111), (".", 0o500)):
        (path / name).chmod(mode)
    delete_folder(path)
    assert not path.exists()
    assert os.listdir(kept) == ["file"] and kept.stat().st_mode & 0o777 == 0o555, "a link was followed"
    kept.chmod(0o755)
print("deleted")
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"TMPDIR": "/tmp"})
    assert done.stdout == "deleted\n", done.stderr


async def test_strays_go_and_what_is_kept_or_not_ours_stays(
    repository: GitRepository, workspace: GitWorkspace, user: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "workspaces"
    other = await repository.open_workspace(folder / "run-2" / "item-1", user.head)
    half = folder / "run-2" / "half"
    half.mkdir()
    (half / "aurea-workspace").touch()
    (folder / "thesis").mkdir()
    (folder / "thesis" / "years.txt").write_text("of work")
    (folder / "link").symlink_to(folder / "run-1")
    assert await remove_strays(folder, keep=[workspace.path]) == [half, other.path]
    assert workspace.tree.is_dir()
    assert (folder / "thesis" / "years.txt").exists()
    assert await remove_strays(tmp_path / "nothing") == []


async def test_cancelling_kills_git_and_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    git = Git(options=("-c", f"alias.wait=!echo $$ > '{note}'; exec sleep 60"))
    task = asyncio.create_task(git("wait"))
    while not (note.exists() and note.read_text().strip()):
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pid = int(note.read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the process that git started lives on")
