"""`kill -9` at every boundary of a five-step loop, in every format of model servers, then on to the same end.

Four tool calls, one of them a command whose effect Aurea cannot see, then the report. The process is a real one, killed
for good; another one takes up what is in the ledger. What was asked is counted by the server, aimock.

All boundaries in all formats would be too much for every day: each format takes its share of them, in turn, and all those
around the command. AUREA_TEST_EVERY_KILL=1 tries all of them in all formats.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aimock import FORMATS, named
from aurea.adapters.clock import SystemClock
from aurea.adapters.sql import SqlEventStore
from aurea.ledger.book import Book
from waiting import until

ROOT = Path(__file__).parents[2]
RUN = "run-1"
SHELL, LAST = 2, 5
CALL = (
    "after model.asked", "after budget.reserved", "during the answer", "before budget.settled", "after budget.settled",
    "after model.answered",
)  # fmt: skip
TOOL = ("after tool.started", "before tool.ended", "after tool.ended")
POINTS = (
    "before model.asked 1",
    *(f"{point} {step}" for step in range(1, LAST) for point in (*CALL, *TOOL)),
    f"during the command {SHELL}",
    *(f"{point} {LAST}" for point in (*CALL, "before tool.ended", "after tool.ended")),
)
AROUND_THE_COMMAND = tuple(f"{kind} {SHELL}" for kind in (TOOL[0], "during the command", TOOL[1]))


def points_of(format_: str) -> list[str]:
    """The boundaries to try in that format."""
    if os.environ.get("AUREA_TEST_EVERY_KILL"):
        return list(POINTS)
    turn, turns = list(FORMATS).index(format_), len(FORMATS)
    return [point for n, point in enumerate(POINTS) if n % turns == turn or point in AROUND_THE_COMMAND]


class Relay:
    """A loopback port that leads to a server; the answer to the step `hold` stays on its way for ever."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.hold: int | None = None
        self.held = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                asked: list[int] = []
                threading.Thread(target=self._ask, args=(client, server, asked), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client, asked), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, asked: list[int]) -> None:
        with client, server, suppress(OSError):
            while data := client.recv(1 << 20):
                _, _, step = data.lower().partition(b"x-aurea-step: ")
                asked.extend([int(step.partition(b"\r\n")[0])] if step else [])
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket, asked: list[int]) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 20):
                if asked and asked[-1] == self.hold:
                    client.sendall(data[:60])
                    self.held.set()
                    return
                client.sendall(data)


