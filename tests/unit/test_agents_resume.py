"""Killed at any moment and taken up again: the same end, no answered call asked again, no finished tool done again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from aurea.domain.spec import RoleChoice
from aurea.ports import AgentOutcome, CommandLine, CommandResult
from aurea.testing.agents import REPORT, RUN, Bench, Crash, CrashingLedger, reply

ONCE = "once\n"
TURNS = [
    reply(("write_file", {"path": "log.txt", "content": ONCE}), ("list_directory", {}), text="first"),
    reply(("append_file", {"path": "log.txt", "content": ONCE}), ("run_shell", {"command": "make"})),
    reply(text="hm"),
    reply(("read_file", {"path": "base.txt"})),
    reply(("edit_file", {"path": "base.txt", "old": "a", "new": "ab"}), ("delete_file", {"path": "gone.txt"})),
    reply(("read_file", {"path": "old.txt"}), ("write_file", {"path": "../x", "content": ""})),
    reply(
        ("write_file", {"path": "old.txt", "content": "new\n"}), ("write_file", {"path": "made.txt", "content": "m"})
    ),
    reply(("submit_report", {"summary": ""}), ("git_commit", {"message": "work"})),
    reply(REPORT),
]
RECORDS = 45


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


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> AgentOutcome:
    """How the attempt ends where nothing kills it."""
    return asyncio.run(bench_in(tmp_path_factory.mktemp("whole")).run())


async def test_the_script_makes_as_many_records_as_are_tried(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    assert (await bench.run(CrashingLedger(bench.fresh_book(), RECORDS + 1, after=False))).ended == "result"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, RECORDS + 1))
async def test_killed_at_every_record(tmp_path: Path, expected: AgentOutcome, at: int, after: bool) -> None:
    bench = bench_in(tmp_path)
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
    ledger = CrashingLedger(bench.fresh_book(), 12, after=True)
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
        await bench.run(CrashingLedger(bench.fresh_book(), 5, after=True))
    assert (await bench.run()).ended == "result"
    assert (bench.tree / "a").read_text() == "new"
    assert [outcome for _, outcome, _ in bench.tool_answers()] == ["ok", "ok", "ok"]


FULL = RoleChoice(context_tokens=8_000)
LIMITED = [
    reply(text='{"name": "list_directory", "arguments": {}}'),
    reply(("read_file", '{"path": "big"}{"path": "big", "limit": "1"}')),
    *[reply(*(("read_file", {"path": "big", "offset": f"{3 * n + m + 1}"}) for m in range(3))) for n in range(5)],
    *[reply(*(("list_directory", {"path": f"none{n}-{m}"}) for m in range(8))) for n in range(4)],
    reply(("submit_report", {"summary": "half", "approach": "a", "unfinished": "the rest"})),
]
LIMITED_RECORDS = 136


def _log(bench: Bench) -> str:
    return (bench.folder / "run" / "logs" / "storage" / "1" / "guardian.jsonl").read_text()


def limited_bench(folder: Path) -> Bench:
    """An attempt with everything at once: calls to mend, a conversation to cut, nudges, a judge, a limit at the end."""

    def choice(role: str) -> RoleChoice | None:
        return RoleChoice(model="small") if role == "guardian" else FULL

    bench = Bench(folder, LIMITED, limits={"choice_for": choice, "max_turns": 12})
    (bench.tree / "big").write_text("".join(f"{n} {'word ' * 30}\n" for n in range(30)))
    judgement = reply(("submit_judgement", {"alignment": 65, "trajectory": "steady", "advice": "Go on."}))
    for number in range(1, 9):
        bench.model.others[f"guardian-{number}"] = judgement
    return bench


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, AgentOutcome]:
    """Such an attempt that nothing kills, and how it ends."""
    bench = limited_bench(tmp_path_factory.mktemp("whole"))
    return bench, asyncio.run(bench.run())


@pytest.mark.parametrize("at", range(1, LIMITED_RECORDS, 5))
async def test_killed_while_calls_are_mended_cut_nudged_and_limited(
    tmp_path: Path, whole: tuple[Bench, AgentOutcome], at: int
) -> None:
    unharmed, expected = whole
    assert (expected.ended, expected.limit) == ("result", "turns")
    kinds = ("model.repaired", "conversation.compacted", "guardian.looked", "limit.reached")
    marks = [[event.fact for event in unharmed.events(kind)] for kind in kinds]
    assert all(marks)
    bench = limited_bench(tmp_path)
    with pytest.raises(Crash):
        await bench.run(CrashingLedger(bench.fresh_book(), at, after=bool(at % 2)))
    asked, answered = len(bench.model.requests), set(bench.book.state(RUN).journal)

    assert await bench.run() == expected

    assert not answered & {request.address.key for request in bench.model.requests[asked:]}
    assert [[event.fact for event in bench.events(kind)] for kind in kinds] == marks
    looks = [[json.loads(line)["step"] for line in _log(one).splitlines()] for one in (unharmed, bench)]
    assert looks[0] == looks[1], "each look stands in its log once"
    shown = {request.address.key: request.messages for request in unharmed.model.requests}
    assert {request.address.key: request.messages for request in bench.model.requests} == shown
