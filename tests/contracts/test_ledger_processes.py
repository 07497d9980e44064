"""One ledger, several processes: no gap between their events, and nothing acknowledged is lost to a kill."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from aurea.adapters.clock import SystemClock
from aurea.adapters.sql import SqlEventStore
from aurea.ledger.book import Book
from aurea.ledger.verify import verify
from aurea.testing import drafts

APPEND = """
import asyncio, sys
from aurea.adapters.clock import SystemClock
from aurea.adapters.sql import SqlEventStore
from aurea.ledger.book import Book
from aurea.testing import drafts

async def main(url, name, count, pause):
    book = Book(SqlEventStore(url), SystemClock())

    async def record(run, conversation):
        for step in range(count):
            events = await book.record(run, [drafts.asked(step, conversation)])
            print(events[0].seq, flush=True)
            await asyncio.sleep(pause)

    await book.record("run-" + name, [drafts.created()])
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(record(run, f"{name}-{n}") for n in range(3) for run in ("shared", "run-" + name)))
    state = book.refresh("shared")
    assert sum(1 for place in state.asked if place[2].startswith(name)) == 3 * count
    book.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
"""


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request, tmp_path, new_database):
    made = f"sqlite:///{tmp_path}/ledger.db" if request.param == "sqlite" else new_database(request.param)
    book = Book(SqlEventStore(made), SystemClock())
    book.append("shared", [drafts.created()])
    book.close()
    return made


@pytest.fixture
def process(url):
    """Starts processes that append once they are told to; the ones that live on are killed at the end."""
    started = []

    def start(name, count, pause=0.0):
        command = [sys.executable, "-c", APPEND, url, name, str(count), str(pause)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        started.append(subprocess.Popen(command, text=True, **pipes))
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    yield start
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


def sound(url, tmp_path):
    store = SqlEventStore(url)
    found = verify(store, tmp_path)
    rows = list(store.rows())
    store.close()
    assert found.problems == ()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    return rows


def test_two_processes_append_to_one_ledger(url, process, tmp_path):
    both = [process("one", 40, 0.01), process("two", 40, 0.01)]
    for each in both:
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in both:
        _, complaints = each.communicate(timeout=60)
        assert each.returncode == 0, complaints
    rows = sound(url, tmp_path)
    assert len(rows) == 1 + 2 * (1 + 6 * 40)
    shared = [row.payload for row in rows if row.run == "shared"]
    assert len(shared) == len(set(shared)) == 1 + 2 * 3 * 40
    # They really took turns, so that each had to take in what the other wrote.
    writers = ["one-" in payload for payload in shared[1:]]
    assert sum(one is not two for one, two in itertools.pairwise(writers)) > 1


def test_what_was_acknowledged_survives_a_kill(url, process, tmp_path):
    victim = process("one", 100_000)
    victim.stdin.write("go\n")
    victim.stdin.flush()
    told = [victim.stdout.readline() for _ in range(50)]
    time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    # Read through the same buffer as the lines before: `communicate` would lose what that already holds.
    told += victim.stdout.readlines()
    assert victim.wait(30) == -signal.SIGKILL
    acknowledged = {int(line) for line in told if line.endswith("\n")}
    rows = sound(url, tmp_path)
    assert acknowledged <= {row.seq for row in rows}
    survivor = process("two", 5)
    _, complaints = survivor.communicate("go\n", timeout=60)
    assert survivor.returncode == 0, complaints
    assert len(sound(url, tmp_path)) == len(rows) + 1 + 6 * 5
