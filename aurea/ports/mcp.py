"""Servers of tools that are not Aurea's own, which speak MCP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aurea.domain.spec import McpServer


@dataclass(frozen=True)
class RemoteTool:
    """A tool as its server describes it; nothing of it has been looked at."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class RemoteAnswer:
    """What a server answered to a call, in its words; `failed`: it says that the call went wrong."""

    text: str
    failed: bool = False


class ToolServer(Protocol):
    """One MCP server of one run. Started when it is first needed, and once more where it ended or hangs."""

    spec: McpServer

    async def tools(self) -> Sequence[RemoteTool]:
        """What it offers now, as far as the spec wants it; `Blocked` where it cannot be started, or offers nothing."""
        ...

    async def call(self, tool: str, arguments: Mapping[str, Any], timeout_s: float) -> RemoteAnswer:
        """What the tool answers, cut to what can be told; `ToolFailed` where there is no answer."""
        ...

    async def close(self) -> None:
        """End it, with everything it has started."""
        ...
