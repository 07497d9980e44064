"""Process trees of commands: nothing outlives a limit, a cancel, the end of Aurea, or an attack on the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from aurea.adapters.commands import line as connection
from aurea.adapters.commands.runner import ProcessRunner
from aurea.ports import CommandLine

PATH = "/usr/local/bin:/usr/bin:/bin"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process trees are held whole on Linux only")


def line(folder: Path, *argv: str, **more: object) -> CommandLine:
    wanted: dict[str, object] = {"env": {"PATH": PATH}, "timeout_s": 30.0, "silence_s": 30.0, **more}
    return CommandLine(argv=argv, folder=folder, **wanted)  # type: ignore[arg-type]


class Marked:
    """Finds the living processes of one test by a variable in their environment."""

    def __init__(self) -> None:
        self.name = f"MARK_{uuid.uuid4().hex}"
        self.env = {"PATH": PATH, self.name: "1"}

    def living(self) -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if self.name.encode() in (entry / "environ").read_bytes():
                        found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
                except OSError:
                    continue
        return found

    async def appear(self, count: int) -> None:
        await until(lambda: len(self.living()) >= count)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come to that"
        await asyncio.sleep(0.01)


def supervisors(parent: int) -> set[int]:
    """Living fork servers and keepers that are children of `parent`."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z" and b"supervisor.server" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
async def process() -> AsyncIterator[ProcessRunner]:
    runner = ProcessRunner(None)
    yield runner
    await runner.close()
    assert supervisors(os.getpid()) == set()


@pytest.fixture
def marked() -> Iterator[Marked]:
    marked = Marked()
    yield marked
    assert marked.living() == []


# --- limits -------------------------------------------------------------------------------------------------------

# A child and a grandchild, one in a session of its own, and a daemon by double fork, all deaf to SIGTERM.
FAMILY = """
trap '' TERM
bash -c 'sleep 61 & sleep 62' &
setsid sleep 63 &
(setsid bash -c 'sleep 64 & exec sleep 65' &)
echo started
wait
"""
FAMILY_SIZE = 7


async def test_the_time_limit_ends_the_whole_tree(process: ProcessRunner, tmp_path: Path, marked: Marked) -> None:
    started = time.monotonic()
    command = line(tmp_path, "bash", "-c", FAMILY, env=marked.env, timeout_s=0.6, log=tmp_path / "log")
    task = asyncio.create_task(process.run(command))
    await marked.appear(FAMILY_SIZE)
    result = await task
    assert marked.living() == []
    assert (result.outcome, result.exit_code, result.output) == ("timeout", None, "started\n")
    assert result.reason == "not done after 0.6 s"
    assert time.monotonic() - started < 5
    assert (tmp_path / "log").read_text() == "started\n[ended: not done after 0.6 s]\n"


