"""A server that is a command: run under the supervisor of commands, spoken with through two named pipes.

The SDK's own transport starts a child of this process, which lives on when this process is killed. A keeper's command
ends with us, and everything it has started does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from aurea.ports import CommandResult

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]

LONGEST_LINE = 16 * 1024 * 1024
FAULTY_LINES = 100  # that are no message; servers print a banner or a few log lines by mistake
MOST_LINES, LINES_A_SECOND = 10_000, 50  # a server that says more than both together has run wild
LEAVES_S = 2.0  # how long a server may take to end by itself once nobody speaks to it any more
START = 'exec "$@" <"$0/in" >"$0/out"'


class Pipes:
    """The two pipes of one start of a server. `said` is how the command ended, and what it printed as errors."""

    def __init__(self, folder: Path, start: Callable[[tuple[str, ...]], Awaitable[CommandResult]]) -> None:
        self._folder = folder
        self._start = start
        self.said: CommandResult | None = None

    @asynccontextmanager
    async def streams(self, argv: tuple[str, ...]) -> AsyncGenerator[Streams, None]:
        """Start it; what it says and is told. Leaving the block ends it."""
        self.said = None
        shutil.rmtree(self._folder, ignore_errors=True)  # what a killed process left
        self._folder.mkdir(parents=True)
        ends = [self._pipe("in"), self._pipe("out")]
        (theirs, ours), (hear, keep) = ends
        command = asyncio.ensure_future(self._run(argv, (theirs, keep)))
        try:
            async with _spoken(ours, hear) as streams:
                yield streams
        finally:
            await _ended(command)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _pipe(self, name: str) -> tuple[int, int]:
        """A named pipe with both its ends open, so that nobody waits for the other one to come."""
        path = self._folder / name
        os.mkfifo(path, 0o600)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        return reading, os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    async def _run(self, argv: tuple[str, ...], held: tuple[int, int]) -> None:
        """Run the command; once it has ended, nobody holds its ends of the pipes any more."""
        try:
            self.said = await self._start(("/bin/sh", "-c", START, str(self._folder), *argv))
        finally:
            for end in held:
                os.close(end)


@asynccontextmanager
async def _spoken(ours: int, hear: int) -> AsyncGenerator[Streams, None]:
    """The messages of both directions, one per line."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    hearing, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), _file(hear, "rb"))
    telling, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, _file(ours, "wb"))
    heard, hear_next = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    say, to_say = anyio.create_memory_object_stream[SessionMessage](0)

    async def listen() -> None:
        faulty, lines, began = 0, 0, loop.time()
        async with heard:  # closed at the end, which ends the session
            with suppress(ValueError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                while line := await reader.readline():
                    message = _message(line)
                    lines += 1
                    faulty += message is None
                    if faulty > FAULTY_LINES or lines > MOST_LINES + LINES_A_SECOND * (loop.time() - began):
                        break
                    if message is not None:
                        await heard.send(message)

    async def speak() -> None:
        async with to_say:
            async for message in to_say:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                telling.write(f"{text}\n".encode())

    tasks = [asyncio.ensure_future(listen()), asyncio.ensure_future(speak())]
    try:
        yield hear_next, say
    finally:
        for stream in (hear_next, say):
            stream.close()
        for task in tasks:
            task.cancel()
        telling.close()
        hearing.close()


async def _ended(command: asyncio.Future[None]) -> None:
    """See the command end, by itself or not; the supervisor ends the tree of one that is cancelled."""
    with suppress(BaseException):
        await asyncio.wait({command}, timeout=LEAVES_S)
    command.cancel()
    while not command.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({command})


def _message(line: bytes) -> SessionMessage | None:
    """The message of a line; None where it is none."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None


def _file(end: int, mode: str) -> IO[bytes]:
    return os.fdopen(end, mode, buffering=0)
