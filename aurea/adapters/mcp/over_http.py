"""A server that is an address: streamable HTTP, with a bound on what it may answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

LONGEST_ANSWER = 16 * 1024 * 1024
LONGEST_EVENT = 16 * 1024 * 1024
CONNECT_S, SILENCE_S = 30.0, 300.0


@asynccontextmanager
async def streams(url: str, token: str) -> AsyncGenerator[Any, None]:
    """What the server says and is told."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx2.Timeout(CONNECT_S, read=SILENCE_S)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, event_hooks={"response": [_bound]}) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=LONGEST_EVENT) as both,
    ):
        yield both


async def _bound(response: httpx2.Response) -> None:
    """Bound the body of an answer; a stream of events may go on, its events are bounded by the SDK."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error where it is longer than anything that is told."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._stream:
            total += len(chunk)
            if total > LONGEST_ANSWER:
                raise httpx2.ReadError(f"the answer is longer than {LONGEST_ANSWER} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
