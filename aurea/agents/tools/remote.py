"""The tools of MCP servers as agents get them: under names of their own, checked, fenced, and never other ones later."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aurea.agents.parts import untrusted
from aurea.agents.policy import Grant, effects_of
from aurea.agents.tools.base import SUMMARY, AgentTool
from aurea.agents.tools.schemas import Checker, Unusable, shown
from aurea.agents.tools.text import cut, storable
from aurea.domain.errors import ToolFailed
from aurea.domain.messages import ToolSpec
from aurea.ports.mcp import RemoteTool, ToolServer

LONGEST_NAME = 64  # what all vendors take
DESCRIPTION = 1_000
MOST_TOLD = 200_000  # characters of all the tools of a server, with their schemas
ANSWER = 21_000  # a little more than servers' answers are cut to, so that none is cut twice


class McpTool(AgentTool[Any]):
    """A tool of an MCP server. `told` is how the model is told of it, `remote` what its server calls it."""

    def __init__(self, server: ToolServer, remote: str, told: ToolSpec, remaining: Callable[[], float]) -> None:
        self.spec = told
        self.remote = remote
        self.repeatable = server.spec.effect == "read"
        self.writes = not self.repeatable
        self.effects = effects_of(server.spec)
        self._server = server
        self._remaining = remaining
        self._checker = Checker(told.parameters)

    @property
    def grant(self) -> Grant:
        """Whose it is, the spec says: no bundle of a role names it."""
        server = self._server.spec
        return Grant(self.spec.name, self.effects, f"mcp:{server.name}", secret=server.secret, bundled=False)

    def check(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """The arguments, where the schema that the server gave takes them."""
        return self._checker.check(arguments)

    async def act(self, arguments: dict[str, object]) -> str:
        """What the server answers, fenced: whoever wrote it, it gives no orders."""
        answer = await self._server.call(self.remote, arguments, self._remaining())
        text = untrusted(f"MCP server {self._server.spec.name}", storable(answer.text), ANSWER)
        if answer.failed:
            raise ToolFailed(f"the MCP server {self._server.spec.name} says that the call failed:\n{text}")
        return text

    def summary(self, arguments: Mapping[str, object]) -> str:
        """Its arguments in one line."""
        return json.dumps(dict(arguments), ensure_ascii=False, default=str)[:SUMMARY]


def name_of(server: str, tool: str) -> str:
    """The name under which models know a tool: `SERVER_TOOL`, in letters that all vendors take."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}_{tool}")
    if len(name) <= LONGEST_NAME:
        return name
    tail = hashlib.sha256(tool.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}_{tail}"


def described(server: str, tools: Sequence[RemoteTool], taken: Sequence[str]) -> tuple[dict[str, ToolSpec], list[str]]:
    """How models are told of a server's tools, by the server's names, and which are left out, and why.

    A name that is `taken`, or that two of them would have, is given to none of them.
    """
    found: dict[str, ToolSpec] = {}
    left_out: list[str] = []
    names = [name_of(server, tool.name) for tool in tools]
    room = MOST_TOLD
    for tool, name in zip(tools, names, strict=True):
        said = storable(cut(" ".join(tool.description.split()), DESCRIPTION))
        words = f"[Tool of the MCP server {server}, in the server's own words.] {said}"
        try:
            if name in taken or names.count(name) > 1:
                raise Unusable(f"the name {name} is taken")
            told = ToolSpec(name=name, description=words, parameters=shown(tool.parameters))
            room -= len(told.model_dump_json())
            if room < 0:
                raise Unusable(f"its server has described more than {MOST_TOLD} characters of tools")
            found[tool.name] = told
        except Unusable as why:
            left_out.append(f"{tool.name[:100]}: {why}")
    return found, left_out
