"""What an agent may leave in a workspace to run something, to reach outside, or to spoil a landing: none of it works."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aurea.adapters.git import GitRepository, GitWorkspace, delete_folder

AGENT_ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
async def repository(user: Any, tmp_path: Path) -> GitRepository:
    return await GitRepository.open(user.path, tmp_path / "state")


@pytest.fixture
async def workspace(repository: GitRepository, user: Any, tmp_path: Path) -> GitWorkspace:
    return await repository.open_workspace(tmp_path / "workspaces" / "run-1" / "item-1", user.head)


def nested(folder: Path, commit: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "-q"], check=True, env=AGENT_ENV)
    (folder / "file").write_text("1")
    if commit:
        subprocess.run([*git, "add", "-A"], check=True, env=AGENT_ENV)
        subprocess.run([*git, "commit", "-q", "-m", "nested"], check=True, env=AGENT_ENV)


def trap(fired: Path, folder: Path) -> str:
    """A program that leaves a trace when anybody runs it."""
    program = folder / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch '{fired}'\ncat\n")
    program.chmod(0o755)
    return str(program)


def config_attack(tree: Path, fired: Path) -> None:
    program = trap(fired, tree / ".git")
    with (tree / ".git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "{program}"\n\thooksPath = "{tree}/.git/hooks"\n\tworktree = /etc\n')
        config.write(f'[filter "evil"]\n\tclean = "{program}"\n\tsmudge = "{program}"\n\trequired = true\n')
        config.write(
            f'[diff "evil"]\n\ttextconv = "{program}"\n\tcommand = "{program}"\n[include]\n\tpath = /etc/passwd\n'
        )
    (tree / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (tree / ".git/hooks").mkdir()
    for hook in ("pre-commit", "post-index-change", "reference-transaction", "post-checkout"):
        (tree / ".git/hooks" / hook).symlink_to(program)


def replaced_by_file(tree: Path, fired: Path) -> None:
    evil = tree.parent / "tmp" / "evil.git"
    (tree / ".git").rename(evil)
    (evil / "config").write_text(f'[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "{trap(fired, evil)}"\n')
    (tree / ".git").write_text(f"gitdir: {evil}\n")


def replaced_by_link(tree: Path, fired: Path) -> None:
    config_attack(tree, fired)
    (tree / ".gitattributes").unlink()
    (tree / ".git").rename(tree.parent / "tmp" / "moved.git")
    (tree / ".git").symlink_to("../tmp/moved.git")


def nested_attack(tree: Path, fired: Path) -> None:
    nested(tree / "sub")
    with (tree / "sub/.git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "{trap(fired, tree / "sub/.git")}"\n')


def nested_in_tracked_folder(tree: Path, fired: Path) -> None:
    nested(tree / "notes")
    with (tree / "notes/.git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "{trap(fired, tree / "notes/.git")}"\n')


def write(name: str, content: str = "1") -> Callable[[Path, Path], None]:
    def attack(tree: Path, fired: Path) -> None:
        path = Path(os.fsdecode(os.fsencode(tree / name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return attack


def link(name: str, target: str) -> Callable[[Path, Path], None]:
    def attack(tree: Path, fired: Path) -> None:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(target)

    return attack


def climbing_chain(tree: Path, fired: Path) -> None:
    (tree / "p/q").mkdir(parents=True)
    (tree / "p/q/up").symlink_to("../..")
    (tree / "chain").symlink_to("p/q/up/../secret")


def tracked_folder_becomes_link(tree: Path, fired: Path) -> None:
    delete_folder(tree / "notes")
    (tree / "notes").symlink_to("/etc")


def tracked_file_becomes_link(tree: Path, fired: Path) -> None:
    (tree / "readme.md").unlink()
    (tree / "readme.md").symlink_to("/etc/passwd")


def fifo(tree: Path, fired: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "readme.md").unlink()
    os.mkfifo(tree / "readme.md")


def listening(tree: Path, fired: Path) -> None:
    (tree / "readme.md").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tree, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/readme.md")
        os.close(folder)


def huge(tree: Path, fired: Path) -> None:
    with (tree / "huge.bin").open("wb") as file:
        file.truncate(100 * 1024 * 1024 + 1)
    os.truncate(tree / "readme.md", 200 * 1024 * 1024)


def not_utf8(tree: Path, fired: Path) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).write_text("1")


def gone(tree: Path, fired: Path) -> None:
    delete_folder(tree / ".git")


ATTACKS: dict[str, tuple[Callable[[Path, Path], None], set[str], list[str]]] = {
    # name: (what the agent does, what is staged of it beside honest.txt, what is refused)
    "config, filters, hooks": (config_attack, {".gitattributes"}, []),
    ".git gone": (gone, set(), []),
    ".git a file": (replaced_by_file, set(), []),
    ".git a link": (replaced_by_link, set(), []),
    "nested repository": (nested_attack, set(), ["sub/ (a repository"]),
    "nested, no commit": (lambda tree, _: nested(tree / "sub", commit=False), set(), ["sub/ (a repository"]),
    "nested in a tracked folder": (nested_in_tracked_folder, {"notes/file"}, []),
    "not quite .git": (write("x/.GIT/config"), set(), ["x/.GIT/config (a name"]),
    "short name of .git": (write("git~1/config"), set(), ["git~1/config (a name"]),
    "unseen letter in .git": (write(".g\u200cit/config"), set(), [".g\u200cit/config (a name"]),
    "dots behind .git": (write(".git. ./config"), set(), [".git. ./config (a name"]),
    "stream of .git": (write(".git::$INDEX_ALLOCATION/config"), set(), [".git::"]),
    "rules as a link": (link(".gitmodules", "readme.md"), set(), [".gitmodules (a name"]),
    "names like .git": (write(".github/x.git/.gitignored"), {".github/x.git/.gitignored"}, []),
    "absolute link": (link("out", "/etc/passwd"), set(), ["out (a link to an absolute"]),
    "climbing link": (link("a/b/out", "../../../x"), set(), ["a/b/out (a link that leaves"]),
    "link to the parent": (link("out", ".."), set(), ["out (a link that leaves"]),
    "link through a name": (link("out", "notes/../../tree/readme.md"), set(), ["out (a link that leaves"]),
    "link into .git": (link("out", ".git/config"), set(), ["out (a link into git"]),
    "link to the top": (link("a/top", ".."), {"a/top"}, []),
    "link to itself": (link("loop", "loop"), {"loop"}, []),
    "chain of links": (climbing_chain, {"p/q/up"}, ["chain (a link that leaves"]),
    "folder becomes link": (tracked_folder_becomes_link, set(), ["notes (a link to an absolute"]),
    "file becomes link": (tracked_file_becomes_link, set(), ["readme.md (a link to an absolute"]),
    "pipes": (fifo, set(), ["readme.md (neither a file"]),
    "socket": (listening, set(), ["readme.md (neither a file"]),
    "too large": (huge, set(), ["huge.bin (larger than 100 MB)", "readme.md (larger than 100 MB)"]),
    "name not UTF-8": (not_utf8, set(), ["caf\\xe9 (its name"]),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_no_attack_runs_escapes_or_spoils_the_snapshot(
    name: str, repository: GitRepository, workspace: GitWorkspace, user: Any, tmp_path: Path
) -> None:
    attack, staged, refused = ATTACKS[name]
    before, fired = user.fingerprint(), tmp_path / "fired"
    (workspace.tree / "honest.txt").write_text("honest work\n")
    attack(workspace.tree, fired)
    shot = await workspace.snapshot("after an attack")
    assert set(shot.files) == staged | {"honest.txt"}
    assert {change.path for change in await repository.changes(user.head, shot.sha)} == staged | {"honest.txt"}
    assert len(shot.refused) == len(refused), shot.refused
    for said, expected in zip(shot.refused, refused, strict=True):
        assert said.startswith(expected)
    await workspace.ignore_present()
    assert await repository.adopt_workspace(workspace.path, user.head) is not None
    await workspace.remove()
    assert not workspace.path.exists()
    assert not fired.exists()
    assert user.fingerprint() == before


async def test_the_traps_would_fire_for_a_naive_git(workspace: GitWorkspace, tmp_path: Path) -> None:
    replaced_by_file(workspace.tree, tmp_path / "fired")
    subprocess.run(["git", "status"], cwd=workspace.tree, env=AGENT_ENV, capture_output=True, check=False)
    assert (tmp_path / "fired").exists()
