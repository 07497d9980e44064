"""Searching: the same answers from git and from ripgrep, whatever lies in the workspace and whatever is asked."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aurea.adapters.clock import SystemClock
from aurea.adapters.commands.runner import ProcessRunner
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.search import LINES
from aurea.agents.tools.toolbox import tools_for
from aurea.domain.errors import ToolFailed
from aurea.ports import Assignment, CommandLine, CommandResult
from aurea.testing.agents import FolderWorkspace

Search = Callable[..., Any]
RIPGREP = shutil.which("rg")
needs_ripgrep = pytest.mark.skipif(RIPGREP is None, reason="ripgrep is not installed here")
TREE: Mapping[str, bytes] = {
    ".gitignore": b"junk/\n*.log\ntracked.txt\n", ".ignore": b"src\n", ".env": b"needle\n",
    "junk/x": b"needle\n", "a.log": b"needle\n", "tracked.txt": b"needle\n", "src/a.py": b"def needle(): ...\n",
    "src-b/b.py": b"needle\n", "src/deep/.hidden/c": b"x\nneedle\r\n", "with space:1.txt": b"needle\n",
    "näme": "née needle\n".encode(), "latin": b"needle \xff\xfe\n", "early": b"needle\0\n", "no end": b"needle",
    "late": b"needle\n" + b"x" * 20_000 + b"\0", "utf16": "needle\n".encode("utf-16"), "long": b"y" * 9000 + b" needle\n",
    "digit": "٣ é\n".encode(), "wide": "é".encode() * 4000 + b"needle\n", "odd\nname\t\"q\"": b"needle\n",
}  # fmt: skip
PATTERNS = ["needle", r"^def\s+\w+", r"n\wedle$", "(?i)NEEDLE", "n.e n", "née", r"nee(?=dle)", r"(e)\1dle", "^$", ".", "x{3}",
            "nowhere", "-e", r"\bneedle\b", r"\d", r"\w+ n", "[[:alpha:]]+dle", "a|needle"]  # fmt: skip


@pytest.fixture
async def searches(tmp_path: Path) -> AsyncIterator[tuple[FolderWorkspace, Mapping[str, Search], ProcessRunner]]:
    workspace = FolderWorkspace(tmp_path / "ws")
    runner = ProcessRunner()
    git_only = tmp_path / "bin"
    git_only.mkdir()
    (git_only / "git").symlink_to(shutil.which("git") or "git")
    both = tmp_path / "both"
    both.mkdir()
    for name in ("git", "rg"):
        if program := shutil.which(name):
            (both / name).symlink_to(program)

    def search(folder: Path) -> AgentTool[Any]:
        env = {"PATH": str(folder), "HOME": str(workspace.home), "LANG": "C.UTF-8"}
        assignment = Assignment("i", 1, "coder", "coder", "", "", 900.0, workspace=workspace, env=env)
        return tools_for("coder", assignment, runner, SystemClock(), lambda: 900.0)["search_codebase"]

    yield workspace, {"git": search(git_only), "rg": search(both)}, runner
    await runner.close()


def fill(top: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "-f", "tracked.txt", "src"), (*identity, "commit", "-qm", "begin")):
        subprocess.run(["git", *words], cwd=top, check=True)


async def both(searches: Mapping[str, Search], **arguments: str) -> str:
    said = {name: await search(arguments) for name, search in searches.items()}
    assert said["rg"] == said["git"], arguments
    return str(said["git"])


@needs_ripgrep
async def test_both_say_the_same_of_everything_that_may_lie_in_a_workspace(searches, tmp_path: Path) -> None:
    workspace, tools, _ = searches
    fill(workspace.tree, TREE)
    (tmp_path / "outside").write_text("needle\n")
    (workspace.tree / "out").symlink_to(tmp_path / "outside")
    (workspace.tree / "around").symlink_to("src")
    (tmp_path / ".gitignore").write_text("src\n")
    found = (await both(tools, pattern="needle")).splitlines()
    assert [line[:30] for line in found] == [
        ".env:1:needle", "latin:1:needle \ufffd\ufffd", "long:1:" + "y" * 23, "no end:1:needle", "näme:1:née needle",
        '"odd\\nname\\t\\"q\\"":1:needle', "src-b/b.py:1:needle", "src/a.py:1:def needle(): ...",
        "src/deep/.hidden/c:2:needle", "wide:1:" + "é" * 23, "with space:1.txt:1:needle",
    ]  # fmt: skip
    for pattern in PATTERNS:
        await both(tools, pattern=pattern)
    for path in ("src", "./", "junk", "src/a.py", "./src-b/"):
        await both(tools, pattern="needle", path=path)
    (workspace.tree / ".rgignore").write_text("src\n")
    assert "src/a.py" in await both(tools, pattern="needle")
    for pattern in ("(", "*x", r"(?<n"):
        errors = []
        for search in tools.values():
            with pytest.raises(ToolFailed, match="the search ended with") as fault:
                await search({"pattern": pattern})
            errors.append(str(fault.value))
        assert errors[0] == errors[1] and "UCP" not in errors[0]


@needs_ripgrep
@pytest.mark.parametrize("seed", range(4))
async def test_both_say_the_same_of_what_chance_makes(searches, seed: int) -> None:
    workspace, tools, _ = searches
    chance = random.Random(seed)
    pieces = [b"needle", b"x", b" ", b"\n", b"\n", "é".encode(), b"\t", b"(", b"\r\n", b"def a_b", b"\xff", b"0"]
    names = ["a", "b.py", "A", "a-b", ".c", "a b", "z/a", "z-a/b", "z/.d/e", "a.log", "junk/a", "deep/er/a", "ü"]
    files = {name: b"".join(chance.choices(pieces, k=chance.randrange(60))) for name in names}
    fill(workspace.tree, {**files, ".gitignore": b"*.log\n/junk/\n", "tracked.txt": b"", "src/x": b"needle\n"})
    # A byte that is no UTF-8 is a character to ripgrep and none to git.
    for pattern in chance.sample([pattern for pattern in PATTERNS if pattern != "."], 6):
        await both(tools, pattern=pattern)


@needs_ripgrep
async def test_what_only_git_knows_is_left_to_git(searches) -> None:
    workspace, tools, _ = searches
    nested = {"nested/n": b"needle\n", "lock.json": b"needle\n", "b/data.txt": b"needle\n", "c": b"needle\n"}
    fill(workspace.tree, {**nested, "tracked.txt": b"", "src/a": b""})
    subprocess.run(["git", "init", "-q"], cwd=workspace.tree / "nested", check=True)
    assert await both(tools, pattern="needle") == "b/data.txt:1:needle\nc:1:needle\nlock.json:1:needle"
    (workspace.tree / "b/.gitattributes").write_text("*.txt -diff\n")
    (workspace.tree / ".gitattributes").write_text("lock.json binary\n")
    assert await both(tools, pattern="needle") == "c:1:needle"


@needs_ripgrep
async def test_ripgrep_is_used_where_it_is_there_and_no_configuration_of_it_counts(searches, monkeypatch) -> None:
    workspace, tools, runner = searches
    fill(workspace.tree, {"a": b"needle\n", "tracked.txt": b"", "src/a": b""})
    ran: list[str] = []
    run = runner.run

    async def watched(command: CommandLine) -> CommandResult:
        ran.append(command.argv[0])
        env = {**command.env, "RIPGREP_CONFIG_PATH": str(workspace.home / "rc")}
        return await run(CommandLine(**{**command.__dict__, "env": env}))

    monkeypatch.setattr(runner, "run", watched)
    (workspace.home / "rc").write_text("--files-without-match\n")
    assert await tools["rg"]({"pattern": "needle"}) == "a:1:needle"
    assert await tools["rg"]({"pattern": "needle", "path": "a"}) == "a:1:needle"
    assert await tools["git"]({"pattern": "needle"}) == "a:1:needle"
    assert ran == ["rg", "git", "git"], "a part of the workspace is small enough for git"


async def test_many_matches_are_bounded_and_the_rest_is_said(searches) -> None:
    workspace, tools, _ = searches
    fill(workspace.tree, {f"d{n}/f": b"needle\n" * 30 for n in range(300)} | {"tracked.txt": b"", "src/a": b""})
    for search in tools.values():
        lines = (await search({"pattern": "needle"})).splitlines()
        assert len(lines) == LINES + 1 and lines[-1].startswith("[more matches are left out")
    for search in tools.values():
        lines = (await search({"pattern": "needle", "path": "d7"})).splitlines()
        assert len(lines) == 30


async def test_a_ripgrep_without_perls_expressions_is_asked_once(searches, tmp_path: Path) -> None:
    workspace, tools, _ = searches
    fill(workspace.tree, {"a": b"needle\n", "tracked.txt": b"", "src/a": b""})
    program = tmp_path / "both" / "rg"
    program.unlink(missing_ok=True)
    program.write_text(
        f"#!/bin/sh\necho x >> {tmp_path}/asked\necho 'PCRE2 is not available in this build' >&2\nexit 2\n"
    )
    program.chmod(0o755)
    for _ in range(2):
        assert await tools["rg"]({"pattern": "nee(?=dle)"}) == "a:1:needle"
    assert (tmp_path / "asked").read_text() == "x\n"
