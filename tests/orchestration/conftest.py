"""One real local Prefect server for all tests here, named in the environment before Prefect is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from surfaces.server.place import Place, api_url, choose_port
from surfaces.server.start import ensure_server, stop_server

HOME = Path(tempfile.mkdtemp(prefix="aurea-orchestration-")).resolve()
PORT = choose_port(Place(HOME))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

for name in [name for name in os.environ if name.startswith("PREFECT_")]:
    del os.environ[name]
os.environ |= {
    "PREFECT_API_URL": api_url(PORT),
    "PREFECT_HOME": str(HOME / "prefect"),
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "1",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here in one process, since each process would start a server of its own."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("orchestration"))


@pytest.fixture(scope="session")
def prefect_home(prepare_server: Callable[[Path], Path]) -> Iterator[Path]:
    """The home whose server is running; its keeper stops it a minute after tests that could not clean up."""
    try:
        server = ensure_server(prepare_server(HOME), idle_s=60, environ={"HOME": str(HOME)}, folder=HOME)
        assert server.api_url == os.environ["PREFECT_API_URL"]
        yield HOME
    finally:
        drain()
        stop_server(HOME, force=True)


def drain() -> None:
    """Send what Prefect has queued while the server is there: at the exit it would wait for it in vain."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=10)
    APILogWorker.drain_all(timeout=10)


@pytest.fixture(autouse=True)
def server(prefect_home: Path) -> Path:
    """Every test here talks to the server."""
    return prefect_home


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str]]]:
    """An address that takes notifications, and what it was told."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def client() -> AsyncIterator[object]:
    """A client of the server's API."""
    from prefect import get_client

    async with get_client() as opened:
        yield opened
