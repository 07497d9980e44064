"""Every search engine finds the same pages in the same shape, and says in the same words what keeps it from answering."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aimock import WIRE, missing
from aurea.adapters.web import engine, engine_name
from aurea.adapters.web.keyless import KeylessSearch
from aurea.adapters.web.tavily import TavilySearch
from aurea.domain.errors import SearchFailed
from aurea.ports.web import Hit, WebSearch
from aurea.settings import Settings
from aurea.testing.web import FixedSearch
from raw_server import raw_server

KEY = "tvly-dev-0123456789abcdef"
PAGES = [
    Hit("Tides", "https://example.org/tides", "Twice a day."),
    Hit("Spring tides", "https://example.org/spring", "At full and new moon."),
]
HTML = "".join(f"<li><a href='{page.url}'>{page.title}</a><p>{page.excerpt}</p></li>" for page in PAGES)


@pytest.fixture(scope="module")
def tavily() -> Iterator[str]:
    """The address of a search service that nobody here wrote."""
    if why := missing():
        pytest.skip(why)
    server = subprocess.Popen(
        ["node", "search.mjs"], cwd=WIRE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.communicate(timeout=10)


@pytest.fixture
def engines_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the library for searches without a key know one engine only, at an address of ours."""
    from ddgs import ddgs
    from ddgs.base import BaseSearchEngine

    def at(url: str) -> None:
        class Local(BaseSearchEngine[Any]):
            name, category, provider, search_method = "local", "text", "local", "POST"
            search_url = url
            items_xpath = "//li"
            elements_xpath: ClassVar = {"title": ".//a//text()", "href": ".//a/@href", "body": ".//p//text()"}

            def build_payload(self, query: str, *words: Any, **more: Any) -> dict[str, Any]:
                return {"q": query}

            def request(self, *args: Any, **kwargs: Any) -> Any:
                return super().request(*args, json=kwargs.pop("data"), **kwargs)

        monkeypatch.setattr(ddgs, "ENGINES", {"text": {"local": Local}})

    return at


@pytest.fixture(params=["fixed", "tavily", "ddgs"])
async def search(request: pytest.FixtureRequest) -> AsyncIterator[WebSearch]:
    """Each engine where it finds two pages about tides, and nothing else."""
    if request.param == "fixed":
        yield FixedSearch({"tides": PAGES})
    elif request.param == "tavily":
        yield TavilySearch(KEY, request.getfixturevalue("tavily"))
    else:
        async with raw_server() as server:
            request.getfixturevalue("engines_at")(server.url)
            server.answer = f"<ul>{HTML}</ul>"
            yield KeylessSearch()


async def test_pages_are_found_in_order(search: WebSearch) -> None:
    assert await search.search("tides", 5) == PAGES
    assert await search.search("tides", 1) == PAGES[:1]


@pytest.mark.parametrize("search", ["fixed", "tavily"], indirect=True)
async def test_nothing_found_is_no_fault(search: WebSearch) -> None:
    assert await search.search("xyzzy", 5) == []


async def test_nothing_found_without_a_key_is_no_fault(engines_at: Any) -> None:
    async with raw_server() as server:
        engines_at(server.url)
        server.answer = "<ul></ul>"
        assert await KeylessSearch().search("xyzzy", 5) == []


async def test_what_tavily_is_asked() -> None:
    async with raw_server() as server:
        server.answer = {"results": []}
        assert await TavilySearch(KEY, server.url + "/").search("tides", 3) == []
        assert server.path == "/search" and server.headers["authorization"] == f"Bearer {KEY}"
        assert server.body == {"query": "tides", "max_results": 3, "search_depth": "basic"}


@pytest.mark.parametrize(("status", "answer", "headers", "kind", "said"), [
    ("429 Too Many Requests", {"detail": {"error": KEY}}, {"retry-after": "7"}, "rate_limit", "asks to wait 7 s"),
    ("401 Unauthorized", {"detail": {"error": KEY}}, {}, "key", "TAVILY_API_KEY"),
    ("432 Plan", {}, {}, "quota", "allows no more"), ("500 Oops", "<html>", {}, "server", "status 500"),
    ("302 Found", {}, {"location": "http://127.0.0.1:1/"}, "server", "status 302"),
    ("200 OK", "<html>", {}, "answer", "no list"), ("200 OK", {"results": None}, {}, "answer", "no list"),
    ("200 OK", {"results": ["x"]}, {}, "answer", "no list"), ("200 OK", {"results": "x" * 2_000_001}, {}, "answer", "bytes"),
])  # fmt: skip
async def test_what_tavily_refuses_is_told(
    status: str, answer: Any, headers: dict[str, str], kind: str, said: str
) -> None:
    async with raw_server() as server:
        server.status, server.answer, server.more_headers = status, answer, headers
        with pytest.raises(SearchFailed) as failed:
            await TavilySearch(KEY, server.url).search("tides", 3)
    assert failed.value.kind == kind and said in failed.value.message
    assert KEY not in str(failed.value), "whatever the server says"


async def test_a_page_without_all_its_parts_is_still_one() -> None:
    async with raw_server() as server:
        server.answer = {"results": [{"url": "https://example.org", "title": None}]}
        assert await TavilySearch(KEY, server.url).search("tides", 3) == [Hit("", "https://example.org", "")]


async def test_no_server_and_one_that_is_silent() -> None:
    with pytest.raises(SearchFailed) as failed:
        await TavilySearch(KEY, "http://127.0.0.1:1").search("tides", 3)
    assert failed.value.kind == "network"
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        with pytest.raises(SearchFailed) as failed:
            await TavilySearch(KEY, url, timeout_s=0.2).search("tides", 3)
    assert failed.value.kind == "timeout"


async def test_a_key_that_no_header_can_hold_is_told_as_one() -> None:
    with pytest.raises(SearchFailed) as failed:
        await TavilySearch("tvly-\u00e9", "http://127.0.0.1:1").search("tides", 3)
    assert failed.value.kind == "key" and "TAVILY_API_KEY" in failed.value.message


async def test_without_a_network_the_keyless_search_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library as it is: its engines are out of reach behind a proxy that is not there."""
    monkeypatch.setenv("DDGS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(SearchFailed) as failed:
        await KeylessSearch().search("tides", 3)
    assert failed.value.kind == "network" and "127.0.0.1" not in failed.value.message


async def test_a_keyless_search_that_hangs_is_given_up() -> None:
    def hangs(query: str, limit: int) -> list[dict[str, Any]]:
        asyncio.run(asyncio.sleep(3600))
        return []

    with pytest.raises(SearchFailed) as failed:
        await KeylessSearch(hangs, timeout_s=0.1).search("tides", 3)
    assert failed.value.kind == "timeout"


def test_the_key_decides_and_shows_nowhere(tmp_path: Path) -> None:
    bare = Settings.read({"HOME": str(tmp_path)})
    assert engine(bare).name == engine_name(bare) == "ddgs"
    settings = Settings.read(
        {"HOME": str(tmp_path), "TAVILY_API_KEY": KEY, "TAVILY_API_BASE_URL": "http://127.0.0.1:9"}
    )
    assert engine(settings).name == engine_name(settings) == "tavily" and KEY not in repr(settings)