class Driver:
    """The processes of `kill_driver.py`, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "kill_driver.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )  # fmt: skip

    def start(self, job: dict[str, Any]) -> int:
        """The number of the process that does the job."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._said()

    def ended(self) -> int:
        """How it ended: its exit code, or minus its signal."""
        return self._said()

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _said(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.close()


@pytest.fixture
def relay(aimock: str) -> Iterator[Relay]:
    made = Relay(aimock)
    yield made
    made.close()


class Case:
    """One conversation in a folder of its own."""

    def __init__(self, driver: Driver, format_: str, server: str, folder: Path) -> None:
        self._driver = driver
        self.folder = folder
        folder.mkdir()
        self.effects, self.holding = folder / "effects", folder / "hold"
        self.job = {
            "folder": str(folder), "run": RUN, "task": "case kills", "format": format_, "server": server,
            "model": named(format_),
            "env": {"EFFECTS": str(self.effects), "HOLD": str(self.holding)},
        }  # fmt: skip

    def start(self, point: str = "", *, here: bool = False) -> int:
        return self._driver.start({**self.job, "point": point, "here": here})

    def finish(self, *, here: bool = False) -> dict[str, Any]:
        """The outcome of a process that goes on to the end."""
        self.start(here=here)
        assert self._driver.ended() == 0
        outcome: dict[str, Any] = json.loads((self.folder / "outcome.json").read_text())
        return outcome

    def killed(self, point: str, relay: Relay) -> None:
        """A process dies at that point."""
        kind, step = point.rsplit(" ", 1)
        if kind == "during the command":
            self.holding.touch()
            process = self.start()
            until(self.effects.exists)
            os.kill(process, signal.SIGKILL)
        elif kind == "during the answer":
            relay.hold = int(step)
            relay.held.clear()
            process = self.start()
            assert relay.held.wait(60)
            os.kill(process, signal.SIGKILL)
            relay.hold = None
        else:
            self.start(point)
        assert self._driver.ended() == -signal.SIGKILL
        self.holding.unlink(missing_ok=True)

    def facts(self) -> list[Any]:
        """What the ledger has."""
        book = Book(SqlEventStore(f"sqlite:///{self.folder / 'ledger.db'}"), SystemClock())
        try:
            assert not book.state(RUN).reserved or not (self.folder / "outcome.json").exists()
            return [event.fact for event in book.events(RUN)]
        finally:
            book.close()

    def tree(self) -> dict[str, str]:
        """What the attempt left."""
        return {path.name: path.read_text() for path in sorted((self.folder / "workspace" / "tree").iterdir())}


def asked(address: str) -> Counter[int]:
    """How often the server was asked each step since it was last looked at."""
    with urllib.request.urlopen(f"{address}/__aimock/journal") as answer:
        entries = json.load(answer)
    urllib.request.urlopen(urllib.request.Request(f"{address}/__aimock/reset/journal", method="POST")).close()
    assert all(entry["headers"]["x-aurea-conversation"] == "coder" for entry in entries)
    return Counter(int(entry["headers"]["x-aurea-step"]) for entry in entries)


def steps_of(facts: list[Any], kind: str) -> list[int]:
    return [fact.step for fact in facts if fact.type == kind]


@pytest.mark.parametrize("format_", FORMATS)
def test_killed_at_every_boundary(driver: Driver, relay: Relay, aimock: str, tmp_path: Path, format_: str) -> None:
    asked(aimock)
    whole = Case(driver, format_, relay.url, tmp_path / "whole")
    expected, files = whole.finish(here=True), whole.tree()
    assert expected["ended"] == "result" and asked(aimock) == dict.fromkeys(range(1, LAST + 1), 1)
    assert len(whole.effects.read_text().splitlines()) == 1
    for n, point in enumerate(points_of(format_)):
        case = Case(driver, format_, relay.url, tmp_path / str(n))
        case.killed(point, relay)
        before, first = case.facts(), asked(aimock)

        outcome = case.finish()

        kind, step = point.rsplit(" ", 1)
        assert outcome == expected and case.tree() == files, point
        facts, second = case.facts(), asked(aimock)
        assert not second.keys() & set(steps_of(before, "model.answered")), point
        in_flight = kind in ("after budget.reserved", "during the answer", "before budget.settled")
        lost = kind in (*CALL[2:-1], "after budget.settled")
        assert first + second == {n: 1 + (lost and n == int(step)) for n in range(1, LAST + 1)}, point
        in_doubt = [fact.step for fact in facts if fact.type == "budget.settled" and fact.in_doubt]
        assert in_doubt == ([int(step)] if in_flight else []), point
        assert (
            steps_of(facts, "tool.ended") == sorted({*steps_of(facts, "tool.started")}) == list(range(1, LAST + 1))
        ), point
        under_way = int(step) == SHELL and kind in ("after tool.started", "during the command", "before tool.ended")
        interrupted = [fact.step for fact in facts if fact.type == "tool.ended" and fact.outcome == "interrupted"]
        assert interrupted == ([SHELL] if under_way else []), point
        ran = case.effects.read_text().splitlines() if case.effects.exists() else []
        assert len(ran) == (0 if point == f"after tool.started {SHELL}" else 1), point
        if ran:
            until(lambda: not Path("/proc", ran[0]).exists())  # noqa: B023 - waited for here
