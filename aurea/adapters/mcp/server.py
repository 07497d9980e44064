"""An MCP server of a run: started when it is needed, asked, started anew once, and ended with everything it started."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcp import Client, MCPError
from mcp.types import Tool

from aurea.adapters.mcp import content, over_http
from aurea.adapters.mcp.over_pipes import Pipes
from aurea.adapters.mcp.session import AnswerLate, Session, SessionLost, told
from aurea.domain.errors import Blocked, ToolFailed
from aurea.domain.events import McpNoted
from aurea.domain.spec import McpServer
from aurea.ports import CommandResult
from aurea.ports.mcp import RemoteAnswer, RemoteTool

MOST_TOOLS = 128
MOST_PAGES = 32
RESTARTS = 1
PROBE_S = 5.0  # how long a server that was late once may take to show that it still answers
SAID, LAST_WORDS = 1_500, 200  # characters of what a server had printed that cannot be started, and of one that ended

Start = Callable[[tuple[str, ...]], Awaitable[CommandResult]]
Note = Callable[[McpNoted], Awaitable[None]]


class SdkToolServer:
    """A server that the official SDK speaks with. Implements `ports.mcp.ToolServer`.

    `start` runs its command to the end; `folder` is for its pipes; `token` is sent to its address; `note` records what
    happened to it.
    """

    def __init__(
        self, spec: McpServer, *, version: str, start: Start, folder: Path, token: str = "", note: Note
    ) -> None:
        self.spec = spec
        self._version = version
        self._pipes = Pipes(folder, start)
        self._token = token
        self._note = note
        self._lock = asyncio.Lock()
        self._session: Session | None = None
        self._lost = self._late = self._gone = self._closed = False
        self._restarts = 0
        self._known: tuple[RemoteTool, ...] = ()

    async def tools(self) -> Sequence[RemoteTool]:
        """What it offers now; where it is gone for good, what it had offered: calls then fail in words."""
        try:
            found = await (await self._alive()).ask(_listed, self.spec.timeout_s)
        except SessionLost as lost:
            self._lost = True
            if not self._known:
                raise self._blocked(f"it did not tell its tools: {lost}") from None
            return self._known
        except Blocked:
            raise
        except Exception as fault:
            raise self._blocked(f"it did not tell its tools: {told(fault)}") from None
        wanted = self.spec.tools
        tools = tuple(_remote(tool) for tool in found if wanted is None or tool.name in wanted)
        if not tools:
            names = ", ".join(tool.name for tool in found) or "none"
            raise self._blocked(f"it has none of the tools that are wanted; its tools are: {names}")
        if self._known and tools != self._known:
            await self._say("changed", "its tools are others now; conversations under way keep those they began with")
        if not self._known and (missing := set(wanted or ()) - {tool.name for tool in tools}):
            await self._say("left_out", f"it has no {', '.join(sorted(missing))}")
        self._known = tools
        return tools

    async def call(self, tool: str, arguments: Mapping[str, Any], timeout_s: float) -> RemoteAnswer:
        """What the tool answers. Never repeated here: nobody knows what a call that was lost has done."""
        limit = max(1.0, min(timeout_s, self.spec.timeout_s))
        try:
            session = await self._alive()
        except SessionLost as lost:
            self._lost = True
            raise ToolFailed(f"the MCP server {self.spec.name} cannot be asked: {lost}") from None
        try:
            result = await session.ask(lambda client: client.call_tool(tool, dict(arguments)), limit)
        except SessionLost as lost:
            if isinstance(lost, AnswerLate):
                self._late = True
            else:
                self._lost = True
            raise ToolFailed(f"the MCP server {self.spec.name}: {lost}; what the call has done is unknown") from None
        except MCPError as error:
            return RemoteAnswer(error.message[: content.LIMIT], failed=True)
        except Exception as fault:  # whatever a faulty server makes the SDK raise
            return RemoteAnswer(f"its answer cannot be read: {told(fault)}", failed=True)
        return RemoteAnswer(content.told(result), failed=result.is_error)

    async def close(self) -> None:
        """End it; it is not started again."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _alive(self) -> Session:
        """The session, begun or begun anew where that is needed; `SessionLost` where it was so once already."""
        async with self._lock:
            if self._closed:
                raise SessionLost("the run is at its end")
            if self._session is None:
                self._session = await self._begun()
                where = shlex.join(self.spec.command) if self.spec.command else self.spec.url
                await self._say("started", str(where))
            if self._late and not self._lost:
                self._lost = not await self._answers(self._session)
                self._late = False
            if self._lost:
                await self._again(self._session)
            return self._session

    async def _again(self, old: Session) -> None:
        """A new session. A command is started anew once in a run; an address is asked again with every call."""
        if self.spec.command is not None and self._restarts >= RESTARTS:
            raise SessionLost("it ended, and it was restarted before")
        self._restarts += 1
        await old.close()
        if not self._gone:
            self._gone = True
            await self._say("ended", self._printed(LAST_WORDS) or "it gave no reason")
        try:
            self._session = await self._begun()
        except Blocked as blocked:
            raise SessionLost(blocked.message) from None
        self._lost = self._gone = False
        await self._say("restarted", "it had ended, or did not answer any more")

    async def _begun(self) -> Session:
        argv, url = self.spec.command, self.spec.url
        transport = over_http.streams(url, self._token) if url is not None else self._pipes.streams(argv or ())
        session = Session(transport, self._version, self._changed)
        try:
            await session.start(self.spec.timeout_s)
        except BaseException as fault:
            await session.close()
            if not isinstance(fault, SessionLost):
                raise
            raise self._blocked(f"{fault}{_also(self._printed())}") from None
        return session

    async def _answers(self, session: Session) -> bool:
        try:
            await session.ask(_listed, PROBE_S)
        except SessionLost:
            return False
        except Exception:  # an answer, however faulty
            return True
        return True

    async def _changed(self) -> None:
        await self._say("changed", "it says that its tools are others now; conversations under way keep theirs")

    async def _say(self, what: str, text: str) -> None:
        await self._note(McpNoted.model_validate({"server": self.spec.name, "what": what, "text": text[:SAID]}))

    def _blocked(self, why: str) -> Blocked:
        where = shlex.join(self.spec.command) if self.spec.command else str(self.spec.url)
        return Blocked(f"the MCP server {self.spec.name!r} cannot be used: {why}", remedy=f"see that it works: {where}")

    def _printed(self, most: int = SAID) -> str:
        """How its command ended, and the end of what it printed as errors."""
        said = self._pipes.said
        if said is None:
            return ""
        how = said.reason or f"exit code {said.exit_code}"
        return f"{how}: {said.output.strip()[-most:]}" if said.output.strip() else how


async def _listed(client: Client) -> list[Tool]:
    found: list[Tool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor or len(found) >= MOST_TOOLS:
            break
    return found[:MOST_TOOLS]


def _remote(tool: Tool) -> RemoteTool:
    return RemoteTool(tool.name, tool.description or "", json.loads(json.dumps(tool.input_schema)))


def _also(printed: str) -> str:
    return f"; {printed}" if printed else ""
