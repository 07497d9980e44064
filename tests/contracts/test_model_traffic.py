"""Processes of one machine on one provider: what its server sees never exceeds what they are allowed together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

WINDOW_S, MARGIN_S = 1.2, 0.4
REQUESTS = 8

RUN = """
import asyncio, sys, urllib.request
from pathlib import Path
from aurea.adapters.clock import SystemClock
from aurea.domain.messages import ModelReply
from aurea.domain.spec import ProviderLimits
from aurea.models.limits import LimitsClient
from aurea.models.waiting import Waiting
from aurea.testing.models import asking

folder, url, window, margin, requests, calls = sys.argv[1:]

class Server:
    async def complete(self, request):
        await asyncio.to_thread(lambda: urllib.request.urlopen(url, data=b"{}").read())
        return ModelReply(text="ok")

async def main():
    client = LimitsClient(
        Server(), clock=SystemClock(), waiting=Waiting(), folder=Path(folder), address=lambda _: url,
        limits={"openai": ProviderLimits(requests_per_minute=int(requests))},
        window_s=float(window), margin_s=float(margin),
    )
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(client.complete(asking(step=n)) for n in range(int(calls))))

asyncio.run(main())
"""


class Seen:
    """A server that notes when it is asked."""

    def __init__(self) -> None:
        self.times: list[float] = []
        seen = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                seen.times.append(time.monotonic())
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Seen]:
    seen = Seen()
    yield seen
    seen.http.shutdown()
    seen.http.server_close()


def start(folder: Path, server: Seen, calls: int) -> subprocess.Popen[str]:
    words = [str(folder), server.url, str(WINDOW_S), str(MARGIN_S), str(REQUESTS), str(calls)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_two_processes_stay_within_the_limit_together_even_where_one_is_killed(server: Seen, tmp_path: Path) -> None:
    ones = [start(tmp_path / "limits", server, calls) for calls in (10, 10, 200)]
    for one in ones:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in ones:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    time.sleep(1.0)
    ones[2].kill()
    ones[2].communicate()
    for one in ones[:2]:
        one.communicate(timeout=60)
        assert one.returncode == 0

    times = sorted(server.times)
    assert len(times) >= 20
    # Of the first request and the one that is too many for a window, the second may arrive no sooner than that.
    gaps = [later - sooner for sooner, later in zip(times, times[REQUESTS:], strict=False)]
    assert min(gaps) >= WINDOW_S
