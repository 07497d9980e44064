"""Searching without a key: the library `ddgs` asks public search engines, which promise nobody anything."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aurea.domain.errors import SearchFailed
from aurea.ports.web import Hit

TIMEOUT_S = 30.0
ENGINE_S = 8  # that one engine has for its answer

Ask = Callable[[str, int], list[dict[str, Any]]]


class KeylessSearch:
    """Implements `ports.WebSearch`. `ask` is the library's call, in a thread of its own that nothing waits for at the end."""

    name = "ddgs"

    def __init__(self, ask: Ask | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._ask = ask or _ask
        self._timeout = timeout_s

    async def search(self, query: str, limit: int) -> list[Hit]:
        """What the engines find together; `SearchFailed` where none of them answered."""
        try:
            found = await asyncio.wait_for(_in_thread(lambda: self._ask(query, limit)), self._timeout)
        except TimeoutError:
            raise SearchFailed("timeout", f"the search engines did not answer within {self._timeout:g} s") from None
        return [Hit(_text(hit, "title"), _text(hit, "href"), _text(hit, "body")) for hit in found[:limit]]


async def _in_thread(call: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What `call` returns or raises. The thread is a daemon: a search that hangs holds up no end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[dict[str, Any]]] = loop.create_future()

    def settle(act: Callable[[], None]) -> None:
        if not done.done():  # given up on meanwhile
            act()

    def work() -> None:
        try:
            found = call()
        except BaseException as fault:  # it is the caller's, in the other thread
            _tell(loop, lambda fault=fault: settle(lambda: done.set_exception(fault)))  # type: ignore[misc]
        else:
            _tell(loop, lambda: settle(lambda: done.set_result(found)))

    threading.Thread(target=work, name="web-search", daemon=True).start()
    return await done


def _tell(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has ended meanwhile, and with it whoever asked
        loop.call_soon_threadsafe(act)


def _ask(query: str, limit: int) -> list[dict[str, Any]]:
    from ddgs import DDGS  # takes a tenth of a second, which only runs that search should pay
    from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException

    try:
        return DDGS(timeout=ENGINE_S).text(query, max_results=limit, safesearch="moderate")
    except RatelimitException:
        raise SearchFailed("rate_limit", "the search engines take no more searches just now") from None
    except TimeoutException:
        raise SearchFailed("timeout", f"the search engines did not answer within {ENGINE_S} s") from None
    except DDGSException as fault:
        if "No results found" in str(fault):
            return []
        raise SearchFailed("network", "the search engines cannot be reached") from None


def _text(hit: dict[str, Any], name: str) -> str:
    value = hit.get(name)
    return value if isinstance(value, str) else ""
