"""The HTTP clients of the wires: an answer that comes as a stream is heard as it comes, and handed on as a whole one.

The vendors' libraries ask for a plain answer, with `stream: true` among the fields of the body that are ours. What comes
back is put together here, below them: one way to read an answer, no second request to a server that does not stream,
and none of the work that the libraries spend on each piece.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import httpx2

from aurea.models.faults import Kind
from aurea.models.wires.gather import ErrorEvent, Gatherer
from aurea.models.wires.sse import DONE, events

STREAM = "text/event-stream"
REST_S = 0.5  # for the end of a body after the end of what it says; then the connection is closed instead of kept
LAST_S = 5.0  # for what may follow on a whole answer, as what was used, where no server says that it is done
_NOT_OURS = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})


class Broke(Exception):
    """A streamed answer that came to no end, and why."""

    def __init__(self, kind: Kind, said: str) -> None:
        super().__init__(said)
        self.kind = kind


class Streaming:
    """One call that asks for a stream, what its answer is put together with, and what became of it.

    `begun`: pieces came, so the work was done at least in part. `plain`: the server answered, and with no stream.
    """

    def __init__(self, gatherer: Gatherer) -> None:
        self.gatherer = gatherer
        self.begun = False
        self.plain = False


_streaming: ContextVar[Streaming | None] = ContextVar("aurea_streaming", default=None)


def streaming() -> Streaming | None:
    """The call that is made here, if it asks for a stream."""
    return _streaming.get()


@contextmanager
def as_stream(call: Streaming | None) -> Iterator[None]:
    """The request that is made inside asks for a stream, or with None for a plain answer."""
    token = _streaming.set(call)
    try:
        yield
    finally:
        _streaming.reset(token)


class StreamReader(httpx2.AsyncClient):
    """A client whose streamed answers are read to the end, and look as if they had come at once."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **more: Any) -> httpx2.Response:
        """As the library's; the answer of a call that asked for a stream is whole when it is returned."""
        call = _streaming.get()
        if call is None or stream:
            return await super().send(request, stream=stream, **more)
        response = await super().send(request, stream=True, **more)
        try:
            if not response.is_success or "json" in response.headers.get("content-type", ""):
                await response.aread()
                call.plain = response.is_success
                return response
            return await _whole(call, response)
        finally:
            # What was left half-way is closed at once: the server sees it, and may stop to work.
            await response.aclose()


async def _whole(call: Streaming, response: httpx2.Response) -> httpx2.Response:
    try:
        await _gather(call, response)
        status, document = response.status_code, call.gatherer.document()
    except ErrorEvent as error:
        status, document = error.status, error.body
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _NOT_OURS]
    content = json.dumps(document).encode()
    return httpx2.Response(
        status,
        headers=[*headers, ("content-type", "application/json")],
        content=content,
        request=response.request,
    )


async def _gather(call: Streaming, response: httpx2.Response) -> None:
    gatherer, arriving = call.gatherer, _signed(call.gatherer, response)
    async with aclosing(events(arriving)) as said:
        while not gatherer.over and (data := await _next(said, LAST_S if gatherer.ended else None)) is not None:
            _take(gatherer, data)
            call.begun = True
    if gatherer.over:
        with suppress(httpx2.HTTPError, TimeoutError):
            async with asyncio.timeout(REST_S):
                async for _ in arriving:
                    pass
    elif not gatherer.ended and not call.begun and STREAM not in response.headers.get("content-type", ""):
        raise Broke("malformed", "neither a stream of events nor JSON")
    elif not gatherer.ended:
        raise Broke("connection", "the answer broke off")


async def _next(said: AsyncIterator[bytes], seconds: float | None) -> bytes | None:
    """The next event; None where the stream ends, or where nothing comes for `seconds`."""
    if seconds is None:
        return await anext(said, None)
    try:
        async with asyncio.timeout(seconds):
            return await anext(said, None)
    except TimeoutError:
        return None


async def _signed(gatherer: Gatherer, response: httpx2.Response) -> AsyncIterator[bytes]:
    async for piece in response.aiter_bytes():
        gatherer.ear.sign()
        yield piece


def _take(gatherer: Gatherer, data: bytes) -> None:
    if data.strip() == DONE:
        gatherer.done()
        return
    try:
        event = json.loads(data.decode())
        if not isinstance(event, dict):
            raise TypeError("no object")
        gatherer.add(event)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise Broke("malformed", data[:200].decode("utf-8", "replace")) from error
