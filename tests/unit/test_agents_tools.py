"""The file tools at work: exact edits, reading in pieces, reading before writing, modes, sizes, binary files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aurea.agents.roles import role_of
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.files import LISTED
from aurea.agents.tools.text import OUTPUT_LIMIT
from aurea.agents.tools.toolbox import tools_for
from aurea.domain.errors import Blocked, ToolFailed, ToolRefused
from aurea.ports import Assignment, CommandLine, CommandResult
from aurea.testing.agents import FolderWorkspace, NotedDesk
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner

Tools = Mapping[str, AgentTool[Any]]


@pytest.fixture
def workspace(tmp_path: Path) -> FolderWorkspace:
    return FolderWorkspace(tmp_path / "ws")


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner(lambda _: CommandResult("exited", 0, "", 0, 0.1))


@pytest.fixture
def make(workspace: FolderWorkspace, runner: ScriptedRunner) -> Callable[[], Tools]:
    """The tools of a new conversation in the workspace."""

    def tools() -> Tools:
        assignment = Assignment(
            "i", 1, "coder", "coder", "", "", 900.0, workspace=workspace, env={"PATH": "/usr/bin:/bin"},
            desk=NotedDesk(),
        )  # fmt: skip
        return tools_for("coder", assignment, runner, SimulatedClock(), lambda: 900.0)

    return tools


@pytest.fixture
def tools(make: Callable[[], Tools]) -> Tools:
    return make()


async def use(tools: Tools, name: str, **arguments: Any) -> str:
    """A call and, as the loop does it, its remembering."""
    text = await tools[name](arguments)
    tools[name].remember(arguments)
    return text


async def test_a_file_is_read_before_it_is_overwritten(tools: Tools, workspace: FolderWorkspace) -> None:
    (workspace.tree / "a").write_text("old")
    with pytest.raises(ToolRefused, match="read_file it first"):
        await use(tools, "write_file", path="a", content="new")
    assert await use(tools, "read_file", path="./a") == "old"
    await use(tools, "write_file", path="a", content="new")
    assert (workspace.tree / "a").read_text() == "new"


async def test_what_was_written_is_known_and_each_conversation_reads_for_itself(
    tools: Tools, make: Callable[[], Tools]
) -> None:
    await use(tools, "write_file", path="x/y/z.py", content="1")
    await use(tools, "write_file", path="x/y/z.py", content="2")
    with pytest.raises(ToolRefused):
        await use(make(), "write_file", path="x/y/z.py", content="3")


async def test_an_edit_is_exact_and_unique(tools: Tools, workspace: FolderWorkspace) -> None:
    path = workspace.tree / "a.py"
    path.write_text("x = 1\ny = 1\naaa\n")
    assert await use(tools, "edit_file", path="a.py", old="y = 1", new="y = 2") == "edited a.py at line 2"
    assert path.read_text() == "x = 1\ny = 2\naaa\n"
    for old, words in (
        ("= ", "stands 2 times"),
        ("nope", "does not stand"),
        ("aa", "stands 2 times"),
        ("x", "the same"),
    ):
        with pytest.raises(ToolFailed, match=words):
            await use(tools, "edit_file", path="a.py", old=old, new="x")
    with pytest.raises(ToolRefused, match="at least 1 character"):
        await use(tools, "edit_file", path="a.py", old="", new="x")
    assert path.read_text() == "x = 1\ny = 2\naaa\n"


async def test_line_ends_survive_an_edit(tools: Tools, workspace: FolderWorkspace) -> None:
    path = workspace.tree / "dos.txt"
    path.write_bytes(b"a\r\nb\r\nc\r\n")
    await use(tools, "edit_file", path="dos.txt", old="a\nb", new="a\nB\nb")
    assert path.read_bytes() == b"a\r\nB\r\nb\r\nc\r\n"


async def test_modes_survive_and_new_files_get_the_usual_one(tools: Tools, workspace: FolderWorkspace) -> None:
    script = workspace.tree / "run.sh"
    script.write_text("echo 1\n")
    script.chmod(0o755)
    await use(tools, "edit_file", path="run.sh", old="1", new="2")
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    await use(tools, "write_file", path="new", content="")
    assert stat.S_IMODE((workspace.tree / "new").stat().st_mode) == 0o666 & ~_umask()
    assert [path.name for path in workspace.path.iterdir() if path.is_file()] == []


async def test_reading_in_pieces(tools: Tools, workspace: FolderWorkspace) -> None:
    (workspace.tree / "long").write_text("".join(f"line {n}\n" for n in range(1, 5001)))
    whole = await use(tools, "read_file", path="long")
    assert whole.startswith("line 1\n") and whole.endswith("[lines 1-2000 of 5000; go on with offset 2001]")
    part = await use(tools, "read_file", path="long", offset="4999", limit=10)
    assert part == "line 4999\nline 5000\n\n[lines 4999-5000 of 5000]"
    with pytest.raises(ToolFailed, match="has 5000 lines"):
        await use(tools, "read_file", path="long", offset=5001)
    (workspace.tree / "wide").write_text("x" * 100_000)
    assert "a line was cut off" in await use(tools, "read_file", path="wide")
    (workspace.tree / "feed").write_text("a\fb\nc")
    assert await use(tools, "read_file", path="feed", offset=2) == "c\n[lines 2-2 of 2]"


async def test_binary_and_foreign_text_are_said_to_be(tools: Tools, workspace: FolderWorkspace) -> None:
    (workspace.tree / "bin").write_bytes(b"\x89PNG\0\0")
    (workspace.tree / "latin").write_bytes("für".encode("latin-1"))
    (workspace.tree / "empty").touch()
    assert "binary file of 6 bytes" in await use(tools, "read_file", path="bin")
    assert "not UTF-8" in await use(tools, "read_file", path="latin")
    assert await use(tools, "read_file", path="empty") == "[the file is empty]"
    with pytest.raises(ToolFailed, match="run_python"):
        await use(tools, "edit_file", path="latin", old="f", new="g")
    assert (workspace.tree / "latin").read_bytes() == b"f\xfcr"


async def test_sizes_are_bounded(tools: Tools, workspace: FolderWorkspace) -> None:
    with pytest.raises(ToolRefused, match="too many"):
        await use(tools, "write_file", path="big", content="ü" * 1024 * 1024 + "x")
    with pytest.raises(ToolRefused, match="halves of characters"):
        await use(tools, "write_file", path="odd", content="\ud800")
    assert list(workspace.tree.iterdir()) == []
    with (workspace.tree / "huge").open("wb") as file:
        file.truncate(3 * 1024 * 1024)
    for name, more in (("edit_file", {"old": "a", "new": "b"}), ("append_file", {"content": "x"})):
        with pytest.raises(ToolFailed, match="cannot be changed"):
            await use(tools, name, path="huge", **more)


async def test_appending_listing_and_deleting(tools: Tools, workspace: FolderWorkspace) -> None:
    assert await use(tools, "append_file", path="log/a", content="1\n") == "log/a has 2 bytes now"
    assert await use(tools, "append_file", path="log/a", content="2\n") == "log/a has 4 bytes now"
    assert await use(tools, "list_directory") == "log/"
    assert await use(tools, "list_directory", path="log/") == "a  4"
    assert await use(tools, "delete_file", path="log/a") == "deleted log/a"
    assert await use(tools, "list_directory", path="log") == "[the folder is empty]"
    for name, path in (
        ("delete_file", "log/a"),
        ("delete_file", "log"),
        ("read_file", "log"),
        ("read_file", "no/such"),
    ):
        with pytest.raises(ToolFailed):
            await use(tools, name, path=path)
    with pytest.raises(ToolFailed, match="names a folder"):
        await use(tools, "write_file", path="new/", content="")
    await use(tools, "append_file", path="log/b", content="x")
    with pytest.raises(ToolFailed, match="not a folder"):
        await use(tools, "append_file", path="log/b/c", content="x")


async def test_a_full_disk_is_nobodys_change(
    tools: Tools, workspace: FolderWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(Blocked, match="disk is full"):
        await use(tools, "write_file", path="a", content="x")
    assert [path.name for path in workspace.path.iterdir() if path.is_file()] == []


async def test_folders_of_thousands_of_files_are_listed_as_far_as_it_helps(
    tools: Tools, workspace: FolderWorkspace
) -> None:
    for folder, length in (("short", 8), ("long", 200)):
        (workspace.tree / folder).mkdir()
        for number in range(5000):
            (workspace.tree / folder / f"{number:0{length}}").touch()
    short = (await use(tools, "list_directory", path="short")).splitlines()
    assert len(short) == LISTED + 1 and short[0] == "00000000  0" and short[-1].startswith("[4500 more; ")
    long = await use(tools, "list_directory", path="long")
    shown = long.splitlines()
    assert len(long) < OUTPUT_LIMIT + 100 and shown[-1].startswith(f"[{5000 - len(shown) + 1} more; ")


async def test_git_and_search_are_commands_in_the_workspace(
    tools: Tools, workspace: FolderWorkspace, runner: ScriptedRunner
) -> None:
    def act(command: CommandLine) -> CommandResult:
        code, said = (1, "") if "grep" in command.argv else (0, "said\n")
        return CommandResult("exited", code, said, len(said), 0.1)

    runner.script = act
    (workspace.tree / "src").mkdir()
    assert await use(tools, "git_status") == "said"
    assert await use(tools, "git_diff", ref="HEAD~1") == "said"
    assert await use(tools, "git_commit", message="-m evil") == "said"
    assert await use(tools, "search_codebase", pattern="-e x", path="src") == "no matches"
    for command in runner.calls:
        assert command.argv[0] == "git" and command.folder == workspace.tree and command.env["PATH"] == "/usr/bin:/bin"
    assert runner.calls[-1].argv[-4:] == ("-e", "(*UCP)-e x", "--", "src")
    for ref in ("--output=x", "-O", "a b", "HEAD;x"):
        with pytest.raises(ToolRefused):
            await use(tools, "git_diff", ref=ref)


async def test_a_git_that_fails_says_why(tools: Tools, runner: ScriptedRunner) -> None:
    runner.script = lambda _: CommandResult("exited", 128, "fatal: bad revision 'x'\n", 24, 0.1)
    with pytest.raises(ToolFailed, match="bad revision"):
        await use(tools, "git_diff", ref="x")
    with pytest.raises(ToolFailed, match="bad revision"):
        await use(tools, "search_codebase", pattern="(")


async def test_commands_that_cannot_be_given_are_refused(tools: Tools, runner: ScriptedRunner) -> None:
    for command in (" ", "a\0b", "\ud800", "x" * 200_000):
        with pytest.raises(ToolRefused):
            await use(tools, "run_shell", command=command)
    assert not runner.calls


def test_every_tool_has_a_flat_schema_and_every_working_tool_exists(tools: Tools) -> None:
    assert set(tools) == set(role_of("coder").tools)
    for tool in tools.values():
        assert tool.spec.description and tool.spec.parameters["type"] == "object"
        assert "$ref" not in str(tool.spec.parameters) and "$defs" not in tool.spec.parameters
    required = {name: set(tool.spec.parameters.get("required", [])) for name, tool in tools.items()}
    assert required["edit_file"] == {"path", "old", "new"} and required["read_file"] == {"path"}
    assert required["list_directory"] == required["git_status"] == required["git_diff"] == set()
    commands = {name for name, tool in tools.items() if not tool.repeatable}
    assert commands == {"run_shell", "run_python", "git_commit"}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
