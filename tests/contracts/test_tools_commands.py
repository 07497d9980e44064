"""The tools that run commands, on the real runner and a real git: what they say, and what is over when they return."""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aurea.adapters.clock import SystemClock
from aurea.adapters.commands.runner import ProcessRunner
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.toolbox import tools_for
from aurea.domain.errors import ToolFailed, ToolRefused
from aurea.ports import Assignment
from aurea.testing.agents import FolderWorkspace

Tools = dict[str, AgentTool[Any]]


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    workspace = FolderWorkspace(tmp_path / "ws")
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(workspace.home), "LANG": "C.UTF-8"}
    (workspace.tree / "notes").mkdir()
    (workspace.tree / "notes/app.py").write_text("def add(a, b):\n    return a - b\n")
    (workspace.tree / ".gitignore").write_text("junk/\n")
    (workspace.tree / "junk").mkdir()
    (workspace.tree / "junk/x").write_text("def add(): pass\n")
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "begin"],
    ):
        subprocess.run(["git", *words], cwd=workspace.tree, env=env, check=True)
    runner = ProcessRunner()
    assignment = Assignment("i", 1, "coder", "coder", "", "", 900.0, workspace=workspace, env=env)
    yield tools_for("coder", assignment, runner, SystemClock(), lambda: 900.0)
    await runner.close()


async def test_shell_and_python(tools: Tools) -> None:
    assert await tools["run_shell"]({"command": "cat notes/app.py | wc -l; exit 3"}) == "exit code 3\n2"
    assert await tools["run_shell"]({"command": "true"}) == "exit code 0, nothing printed"
    code = "import os\nprint(sorted(os.listdir('.'))[-1], 'ü')"
    assert await tools["run_python"]({"code": code}) == "exit code 0\nnotes ü"


async def test_a_command_that_sleeps_and_its_daemon_are_ended(tools: Tools) -> None:
    began = time.monotonic()
    command = "echo begun; (setsid sleep 300 &) ; echo $$ > pid; sleep 300"
    with pytest.raises(ToolFailed, match="begun"):
        await tools["run_shell"]({"command": command, "timeout_s": 1})
    assert time.monotonic() - began < 15


async def test_git_tools(tools: Tools) -> None:
    await tools["append_file"]({"path": "notes/new.py", "content": "x = 1\n"})
    await tools["edit_file"]({"path": "notes/app.py", "old": "a - b", "new": "a + b"})
    assert await tools["git_status"]({}) == " M notes/app.py\n?? notes/new.py"
    assert "+    return a + b" in await tools["git_diff"]({})
    assert "begin" in await tools["git_log"]({"limit": 1})
    assert "add up" in await tools["git_commit"]({"message": "add up"})
    assert await tools["git_status"]({}) == "nothing changed"
    assert "no differences" in await tools["git_diff"]({"ref": "HEAD"})
    with pytest.raises(ToolFailed, match="bad revision"):
        await tools["git_diff"]({"ref": "nope"})
    with pytest.raises(ToolFailed, match="nothing to commit"):
        await tools["git_commit"]({"message": "again"})


async def test_searching(tools: Tools) -> None:
    await tools["write_file"]({"path": "notes/b c.py", "content": "def  add2(): ...\n"})
    found = await tools["search_codebase"]({"pattern": r"def\s+add\d?"})
    assert found.splitlines() == ["notes/app.py:1:def add(a, b):", "notes/b c.py:1:def  add2(): ..."]
    assert await tools["search_codebase"]({"pattern": "add", "path": "notes/app.py"}) == "notes/app.py:1:def add(a, b):"
    assert await tools["search_codebase"]({"pattern": "nowhere to be found"}) == "no matches"
    assert await tools["search_codebase"]({"pattern": "--open-files-in-pager=touch evil"}) == "no matches"
    with pytest.raises(ToolFailed, match="the search ended with"):
        await tools["search_codebase"]({"pattern": "(unclosed"})
    with pytest.raises(ToolFailed):
        await tools["search_codebase"]({"pattern": "x", "path": "missing"})
    with pytest.raises(ToolRefused):
        await tools["search_codebase"]({"pattern": "x", "path": "../ws"})
