"""Which tools a request lists: the most used ones, and those that the agent has searched for. None is forbidden by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from aurea.agents.tools.base import AgentTool, Arguments, parse, tool_spec
from aurea.domain.messages import ToolSpec

CORE = frozenset({"read_file", "write_file", "edit_file", "list_directory", "search_codebase", "run_shell"})
MOST = 5


class SearchToolsArguments(Arguments):
    """`search_tools`."""

    query: Annotated[str, Field(description="what you want to do, or the name of a tool; empty: all")] = ""


class SearchTools(AgentTool[SearchToolsArguments]):
    """Find more tools by what they do. Those that are found can be called from then on."""

    name = "search_tools"
    arguments = SearchToolsArguments

    def __init__(self, hidden: Iterable[AgentTool[Any]]) -> None:
        super().__init__()
        self.hidden = {tool.spec.name: tool.spec for tool in hidden}
        self.found: list[str] = []
        words = f"{type(self).__doc__} There are: {', '.join(self.hidden) or 'no more'}."
        self.spec = tool_spec(self.name, words, self.arguments)

    async def act(self, arguments: SearchToolsArguments) -> str:
        """The tools that fit, with their arguments."""
        if not (names := self._find(arguments.query)):
            return f"no tool fits; there are: {', '.join(self.hidden) or 'no more'}"
        return "\n".join(_told(self.hidden[name]) for name in names)

    def remember(self, arguments: Mapping[str, object]) -> None:
        """What was found is listed from the next turn on."""
        wanted = parse(SearchToolsArguments, arguments)
        self.found += [name for name in self._find(wanted.query) if name not in self.found]

    def _find(self, query: str) -> list[str]:
        """The names that fit best, best first; all of them where nothing is asked for."""
        words = set(re.findall(r"[a-z]{3,}", query.lower()))
        if not words:
            return [] if query.strip() else list(self.hidden)
        scores = {name: _score(spec, words, query.lower()) for name, spec in self.hidden.items()}
        best = sorted((name for name, score in scores.items() if score), key=lambda name: -scores[name])
        return best[:MOST]


def listed(tools: Mapping[str, AgentTool[Any]], result: ToolSpec) -> tuple[ToolSpec, ...]:
    """What a request lists: the tools that are not hidden, the result tool, then those that were found, in that order.

    It grows at its end only, so that what a server keeps of earlier requests stays of use.
    """
    search = tools.get(SearchTools.name)
    if not isinstance(search, SearchTools):
        return (*(tool.spec for tool in tools.values()), result)
    shown = [tool.spec for name, tool in tools.items() if name not in search.hidden]
    return (*shown, result, *(search.hidden[name] for name in search.found))


def _score(spec: ToolSpec, words: set[str], query: str) -> int:
    """How well a tool fits: its name before its parts, those before words of its description."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", spec.name)  # tools of others are named in other ways
    name_words = set(re.findall(r"[a-z]{3,}", f"{spec.name} {parts}".lower()))
    described = set(re.findall(r"[a-z]{3,}", spec.description.lower()))
    named = 10 if spec.name.lower() in query else 0
    return named + 3 * len(words & name_words) + len(words & described)


def _told(spec: ToolSpec) -> str:
    required = spec.parameters.get("required", [])
    arguments = ", ".join(name if name in required else f"{name}?" for name in spec.parameters["properties"])
    return f"{spec.name}{{{arguments}}}: {spec.description}"
