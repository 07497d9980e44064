"""The contract of `ports.CommandRunner`: what every runner keeps, and what the one that really runs commands keeps."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aurea.adapters.commands.runner import ProcessRunner
from aurea.ports import CommandLine, CommandResult, CommandRunner
from aurea.testing.commands import ScriptedRunner

PATH = "/usr/local/bin:/usr/bin:/bin"
linux = pytest.mark.skipif(sys.platform != "linux", reason="process trees are held whole on Linux only")


def line(folder: Path, *argv: str, **more: object) -> CommandLine:
    wanted: dict[str, object] = {"env": {"PATH": PATH}, "timeout_s": 30.0, "silence_s": 30.0, **more}
    return CommandLine(argv=argv, folder=folder, **wanted)  # type: ignore[arg-type]


async def scripted(command: CommandLine) -> CommandResult | None:
    """The few programs that the common part of the contract uses."""
    if command.argv[0] == "sleep":
        await asyncio.sleep(float(command.argv[1]))
    known = {"true": (0, ""), "sleep": (0, ""), "false": (1, ""), "echo": (0, " ".join(command.argv[1:]) + "\n")}
    if command.argv[0] not in known:
        return None
    code, text = known[command.argv[0]]
    return CommandResult("exited", code, text, len(text.encode()), 0.0)


@pytest.fixture
async def process() -> AsyncIterator[ProcessRunner]:
    runner = ProcessRunner(None)
    yield runner
    await runner.close()


@pytest.fixture(params=["scripted", "process"])
async def runner(request: pytest.FixtureRequest) -> AsyncIterator[CommandRunner]:
    made: CommandRunner = ScriptedRunner(scripted) if request.param == "scripted" else ProcessRunner(None)
    yield made
    await made.close()


# --- every runner -------------------------------------------------------------------------------------------------


async def test_tells_how_a_command_ended(runner: CommandRunner, tmp_path: Path) -> None:
    good = await runner.run(line(tmp_path, "echo", "grüße", log=tmp_path / "new" / "log"))
    assert (good.outcome, good.exit_code, good.output, good.total_bytes) == ("exited", 0, "grüße\n", 8)
    assert good.ok
    assert (tmp_path / "new" / "log").read_text() == "grüße\n"
    bad = await runner.run(line(tmp_path, "false"))
    assert (bad.outcome, bad.exit_code, bad.ok) == ("exited", 1, False)


async def test_a_program_that_is_not_there_is_not_run(runner: CommandRunner, tmp_path: Path) -> None:
    result = await runner.run(line(tmp_path, "no-such-program"))
    assert (result.outcome, result.exit_code, result.ok) == ("not_run", None, False)
    assert "'no-such-program'" in result.reason


async def test_cancelling_ends_the_command_at_once(runner: CommandRunner, tmp_path: Path) -> None:
    started = time.monotonic()
    task = asyncio.create_task(runner.run(line(tmp_path, "sleep", "20")))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 5
    assert (await runner.run(line(tmp_path, "true"))).ok


async def test_closing_cancels_what_runs(runner: CommandRunner, tmp_path: Path) -> None:
    task = asyncio.create_task(runner.run(line(tmp_path, "sleep", "20")))
    await asyncio.sleep(0.1)
    await runner.close()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_says_what_it_is_and_what_it_cannot(runner: CommandRunner) -> None:
    assert runner.name and runner.cannot


# --- how commands start and end -----------------------------------------------------------------------------------


async def test_a_signal_is_a_negative_exit_code(process: ProcessRunner, tmp_path: Path) -> None:
    result = await process.run(line(tmp_path, "bash", "-c", "kill -KILL $$"))
    assert (result.outcome, result.exit_code) == ("exited", -9)


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0, "'./tool' does not exist"),
        ("#!/bin/sh\n", 0o644, "'./tool' is not executable"),
        ("#!/no/such/interpreter\n", 0o755, "the interpreter that './tool' names in its first line does not exist"),
        ("neither\n", 0o755, "'./tool' is neither a program for this machine nor a script with a #! line"),
    ],
)
async def test_says_why_a_program_cannot_start(
    process: ProcessRunner, tmp_path: Path, content: str | None, mode: int, reason: str
) -> None:
    if content is not None:
        (tmp_path / "tool").write_text(content)
        (tmp_path / "tool").chmod(mode)
    result = await process.run(line(tmp_path, "./tool", log=tmp_path / "log"))
    assert (result.outcome, result.reason) == ("not_run", reason)
    assert (tmp_path / "log").read_text() == f"[not run: {reason}]\n"


async def test_a_path_is_taken_from_the_folder_and_a_name_from_the_given_path(
    process: ProcessRunner, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name, text in (("bin/tool", "from bin"), ("tool", "from folder")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {text}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": str(tmp_path / "bin")}
    assert (await process.run(line(tmp_path, "./tool", env=env))).output == "from folder\n"
    assert (await process.run(line(tmp_path, "tool", env=env))).output == "from bin\n"


async def test_the_first_file_on_the_path_that_can_run_is_taken(process: ProcessRunner, tmp_path: Path) -> None:
    for name, mode in (("a", 0o644), ("b", 0o755), ("c", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(f"#!/bin/sh\necho {name}\n")
        (tmp_path / name / "tool").chmod(mode)
    (tmp_path / "d" / "tool").mkdir(parents=True)

    async def on(*folders: str) -> CommandResult:
        return await process.run(line(tmp_path, "tool", env={"PATH": ":".join(str(tmp_path / f) for f in folders)}))

    assert (await on("d", "a", "b", "c")).output == "b\n"
    assert (await on("d", "a")).reason == "'tool' is not executable"
    assert (await on("d")).reason == "'tool' is not on PATH"


async def test_a_missing_folder_is_not_run(process: ProcessRunner, tmp_path: Path) -> None:
    result = await process.run(line(tmp_path / "gone", "true"))
    assert result.outcome == "not_run"
    assert result.reason == f"cannot enter the folder {str(tmp_path / 'gone')!r}: No such file or directory"


async def test_gets_exactly_the_environment_given(process: ProcessRunner, tmp_path: Path) -> None:
    os.environ["AUREA_TEST_KEY"] = "secret"
    try:
        result = await process.run(line(tmp_path, "/usr/bin/env", env={"A": "1", "B": "ü b\nc"}))
    finally:
        del os.environ["AUREA_TEST_KEY"]
    assert result.output == "A=1\nB=ü b\nc\n"


@linux
async def test_the_supervisor_holds_no_keys_of_ours(process: ProcessRunner, tmp_path: Path) -> None:
    result = await process.run(line(tmp_path, "bash", "-c", "tr '\\0' '\\n' < /proc/$PPID/environ"))
    assert "HOME" not in result.output


@linux
async def test_inherits_nothing(process: ProcessRunner, tmp_path: Path) -> None:
    script = "ls /proc/self/fd; umask; ulimit -c; trap; (: < /dev/tty) 2> /dev/null && echo terminal; head -c1 | wc -c"
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        result = await process.run(line(tmp_path, "bash", "-c", script))
    assert result.output.split() == ["0", "1", "2", "3", "0022", "0", "0"]  # 3 is what `ls` reads


async def test_standard_input_is_what_is_given(process: ProcessRunner, tmp_path: Path) -> None:
    given = b"x" * 1_000_000
    assert (await process.run(line(tmp_path, "wc", "-c", stdin=given))).output.split() == ["1000000"]
    assert (await process.run(line(tmp_path, "wc", "-c"))).output.split() == ["0"]


# --- output -------------------------------------------------------------------------------------------------------


async def test_two_hundred_megabytes_are_drained_and_bounded(process: ProcessRunner, tmp_path: Path) -> None:
    script = "echo first; head -c 200000000 /dev/zero; echo; echo last"
    started = time.monotonic()
    result = await process.run(line(tmp_path, "bash", "-c", script, log=tmp_path / "log"))
    assert time.monotonic() - started < 20
    assert result.total_bytes == 200_000_012
    assert result.output.startswith("first\n") and result.output.endswith("\nlast\n")
    assert len(result.output) <= 65_536
    kept = (tmp_path / "log").read_bytes()
    missing = 200_000_012 - 2 * 512 * 1024
    assert f"\n... {missing} bytes left out ...\n".encode() in kept
    assert kept.startswith(b"first\n") and kept.endswith(b"\nlast\n") and len(kept) < 1_100_000


async def test_the_log_of_a_middling_output_is_whole(process: ProcessRunner, tmp_path: Path) -> None:
    result = await process.run(line(tmp_path, "seq", "150000", log=tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "".join(f"{n}\n" for n in range(1, 150_001))
    assert result.output.startswith("1\n2\n") and result.output.endswith("\n150000\n")
    assert "bytes left out" in result.output


async def test_standard_output_and_error_come_in_order(process: ProcessRunner, tmp_path: Path) -> None:
    result = await process.run(line(tmp_path, "bash", "-c", "echo 1; echo 2 >&2; echo 3"))
    assert result.output == "1\n2\n3\n"


async def test_bytes_that_are_no_text_are_replaced(process: ProcessRunner, tmp_path: Path) -> None:
    result = await process.run(line(tmp_path, "printf", r"a\xffb\xe2\x82\xac\n", log=tmp_path / "log"))
    assert result.output == "a\ufffdb€\n"
    assert (tmp_path / "log").read_bytes() == b"a\xffb\xe2\x82\xac\n"


# --- many of them -------------------------------------------------------------------------------------------------


async def test_thirty_at_once(process: ProcessRunner, tmp_path: Path) -> None:
    started = time.monotonic()
    command = line(tmp_path, "bash", "-c", "echo $0; sleep 0.5", "x")
    results = await asyncio.gather(*(process.run(command) for _ in range(30)))
    assert [r.output for r in results] == ["x\n"] * 30
    assert time.monotonic() - started < 10


async def test_no_more_than_the_limit_run_at_a_time(tmp_path: Path) -> None:
    runner = ProcessRunner(2)
    script = "mkdir a 2>/dev/null || mkdir b 2>/dev/null || exit 9; sleep 0.05; rmdir b 2>/dev/null || rmdir a"
    try:
        results = await asyncio.gather(*(runner.run(line(tmp_path, "bash", "-c", script)) for _ in range(8)))
    finally:
        await runner.close()
    assert [r.exit_code for r in results] == [0] * 8


async def test_a_closed_runner_starts_again(tmp_path: Path) -> None:
    runner = ProcessRunner(None)
    for _ in range(2):
        assert (await runner.run(line(tmp_path, "true"))).ok
        await runner.close()
