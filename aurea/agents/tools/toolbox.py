"""Which tools a conversation holds: what is on offer, put through the gate once, at its start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aurea.agents.policy import ALONE, Gate, Surroundings, admit
from aurea.agents.roles import WORKING, role_of
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.beneath import Beneath
from aurea.agents.tools.commands import RunPython, RunShell, Terminal
from aurea.agents.tools.discovery import CORE, SearchTools, listed
from aurea.agents.tools.files import AppendFile, DeleteFile, EditFile, FileMemory, ListDirectory, ReadFile, WriteFile
from aurea.agents.tools.git import GitCommit, GitDiff, GitLog, GitStatus
from aurea.agents.tools.search import SearchCodebase
from aurea.agents.tools.teamwork import CreateSubtasks, LogDesignDecision, PostInsight, RaiseEscalation, desk_tools
from aurea.agents.tools.web import SearchWeb, Web
from aurea.ports import Assignment, Clock, CommandRunner

NO_WEB = "this run has no web_search: its spec does not say `web_search: true`"
# The tools of Aurea itself, whose names nothing else may take.
OWN: Mapping[str, type[AgentTool[Any]]] = {
    tool.name: tool
    for tool in (
        *(ReadFile, WriteFile, AppendFile, EditFile, ListDirectory, DeleteFile, SearchCodebase),
        *(RunShell, RunPython, GitStatus, GitDiff, GitLog, GitCommit),
        *(PostInsight, LogDesignDecision, RaiseEscalation, CreateSubtasks, SearchTools, SearchWeb),
    )
}

__all__ = ["OWN", "Kit", "listed", "own_tools", "put_together", "tools_for"]


@dataclass(frozen=True)
class Kit:
    """The tools of one conversation, by name, and the gate that decided on them."""

    tools: Mapping[str, AgentTool[Any]]
    gate: Gate


def own_tools(
    assignment: Assignment,
    commands: CommandRunner,
    clock: Clock,
    remaining: Callable[[], float],
    web: Web | None = None,
) -> list[AgentTool[Any]]:
    """The tools of Aurea itself for the assignment's workspace, whatever its role; none where it has no workspace.

    `remaining` tells how many seconds of the attempt's own time are left, which bounds every command. `web`: the way to
    the web, None where there is none.
    """
    workspace = assignment.workspace
    if workspace is None:
        return []
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
        *([SearchWeb(web)] if web is not None else ()),
    ]
    return [tool for tool in everything if tool.spec.name not in assignment.without]


def put_together(
    role: str,
    offered: Iterable[AgentTool[Any]],
    *,
    denied: Collection[str] = (),
    around: Surroundings = ALONE,
    only: Collection[str] | None = None,
    show_all: bool = False,
) -> Kit:
    """What a conversation of `role` holds of the tools on offer. `denied`, `around`, `only`: see `policy.admit`.

    Requests list the most used ones of them; the others are found by `search_tools`, or all shown with `show_all`.
    """
    tools = {tool.spec.name: tool for tool in offered}
    if not tools:
        return Kit({}, Gate(role))
    grants = [tool.grant for tool in tools.values()]
    gate = admit(role, grants, bundle=role_of(role).tools, denied=denied, around=around, only=only)
    held = [tools[name] for name in gate.held]
    hidden = [tool for tool in held if tool.spec.name not in CORE and not isinstance(tool, SearchWeb)]
    search = SearchTools(() if show_all else hidden)
    searching = admit(role, [search.grant], bundle=[search.name], denied=denied)
    if searching.held:
        held.append(search)
    missing = {name: f"the role {role} has no {name}" for name in WORKING - set(tools) - {search.name}}
    missing |= {SearchWeb.name: NO_WEB} if SearchWeb.name not in tools else {}
    withheld = {**missing, **gate.withheld, **searching.withheld}
    return Kit({tool.spec.name: tool for tool in held}, Gate(role, {**gate.held, **searching.held}, withheld))


def tools_for(
    role: str, assignment: Assignment, commands: CommandRunner, clock: Clock, remaining: Callable[[], float]
) -> dict[str, AgentTool[Any]]:
    """The tools of `role` where nothing but Aurea's own is on offer, by name."""
    offered = own_tools(assignment, commands, clock, remaining)
    return dict(put_together(role, offered, show_all=assignment.all_tools).tools)
