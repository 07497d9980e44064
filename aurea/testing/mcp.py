"""An MCP server that is only functions. Implements `ports.mcp.ToolServer`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aurea.agents.tools.text import cut
from aurea.domain.errors import Blocked, ToolFailed
from aurea.domain.spec import McpServer
from aurea.ports.mcp import RemoteAnswer, RemoteTool

Answering = Callable[[Mapping[str, Any]], Awaitable[str | RemoteAnswer]]
LIMIT = 20_000


class FakeToolServer:
    """Offers `tools`, each with what answers its calls, which are noted. `missing` says why it cannot be started."""

    def __init__(
        self, spec: McpServer, tools: Mapping[str, tuple[RemoteTool, Answering]], *, missing: str = ""
    ) -> None:
        self.spec = spec
        self.offered = dict(tools)
        self.missing = missing
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self._closed = False

    async def tools(self) -> Sequence[RemoteTool]:
        """What it offers, as far as the spec wants it."""
        wanted = self.spec.tools
        found = [tool for tool, _ in self.offered.values() if wanted is None or tool.name in wanted]
        if self.missing or not found:
            raise Blocked(f"the MCP server {self.spec.name!r} cannot be used: {self.missing or 'none of its tools'}")
        return found

    async def call(self, tool: str, arguments: Mapping[str, Any], timeout_s: float) -> RemoteAnswer:
        """What the function of the tool says."""
        if self._closed or tool not in self.offered:
            raise ToolFailed(f"the MCP server {self.spec.name} cannot be asked")
        self.calls.append((tool, arguments))
        try:
            async with asyncio.timeout(min(timeout_s, self.spec.timeout_s)):
                said = await self.offered[tool][1](arguments)
        except TimeoutError:
            raise ToolFailed(f"the MCP server {self.spec.name}: it did not answer within {timeout_s:g} s") from None
        answer = RemoteAnswer(said) if isinstance(said, str) else said
        return RemoteAnswer(cut(answer.text, LIMIT), answer.failed)

    async def close(self) -> None:
        """No more calls."""
        self._closed = True


def remote(name: str, description: str = "", **properties: str) -> RemoteTool:
    """A tool whose arguments are of these JSON types, all required."""
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return RemoteTool(name, description, {**schema, "required": list(properties)})
