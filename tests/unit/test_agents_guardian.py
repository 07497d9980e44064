"""The guardian by what it counts: what lowers the score, what does not, and when nudges count as ignored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from aurea.agents.guardian import Guardian, Look, nudge, tone_of
from aurea.agents.hands import Answer
from aurea.agents.loopguard import LoopGuard

Seen = tuple[str, dict[str, Any], Answer]


def ok(text: str = "fine", seconds: float = 0.1, *, changed: bool = False) -> Answer:
    return Answer(text, "ok", seconds, changed=changed)


def read(n: int) -> Seen:
    return ("read_file", {"path": f"f{n}"}, ok(f"text {n}"))


def edit(n: int) -> Seen:
    return ("edit_file", {"path": "a", "old": str(n), "new": str(n + 1)}, ok(f"edited {n}", changed=True))


def check(text: str, seconds: float = 0.1) -> Seen:
    return ("run_shell", {"command": "pytest"}, ok(text, seconds))


def after(calls: Iterable[Seen], *, writing: bool = True, tokens: int = 0) -> Look:
    guardian = Guardian(writing=writing)
    for tool, arguments, answer in calls:
        guardian.saw(tool, arguments, answer)
        guardian.wrote(tokens)
    return guardian.look(0.0)


def test_the_tones() -> None:
    tones = [tone_of(score) for score in (100, 70, 69, 50, 49, 25, 24, 0)]
    assert tones == ["", "", "gentle", "gentle", "direct", "direct", "firm", "firm"]
    said = [nudge(tone, 42, ("x happened",), "submit_report", "Run the test.") for tone in ("gentle", "direct", "firm")]
    assert len(set(said)) == 3 and all("42 of 100" in words and "x happened. Run the test." in words for words in said)
    assert "submit_report" in said[2]


@pytest.mark.parametrize(
    ("calls", "score", "words"),
    [
        ([edit(n) for n in range(20)], 100, None),
        ([read(n) for n in range(29)], 100, None),
        ([call for n in range(10) for call in (edit(n), check("exit code 1\nboom"))], 40, "run_shell failed 8 times"),
        ([call for n in range(10) for call in (edit(n), check(f"exit code 1\n{n} failed in 0.3s"))], 100, None),
        ([check(f"exit code 1\nfailed in {n}.2s at 0x{n}f") for n in range(3)], 65, "run_shell failed 3 times"),
        ([("read_file", {"path": f"x{n}"}, Answer(f"Failed: no file 'x{n}'", "error")) for n in range(4)], 60, "4 times"),
        ([read(n) for n in (1, 2, 1, 2, 1, 2)], 2, "back and forth"),
        ([read(n % 5) for n in range(15)], 47, "10 of the last 15 calls repeated"),
        ([read(n) for n in range(30)], 65, "no file was changed in the last 30 calls"),
        ([read(n) for n in range(45)], 40, "no file was changed in the last 45 calls"),
        ([read(n) for n in range(60)], 20, "no file was changed in the last 60 calls"),
        ([*(read(n) for n in range(40)), check("exit code 0")], 100, None),
    ],
)  # fmt: skip
def test_what_is_counted(calls: list[Seen], score: int, words: str | None) -> None:
    look = after(calls)
    assert look.score == score, look
    assert (not look.signals) if words is None else any(words in signal for signal in look.signals)


def test_who_only_reads_need_not_write() -> None:
    assert after([read(n) for n in range(80)], writing=False, tokens=2_000).score == 100
    assert after([read(n) for n in range(20)], tokens=2_000).score == 65
    assert after([*(read(n) for n in range(20)), edit(1)], tokens=2_000).score == 100


def test_waiting_for_something_long_is_no_loop() -> None:
    waits: list[Seen] = [("run_shell", {"command": "sleep 30; cat state"}, ok("exit code 0\nbuilding", 30.0))] * 20
    assert after(waits).score == 100
    assert after([("run_shell", {"command": "x"}, ok("exit code 1\nred", 30.0))] * 20).score < 25
    loops = LoopGuard()
    assert [loops.count("t", {}, "x", changed=False, waited=True) for _ in range(9)] == [0] * 9


def test_it_looks_every_15_calls_or_60_seconds_of_the_attempt() -> None:
    guardian = Guardian(writing=True)
    assert not guardian.due(500.0), "nothing was called"
    for n in range(14):
        guardian.saw(*read(n))
        assert not guardian.due(59.0)
    assert guardian.due(60.0)
    guardian.saw(*read(15))
    assert guardian.due(1.0)
    guardian.look(30.0)
    guardian.saw(*read(16))
    assert (guardian.due(89.0), guardian.due(90.0)) == (False, True)


def watched(looks: Iterable[Iterable[Seen]], alignment: int = 100, turns: int = 3) -> list[tuple[str, bool]]:
    guardian, said = Guardian(writing=True), []
    for calls in looks:
        for _ in range(turns):
            guardian.wrote(10)
        for seen in calls:
            guardian.saw(*seen)
        look = guardian.look(0.0)
        said.append(guardian.heed(look, min(alignment, look.score)))
    return said


def test_three_nudges_that_change_nothing_are_ignored_ones() -> None:
    idle = [[read(15 * n + m) for m in range(15)] for n in range(7)]
    assert watched(idle) == [
        ("", False), ("gentle", False), ("direct", False), ("firm", False), ("firm", True), ("firm", True), ("firm", True),
    ]  # fmt: skip


def test_a_change_between_nudges_starts_again() -> None:
    failing = [[edit(n), *[check("exit code 1\nboom")] * 6] for n in range(9)]
    assert all(tone and not ended for tone, ended in watched(failing))


def test_an_agent_has_time_to_follow_a_nudge() -> None:
    idle = [[read(n) for n in range(30)], *[[read(30 + n)] for n in range(9)]]
    assert [tone for tone, _ in watched(idle)] == ["gentle", "", "", "", "", "gentle", "", "", "", ""]
    many = [[read(15 * n + m) for m in range(15)] for n in range(6)]
    assert [tone for tone, _ in watched(many, turns=1)] == ["", "gentle", "", "", "firm", ""], (
        "also with many calls a turn"
    )


def test_a_models_word_nudges_and_never_ends() -> None:
    busy = [[edit(15 * n + m) for m in range(15)] for n in range(8)]
    assert watched(busy, alignment=10) == [("firm", False)] * 8
