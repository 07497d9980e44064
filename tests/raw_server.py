"""A server that answers as it is told and keeps what it was asked: for exact requests, and answers of every shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any


class RawServer:
    """Answers every request with `status` and `answer` (a document, or text as it is), and keeps what was asked.

    `seen` is called with every request, before it is answered.
    """

    def __init__(self) -> None:
        self.status = "200 OK"
        self.answer: Any = {}
        self.more_headers: dict[str, str] = {}
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {}
        self.url = ""
        self.seen: Callable[[], None] = lambda: None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *rest = head.split("\r\n")
                self.path = first.split(" ")[1]
                self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest if line)}
                self.body = json.loads(await reader.readexactly(int(self.headers["content-length"])))
                self.seen()
                writer.write(self._reply())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _reply(self) -> bytes:
        data = (self.answer if isinstance(self.answer, str) else json.dumps(self.answer)).encode()
        kind = "text/html" if isinstance(self.answer, str) else "application/json"
        headers = {"content-type": kind, "content-length": str(len(data)), **self.more_headers}
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + data

    def says(self, message: dict[str, Any], finish: str | None = "stop", **more: Any) -> None:
        """Answer as chat completions do."""
        self.answer = {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """A listening server; `url` is its root."""
    server = RawServer()
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()
