"""A server that speaks Ollama's own API as it is told, as slowly as it is told, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aurea.domain.messages import ModelRequest
from aurea.testing.models import asking

DONE: dict[str, Any] = {"done": True, "done_reason": "stop", "prompt_eval_count": 21, "eval_count": 4}


class OllamaServer:
    """Answers `/api/chat` with `pieces` after `waits` seconds each, and keeps what was asked, by path.

    `script`, where there is one, says by the headers of a call which tools its answer calls.
    """

    def __init__(self) -> None:
        self.script: Callable[[dict[str, str]], list[dict[str, Any]]] | None = None
        self.status = "200 OK"
        self.headers = ""
        self.pieces: list[Any] = []
        self.waits: list[float] = []
        self.load_s = 0.0
        self.load_status = "200 OK"
        self.contexts: dict[str, int] | None = {}
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.cut = False
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                lines = head.split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
                path = lines[0].split()[1]
                self.asked.append((path, headers, body))
                if self.script is not None and path == "/api/chat":
                    self.says({"content": "", "tool_calls": self.script(headers)})
                await self._answer(path, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/api/generate":
            await asyncio.sleep(self.load_s)
            await self._whole(writer, self.load_status, {"done": True, "done_reason": "load"})
        elif path == "/api/ps" and self.contexts is None:
            await self._whole(writer, "404 Not Found", "404 page not found")
        elif path == "/api/ps":
            models = [{"name": name, "model": name, "context_length": n} for name, n in self.contexts.items()]
            await self._whole(writer, "200 OK", {"models": models})
        elif self.status != "200 OK":
            await self._whole(writer, self.status, self.pieces[0])
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n")
            for n, piece in enumerate(self.pieces):
                await asyncio.sleep(self.waits[n] if n < len(self.waits) else 0)
                data = (piece if isinstance(piece, str) else json.dumps(piece)).encode() + b"\n"
                writer.write(b"%x\r\n%s\r\n" % (len(data), data))
                await writer.drain()
            if self.cut:
                raise ConnectionError
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def _whole(self, writer: asyncio.StreamWriter, status: str, answer: Any) -> None:
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{self.headers}content-length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        await writer.drain()

    def says(self, *messages: dict[str, Any], **end: Any) -> None:
        pieces = [{"model": "qwen3:8b", "message": {"role": "assistant", **one}, "done": False} for one in messages]
        self.pieces = [*pieces, {"model": "qwen3:8b", "message": {"role": "assistant", "content": ""}, **DONE, **end}]

    def bodies(self, path: str = "/api/chat") -> list[dict[str, Any]]:
        return [body for asked, _, body in self.asked if asked == path]


@asynccontextmanager
async def ollama_server() -> AsyncIterator[OllamaServer]:
    """A listening server that says `ok`."""
    server = OllamaServer()
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    server.says({"content": "ok"})
    yield server
    listening.close()


def ask(text: str = "Go on.", **more: Any) -> ModelRequest:
    """A model call of Ollama's."""
    return asking(text, model=more.pop("model", "ollama:qwen3:8b"), **more)
