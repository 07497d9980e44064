"""Plugins that a spec names: found by their entry points, loaded, looked at, and put behind the gate like all tools."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from aurea.agents.parts import untrusted
from aurea.agents.policy import Effect, Grant
from aurea.agents.tools.base import AgentTool, parse, tool_spec
from aurea.agents.tools.plugin import GROUP, Context, PluginTool
from aurea.agents.tools.text import cut, storable
from aurea.agents.tools.toolbox import OWN
from aurea.domain.errors import Permanent, ToolFailed, UsageError
from aurea.domain.spec import ROLES, TOOL
from aurea.ports import Assignment

ANSWER = 20_000
_EFFECTS = {"read": Effect.READ, "write": Effect.WRITE, "run": Effect.RUN, "outside": Effect.OUTSIDE}


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin: the name of its entry point, and how its tools are made."""

    name: str
    make: Callable[[], Sequence[PluginTool]]

    def grants(self, role: str) -> list[Grant]:
        """Its tools for `role` as the gate sees them."""
        return [_grant(tool, self.name) for tool in self.make() if role in tool.roles]


class LoadedTool(AgentTool[Any]):
    """A tool of a plugin."""

    def __init__(
        self, tool: PluginTool, plugin: str, run: str, assignment: Assignment, remaining: Callable[[], float]
    ) -> None:
        self.spec = tool_spec(tool.name, type(tool).__doc__ or "", tool.arguments)
        self.effects = _grant(tool, plugin).effects
        self.repeatable = tool.effect == "read" if tool.repeatable is None else tool.repeatable
        self.writes = tool.effect != "read"
        self._tool = tool
        self._plugin = plugin
        self._run = run
        self._at = assignment
        self._remaining = remaining

    @property
    def grant(self) -> Grant:
        """Whose it is, the plugin says: no bundle of a role names it."""
        return _grant(self._tool, self._plugin)

    def check(self, arguments: Mapping[str, object]) -> BaseModel:
        """The arguments as the plugin's own model."""
        return parse(self._tool.arguments, arguments)

    async def act(self, arguments: Any) -> str:
        """What it answers, within the attempt's time; whatever it raises is an answer as well."""
        at, left = self._at, max(1.0, self._remaining())
        folder = at.workspace.tree if at.workspace is not None else None
        context = Context(folder, self._run, at.item, at.attempt, at.role, left)
        try:
            async with asyncio.timeout(left) as limit:
                text = await self._tool.call(arguments, context)
        except Permanent:
            raise
        except Exception as fault:
            if limit.expired():
                raise ToolFailed(f"the plugin {self._plugin} did not answer within {left:.0f} s") from None
            said = storable(f"{type(fault).__name__}: {fault}"[:2_000])
            raise ToolFailed(f"the plugin {self._plugin} failed: {self._told(said)}") from None
        if not isinstance(text, str):
            raise ToolFailed(f"the plugin {self._plugin} answered with {type(text).__name__}, not with text")
        return self._told(storable(text))

    def _told(self, text: str) -> str:
        """What it says, bounded, and fenced where nobody vouches for it."""
        return untrusted(f"plugin {self._plugin}", text, ANSWER) if self._tool.untrusted else cut(text, ANSWER)


def installed() -> list[str]:
    """The names of the plugins that are installed. Loads none of them."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load(names: Iterable[str]) -> list[Plugin]:
    """The plugins that are named; `UsageError` names the package and the entry point of one that cannot be used."""
    taken: dict[str, str] = dict.fromkeys(OWN, "Aurea itself")
    return [_loaded(name, taken) for name in names]


def tools_of(
    plugins: Iterable[Plugin], run: str, assignment: Assignment, remaining: Callable[[], float]
) -> list[AgentTool[Any]]:
    """The tools that a conversation is offered of them."""
    return [
        LoadedTool(tool, plugin.name, run, assignment, remaining)
        for plugin in plugins
        for tool in plugin.make()
        if assignment.role in tool.roles
    ]


def _loaded(name: str, taken: dict[str, str]) -> Plugin:
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if len(points) != 1:
        there = ", ".join(installed()) or "none"
        many = f"{len(points)} installed packages have" if points else "no installed package has"
        raise UsageError(f"{many} the entry point {name!r} of {GROUP}", remedy=f"installed are: {there}")
    try:
        found = points[0].load()
        plugin = Plugin(name, lambda: _made(found))
        tools = plugin.make()
    except Exception as fault:
        raise _faulty(points[0], f"cannot be loaded: {type(fault).__name__}: {fault}") from None
    for tool in tools:
        if (wrong := _wrong(tool)) is not None:
            raise _faulty(points[0], wrong)
        if tool.name in taken:
            raise _faulty(points[0], f"brings a tool {tool.name!r}, which is a name of {taken[tool.name]}")
        taken[tool.name] = f"the plugin {name}"
    return plugin


def _grant(tool: PluginTool, plugin: str) -> Grant:
    effects = {_EFFECTS[tool.effect]} | ({Effect.UNTRUSTED} if tool.untrusted else set())
    return Grant(tool.name, frozenset(effects), f"plugin:{plugin}", bundled=False)


def _made(found: Any) -> list[PluginTool]:
    made = found()
    return [made] if isinstance(made, PluginTool) else list(made)


def _wrong(tool: Any) -> str | None:
    """What keeps a tool from being used; None where it can be."""
    if not isinstance(tool, PluginTool):
        return f"gives {type(tool).__name__}, no aurea.agents.tools.plugin.PluginTool"
    name = getattr(tool, "name", None)
    if not isinstance(name, str) or not re.match(TOOL, name):
        return f"brings a tool with the name {name!r}; write letters, digits, `_` and `-`, at most 64"
    if not (inspect.isclass(tool.arguments) and issubclass(tool.arguments, BaseModel)):
        return f"brings {name!r} whose arguments are no pydantic model"
    if tool.effect not in _EFFECTS:
        return f"brings {name!r} with the effect {tool.effect!r}; the effects are {', '.join(_EFFECTS)}"
    if unknown := set(tool.roles) - set(ROLES):
        return f"brings {name!r} for the role {min(unknown)!r}, which there is not"
    if not inspect.iscoroutinefunction(tool.call):
        return f"brings {name!r} whose `call` is not `async`"
    return None


def _faulty(point: EntryPoint, why: str) -> UsageError:
    package = point.dist.name if point.dist is not None else "an unknown package"
    return UsageError(
        f"the plugin {point.name!r} (package {package}, entry point {point.value}) {why}"[:2_000],
        remedy="correct or uninstall it, or take it out of `plugins`",
    )
