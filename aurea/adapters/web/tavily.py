"""Tavily by its HTTP API: one request for a search, nothing tried again."""

from __future__ import annotations

import json
from typing import Any

import httpx

from aurea.domain.errors import SearchFailed
from aurea.ports.web import Hit

PUBLIC = "https://api.tavily.com"
TIMEOUT_S = 20.0
MOST_BYTES = 2_000_000


class TavilySearch:
    """Implements `ports.WebSearch`. The key goes into one header, and into no message."""

    name = "tavily"

    def __init__(self, key: str, base_url: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._key = key
        self._url = (base_url or PUBLIC).rstrip("/") + "/search"
        self._timeout = timeout_s

    async def search(self, query: str, limit: int) -> list[Hit]:
        """What Tavily finds; `SearchFailed` in the words of a person who may have to mend it."""
        asked = {"query": query, "max_results": limit, "search_depth": "basic"}
        headers = {"Authorization": f"Bearer {self._key}", "X-Client-Source": "aurea"}
        try:
            # No redirects: the key is for the named host alone.
            async with (
                httpx.AsyncClient(timeout=self._timeout) as client,
                client.stream("POST", self._url, json=asked, headers=headers) as answer,
            ):
                body = await _body(answer)
        except httpx.TimeoutException:
            raise SearchFailed("timeout", f"tavily did not answer within {self._timeout:g} s") from None
        except UnicodeError:
            raise SearchFailed("key", "the key in TAVILY_API_KEY holds characters that no key has") from None
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise SearchFailed("network", f"tavily cannot be reached: {type(fault).__name__}") from None
        if answer.status_code != httpx.codes.OK:
            raise _refused(answer)
        return _hits(body, limit)


async def _body(answer: httpx.Response) -> bytes:
    body = b""
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MOST_BYTES:
            raise SearchFailed("answer", f"tavily answered with more than {MOST_BYTES} bytes")
    return body


def _refused(answer: httpx.Response) -> SearchFailed:
    match answer.status_code:
        case 429:
            wait = answer.headers.get("retry-after", "")
            later = f"; it asks to wait {wait} s" if wait.isdecimal() else ""
            return SearchFailed("rate_limit", f"tavily takes no more searches just now{later}")
        case 401:
            return SearchFailed("key", "tavily does not take the key in TAVILY_API_KEY")
        case 402 | 403 | 432 | 433:
            return SearchFailed("quota", "the plan of the key in TAVILY_API_KEY allows no more searches")
        case status:
            return SearchFailed("server", f"tavily answered with status {status}")


def _hits(body: bytes, limit: int) -> list[Hit]:
    try:
        found: Any = json.loads(body)["results"]
        return [Hit(_text(hit, "title"), _text(hit, "url"), _text(hit, "content")) for hit in found[:limit]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SearchFailed("answer", "tavily answered with what is no list of results") from None


def _text(hit: Any, name: str) -> str:
    value = hit.get(name)
    return value if isinstance(value, str) else ""