async def test_a_limit_lets_a_command_end_by_itself(process: ProcessRunner, tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 0' TERM; sleep 20 & wait"
    result = await process.run(line(tmp_path, "bash", "-c", script, timeout_s=0.3))
    assert (result.outcome, result.output, result.ok) == ("timeout", "bye\n", False)


async def test_silence_ends_a_command_and_output_does_not(process: ProcessRunner, tmp_path: Path) -> None:
    chatty = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done"
    quiet = await process.run(line(tmp_path, "sleep", "20", silence_s=0.4))
    assert (quiet.outcome, quiet.reason) == ("timeout", "no output for 0.4 s")
    assert (await process.run(line(tmp_path, "bash", "-c", chatty, silence_s=0.4))).ok


async def test_what_a_command_leaves_behind_ends_with_it(
    process: ProcessRunner, tmp_path: Path, marked: Marked
) -> None:
    script = FAMILY.replace("wait\n", "sleep 0.3; exit 4\n")
    result = await process.run(line(tmp_path, "bash", "-c", script, env=marked.env))  # the daemons hold its output open
    assert marked.living() == []
    assert (result.outcome, result.exit_code, result.output) == ("exited", 4, "started\n")
    assert result.seconds < 5


async def test_a_fork_bomb_is_caught(process: ProcessRunner, tmp_path: Path, marked: Marked) -> None:
    script = "f() { if (( $1 > 0 )); then f $(($1 - 1)) & f $(($1 - 1)) & fi; sleep 60; }; f 6"
    result = await process.run(line(tmp_path, "bash", "-c", script, env=marked.env, timeout_s=0.5))
    assert marked.living() == []
    assert result.outcome == "timeout"


async def test_a_command_that_kills_its_keeper_dies_with_it(
    process: ProcessRunner, tmp_path: Path, marked: Marked
) -> None:
    script = "setsid sleep 60 & kill -KILL $PPID; sleep 60"
    result = await process.run(line(tmp_path, "bash", "-c", script, env=marked.env))
    assert marked.living() == []
    assert (result.outcome, result.exit_code) == ("exited", -9)
    assert "supervisor was killed" in result.reason


async def test_a_command_that_stops_its_keeper_is_ended_all_the_same(
    process: ProcessRunner, tmp_path: Path, marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "OVERDUE_S", 0.3)
    monkeypatch.setattr(connection, "ENDING_S", 0.3)
    command = line(tmp_path, "bash", "-c", "kill -STOP $PPID; sleep 60", env=marked.env, timeout_s=0.3)
    result = await process.run(command)
    assert marked.living() == []
    assert result.outcome == "timeout" and "does not answer" in result.reason
    task = asyncio.create_task(process.run(command))
    await marked.appear(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_server_that_does_not_answer_is_replaced(
    process: ProcessRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await process.run(line(tmp_path, "true"))).ok
    os.kill(process._server._process.pid, signal.SIGSTOP)  # type: ignore[union-attr]
    monkeypatch.setattr(connection, "START_S", 1.0)
    assert (await process.run(line(tmp_path, "true"))).ok


# --- cancelling, dying, and going on ------------------------------------------------------------------------------


async def test_cancelling_leaves_nothing(process: ProcessRunner, tmp_path: Path, marked: Marked) -> None:
    task = asyncio.create_task(process.run(line(tmp_path, "bash", "-c", FAMILY, env=marked.env)))
    await marked.appear(FAMILY_SIZE)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # twice: the second one may not cut the cleaning short
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marked.living() == []


CLIENT = """
import asyncio, sys
from pathlib import Path
from aurea.adapters.commands.runner import ProcessRunner
from aurea.ports import CommandLine

async def main():
    runner = ProcessRunner(None)
    env = {"PATH": sys.argv[1], sys.argv[2]: "1"}
    line = CommandLine(("bash", "-c", sys.argv[3]), Path("/"), env, 60, 60)
    await asyncio.gather(runner.run(line), runner.run(line))

asyncio.run(main())
"""


@pytest.mark.parametrize("whole_group", [False, True])
async def test_killing_aurea_leaves_nothing(marked: Marked, whole_group: bool) -> None:
    client = subprocess.Popen([sys.executable, "-c", CLIENT, PATH, marked.name, FAMILY], start_new_session=True)
    try:
        await marked.appear(2 * FAMILY_SIZE)
        (server,) = supervisors(client.pid)
        ours = {server, *supervisors(server)}
        assert len(ours) == 3  # with a keeper for each command
    finally:
        (os.killpg if whole_group else os.kill)(client.pid, signal.SIGKILL)
        client.wait()
    await until(lambda: not marked.living())
    await until(lambda: not any(map(_runs, ours)))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", [os.kill, os.killpg])
async def test_commands_outlive_the_fork_server_and_the_next_one_gets_a_new(
    process: ProcessRunner, tmp_path: Path, marked: Marked, how: Callable[[int, int], None]
) -> None:
    script = "echo one; while [ ! -e go ]; do sleep 0.02; done; (setsid sleep 60 &); echo two"
    task = asyncio.create_task(process.run(line(tmp_path, "bash", "-c", script, env=marked.env)))
    await marked.appear(1)
    (server,) = supervisors(os.getpid())
    how(server, signal.SIGKILL)
    assert (await process.run(line(tmp_path, "true"))).ok
    (tmp_path / "go").touch()
    result = await task
    assert marked.living() == []
    assert (result.exit_code, result.output) == (0, "one\ntwo\n")


async def test_a_server_that_dies_with_a_command_in_its_hands_is_replaced(
    process: ProcessRunner, tmp_path: Path
) -> None:
    for _ in range(5):
        assert (await process.run(line(tmp_path, "true"))).ok
        (server,) = supervisors(os.getpid())
        os.kill(server, signal.SIGSTOP)  # so that it dies with the connection in its hands
        task = asyncio.create_task(process.run(line(tmp_path, "echo", "there")))
        await asyncio.sleep(0.01)
        os.kill(server, signal.SIGKILL)
        assert (await task).output == "there\n"
