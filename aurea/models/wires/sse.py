"""Server-sent events as bytes come in: lines, and the data of each event. Knows nothing of what the data mean."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

DONE = b"[DONE]"  # what many servers send as their last event


async def lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The lines of a stream, without their ends.

    Only line feeds end a line: what else the HTTP libraries take for one (U+0085, U+2028) may stand inside of JSON.
    """
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest


async def events(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The data of each event. Names of events and comments are left out: the data of all formats say what they are."""
    data: list[bytes] = []
    async for line in lines(pieces):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []
    if data:
        yield b"\n".join(data)
