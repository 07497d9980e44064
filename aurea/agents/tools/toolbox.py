"""Which tools an agent holds: its role's bundle, made anew for one conversation, and why it holds no others."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from aurea.agents.roles import WORKING, role_of
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.beneath import Beneath
from aurea.agents.tools.commands import RunPython, RunShell, Terminal
from aurea.agents.tools.discovery import CORE, SearchTools, listed
from aurea.agents.tools.files import AppendFile, DeleteFile, EditFile, FileMemory, ListDirectory, ReadFile, WriteFile
from aurea.agents.tools.git import GitCommit, GitDiff, GitLog, GitStatus
from aurea.agents.tools.search import SearchCodebase
from aurea.agents.tools.teamwork import desk_tools
from aurea.domain.errors import ToolRefused
from aurea.ports import Assignment, Clock, CommandRunner

NOT_YET = frozenset({"web_search"})

__all__ = ["listed", "pick", "tools_for"]


def tools_for(
    role: str, assignment: Assignment, commands: CommandRunner, clock: Clock, remaining: Callable[[], float]
) -> dict[str, AgentTool[Any]]:
    """The tools of `role` in the assignment's workspace, by name; none where it has no workspace.

    `remaining` tells how many seconds of the attempt's own time are left, which bounds every command.
    """
    workspace = assignment.workspace
    if workspace is None:
        return {}
    files = Beneath(workspace.tree, staging=workspace.path)
    memory = FileMemory(files)
    terminal = Terminal(commands, workspace, assignment.env, clock, remaining)
    everything: list[AgentTool[Any]] = [
        ReadFile(files, memory),
        WriteFile(files, memory),
        AppendFile(files, memory),
        EditFile(files, memory),
        ListDirectory(files),
        DeleteFile(files, memory),
        SearchCodebase(terminal, files),
        RunShell(terminal),
        RunPython(terminal),
        GitStatus(terminal),
        GitDiff(terminal),
        GitLog(terminal),
        GitCommit(terminal),
        *(desk_tools(assignment.desk) if assignment.desk is not None else ()),
    ]
    bundle = role_of(role).tools
    held = [tool for tool in everything if tool.spec.name in bundle]
    hidden = () if assignment.all_tools else [tool for tool in held if tool.spec.name not in CORE]
    return {tool.spec.name: tool for tool in (*held, SearchTools(hidden))}


def pick(tools: Mapping[str, AgentTool[Any]], name: str, role: str, result: str) -> AgentTool[Any]:
    """The tool called `name`; `ToolRefused` says why there is none, and which name may have been meant."""
    if name in tools:
        return tools[name]
    if name in NOT_YET:
        raise ToolRefused(f"{name} is not available yet")
    if name in WORKING:
        raise ToolRefused(f"the role {role} has no {name}; its tools are {', '.join([*tools, result])}")
    meant = difflib.get_close_matches(name, [*tools, result], n=1)
    hint = f"did you mean {meant[0]}?" if meant else f"the tools are {', '.join([*tools, result])}"
    raise ToolRefused(f"there is no tool {name!r}; {hint}")
