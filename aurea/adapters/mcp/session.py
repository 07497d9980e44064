"""One session with one MCP server, from its start to its end, in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar

from mcp import Client, MCPError
from mcp.types import CONNECTION_CLOSED, Implementation, ToolListChangedNotification

T = TypeVar("T")
CLOSES_S = 15.0  # how long a session may take to close before its task is cancelled


class SessionLost(Exception):
    """There is nobody to ask any more, or nobody who answers."""


class AnswerLate(SessionLost):
    """There was no answer in time."""


class Session:
    """A session. The SDK's scopes are entered and left by one task; requests come from any.

    `transport` makes the streams to and from the server; `changed` is called where the server says that its list of tools
    is another one now.
    """

    def __init__(
        self, transport: AbstractAsyncContextManager[Any], version: str, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._transport = transport
        self._version = version
        self._changed = changed
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._life = asyncio.ensure_future(self._live())

    async def start(self, limit_s: float) -> None:
        """Wait until the server has introduced itself; `SessionLost` says why it did not."""
        either: set[asyncio.Future[Any]] = {self._ready, self._life}
        await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            late = f"it did not introduce itself within {limit_s:g} s"
            raise SessionLost(self._why("it was gone before it had introduced itself") if self._life.done() else late)

    async def ask(self, request: Callable[[Client], Awaitable[T]], limit_s: float) -> T:
        """What the server answers. `MCPError` is the server's own; `SessionLost` where there is no answer."""
        if self._life.done():
            raise SessionLost(self._why("it has ended"))
        asking = asyncio.ensure_future(request(self._ready.result()))
        try:
            await asyncio.wait({asking, self._life}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return _answer(asking)
        finally:
            asking.cancel()
        if self._life.done():
            raise SessionLost(self._why("it ended"))
        raise AnswerLate(f"it did not answer within {limit_s:g} s")

    async def close(self) -> None:
        """End the session and its server, however often this is cancelled."""
        self._stop.set()
        if self._ready.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._life}, timeout=CLOSES_S)
        self._life.cancel()
        while not self._life.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._life})
        if not self._life.cancelled():
            self._life.exception()  # taken note of

    async def _live(self) -> None:
        info = Implementation(name="aurea", version=self._version)
        async with Client(self._transport, client_info=info, message_handler=self._heard, cache=None) as client:
            self._ready.set_result(client)
            await self._stop.wait()

    async def _heard(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            await self._changed()

    def _why(self, words: str) -> str:
        """`words`, or what the session itself ended with."""
        if not self._life.done() or self._life.cancelled() or (fault := self._life.exception()) is None:
            return words
        return f"{words}: {told(fault)}"


def _answer(asking: asyncio.Future[T]) -> T:
    try:
        return asking.result()
    except MCPError as error:
        if error.code == CONNECTION_CLOSED:
            raise SessionLost(f"the connection ended ({error.message})") from None
        raise


def told(fault: BaseException) -> str:
    """The first fault of a group of them, in one line."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return " ".join(f"{type(fault).__name__}: {fault}".split())[:400]
