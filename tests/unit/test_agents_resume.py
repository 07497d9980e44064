"""Killed at any moment and taken up again: the same end, no answered call asked again, no finished tool done again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from aurea.ports import CommandLine, CommandResult
from aurea.testing.agents import REPORT, RUN, Bench, Crash, CrashingLedger, reply

ONCE = "once\n"
TURNS = [
    reply(("write_file", {"path": "log.txt", "content": ONCE}), ("list_directory", {}), text="first"),
    reply(("append_file", {"path": "log.txt", "content": ONCE}), ("run_shell", {"command": "make"})),
    reply(text="hm"),
    reply(("edit_file", {"path": "base.txt", "old": "a", "new": "ab"}), ("delete_file", {"path": "gone.txt"})),
    reply(("read_file", {"path": "old.txt"}), ("write_file", {"path": "../x", "content": ""})),
    reply(
        ("write_file", {"path": "old.txt", "content": "new\n"}), ("write_file", {"path": "made.txt", "content": "m"})
    ),
    reply(("submit_report", {"summary": ""}), ("git_commit", {"message": "work"})),
    reply(REPORT),
]
RECORDS = 40


def bench_in(folder: Path) -> Bench:
    """The scripted attempt, its commands counted by what they leave in the tree."""

    def act(command: CommandLine) -> CommandResult:
        name = "made" if command.argv[-1] == "make" else "git"
        with (command.folder / name).open("a") as file:
            file.write(f"{command.argv[-1]}\n")
        return CommandResult("exited", 0, "ok", 2, 0.5)

    bench = Bench(folder, TURNS, commands=act)
    (bench.tree / "base.txt").write_text("a\n")
    (bench.tree / "gone.txt").write_text("bye\n")
    (bench.tree / "old.txt").write_text("old\n")
    return bench


def files(bench: Bench) -> dict[str, str]:
    """What the attempt left."""
    return {path.name: path.read_text() for path in sorted(bench.tree.iterdir())}


async def test_the_script_makes_as_many_records_as_are_tried(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    assert (await bench.run(CrashingLedger(bench.fresh_book(), RECORDS + 1, after=False))).ended == "result"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, RECORDS + 1))
async def test_killed_at_every_record(tmp_path: Path, at: int, after: bool) -> None:
    whole = bench_in(tmp_path / "whole")
    expected = await whole.run()
    bench = bench_in(tmp_path / "killed")
    with pytest.raises(Crash):
        await bench.run(CrashingLedger(bench.fresh_book(), at, after=after))
    answered = set(bench.book.state(RUN).journal)
    asked = len(bench.model.requests)
    finished = {(e.fact.step, e.fact.call) for e in bench.events("tool.ended")}

    outcome = await bench.run()

    assert outcome == expected
    assert not answered & {request.address.key for request in bench.model.requests[asked:]}
    assert finished <= {(e.fact.step, e.fact.call) for e in bench.events("tool.ended")}
    ended = Counter((e.fact.step, e.fact.call) for e in bench.events("tool.ended"))
    assert set(ended.values()) == {1}
    commands = Counter(line for name in ("made", "git") for line in files(bench).get(name, "").splitlines())
    assert set(commands.values()) <= {1}
    interrupted = {fact.tool for e in bench.events("tool.ended") if (fact := e.fact).outcome == "interrupted"}
    assert interrupted <= {"run_shell", "git_commit"}
    left = {name: text for name, text in files(bench).items() if name not in ("made", "git")}
    assert left == {"base.txt": "ab\n", "log.txt": ONCE * 2, "made.txt": "m", "old.txt": "new\n"}


async def test_a_command_that_was_under_way_is_not_run_again(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    ledger = CrashingLedger(bench.fresh_book(), 11, after=True)
    with pytest.raises(Crash):
        await bench.run(ledger)
    started = bench.events("tool.started")[-1].fact
    assert started.tool == "run_shell"
    await bench.run()
    told = [text for tool, outcome, text in bench.tool_answers() if outcome == "interrupted"]
    assert len(told) == 1 and "effects are unknown" in told[0]
    assert not (bench.tree / "made").exists()


async def test_reading_before_a_crash_counts_after_it(tmp_path: Path) -> None:
    turns = [reply(("read_file", {"path": "a"})), reply(("write_file", {"path": "a", "content": "new"})), reply(REPORT)]
    bench = Bench(tmp_path, turns)
    (bench.tree / "a").write_text("old")
    with pytest.raises(Crash):
        await bench.run(CrashingLedger(bench.fresh_book(), 4, after=True))
    assert (await bench.run()).ended == "result"
    assert (bench.tree / "a").read_text() == "new"
    assert [outcome for _, outcome, _ in bench.tool_answers()] == ["ok", "ok", "ok"]
