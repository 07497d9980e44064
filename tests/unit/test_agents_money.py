"""At the end of the money: one last turn that hands in what there is, and the same conversation goes on when there is more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aurea.agents.limits import LAST_TOKENS
from aurea.domain.errors import BudgetReached
from aurea.domain.messages import ModelReply, ModelRequest, UserMessage
from aurea.models.faults import Server, fault
from aurea.testing.agents import REPORT, RUN, Bench, Crash, CrashingLedger, reply

HALF = ("submit_report", {"summary": "half", "approach": "simply", "unfinished": ["the other half"]})
WRITES = [reply(("write_file", {"path": f"f{n}", "content": "x"})) for n in range(6)]


class Purse:
    """A model behind a budget: up to step `paid` there is money, and for a last turn where `last` says so."""

    def __init__(self, paid: int, last: ModelReply | Exception | None = None, end: int = 5) -> None:
        self.paid = paid
        self.last = last
        self.end = end
        self.requests: list[ModelRequest] = []  # those that went out
        self.refused: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelReply:
        step = request.address.step
        if not request.last and step > self.paid:
            self.refused.append(request)
            raise BudgetReached("no money", limit_usd=1, needed_usd=1)
        if request.last and self.last is None:
            self.refused.append(request)
            raise BudgetReached("not even for a last word", limit_usd=1, needed_usd=1)
        self.requests.append(request)
        if request.last:
            assert self.last is not None
            if isinstance(self.last, Exception):
                raise self.last
            return self.last
        return reply(REPORT) if step >= self.end else WRITES[step - 1]


def bench_with(folder: Path, purse: Purse, **more: Any) -> Bench:
    bench = Bench(folder, [], **more)
    bench.model = purse  # type: ignore[assignment]
    return bench


async def stopped(bench: Bench) -> None:
    with pytest.raises(BudgetReached):
        await bench.run()


async def test_a_call_that_does_not_fit_is_followed_by_one_small_one_that_hands_in_what_there_is(
    tmp_path: Path,
) -> None:
    purse = Purse(2, reply(HALF))
    bench = bench_with(tmp_path, purse)
    await stopped(bench)

    last = purse.requests[-1]
    assert [request.address.step for request in purse.requests] == [1, 2, 3]
    assert ([tool.name for tool in last.tools], last.max_output_tokens) == (["submit_report"], LAST_TOKENS)
    assert last.messages[-1].text.startswith("Your budget is used up. Call submit_report now")
    (partial,) = bench.book.state(RUN).partials.values()
    assert (partial.summary, partial.unfinished, partial.step) == ("half", ("the other half",), 3)


async def test_the_same_conversation_goes_on_when_there_is_money_again(tmp_path: Path) -> None:
    purse = Purse(2, reply(HALF))
    bench = bench_with(tmp_path, purse)
    await stopped(bench)
    await stopped(bench)  # taken up again without more money: nothing goes out
    assert [request.address.step for request in purse.requests] == [1, 2, 3]

    purse.paid = 9
    outcome = await bench.run()

    assert (outcome.ended, outcome.limit, outcome.result) == ("result", None, {**REPORT_OF, **REPORT[1]})
    assert [request.address.step for request in purse.requests] == [1, 2, 3, 4, 5]
    on = purse.requests[3]
    assert len(on.tools) > 5 and not on.last
    assert "There is money for your work again" in on.messages[-1].text
    assert [m.text for m in on.messages if isinstance(m, UserMessage)][-2].startswith("Your budget is used up")
    assert await bench.run() == outcome
    assert len(purse.requests) == 5


REPORT_OF = {"challenges": [], "decisions": [], "files": [], "unfinished": [], "criteria": []}


async def test_each_new_limit_has_its_last_turn(tmp_path: Path) -> None:
    purse = Purse(2, reply(HALF))
    bench = bench_with(tmp_path, purse)
    await stopped(bench)
    purse.paid = 4
    await stopped(bench)
    assert [(r.address.step, r.last) for r in purse.requests] == [
        (1, False),
        (2, False),
        (3, True),
        (4, False),
        (5, True),
    ]
    purse.paid = 9
    assert (await bench.run()).ended == "result"


async def test_where_not_even_a_last_turn_fits_the_step_is_asked_as_if_it_had_never_been(tmp_path: Path) -> None:
    purse = Purse(2)
    bench = bench_with(tmp_path, purse)
    await stopped(bench)
    assert [(r.address.step, r.last) for r in purse.refused] == [(3, False), (3, True)]
    assert bench.book.state(RUN).partials == {}

    purse.paid = 9
    assert (await bench.run()).ended == "result"
    assert not any("budget" in message.text for message in purse.requests[-1].messages)
    assert [(r.address.step, r.last) for r in purse.requests] == [(n, False) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("last", "summary"),
    [
        (reply(text="I have only begun."), "I have only begun."),
        (reply(("write_file", {"path": "late", "content": "x"}), text="one more"), "one more"),
        (reply(("submit_report", {"summary": ""})), None),
    ],
    ids=["words", "another tool", "an invalid report"],
)
async def test_a_last_turn_that_hands_in_nothing_ends_nothing(
    tmp_path: Path, last: ModelReply, summary: str | None
) -> None:
    purse = Purse(2, last)
    bench = bench_with(tmp_path, purse)
    await stopped(bench)
    assert [p.summary for p in bench.book.state(RUN).partials.values()] == ([summary] if summary else [])
    assert not (bench.tree / "late").exists()
    purse.paid = 9
    assert (await bench.run()).ended == "result"
    assert (bench.tree / "f3").exists()


async def test_there_is_no_last_turn_for_work_that_was_not_begun(tmp_path: Path) -> None:
    purse = Purse(0, reply(HALF))
    await stopped(bench_with(tmp_path, purse))
    assert purse.requests == []


@pytest.mark.parametrize("role", ["reviewer", "planner"])
async def test_plans_and_reviews_are_never_handed_in_by_half(tmp_path: Path, role: str) -> None:
    purse = Purse(1, reply(HALF))
    await stopped(bench_with(tmp_path, purse, role=role))
    assert not any(request.last for request in [*purse.requests, *purse.refused])


async def test_a_last_turn_that_fails_is_asked_again_when_taken_up(tmp_path: Path) -> None:
    purse = Purse(2, fault("server", Server("openai", "m", "http://localhost")))
    bench = bench_with(tmp_path, purse)
    with pytest.raises(Exception, match="m"):
        await bench.run()
    purse.last = reply(HALF)
    await stopped(bench)
    assert [p.summary for p in bench.book.state(RUN).partials.values()] == ["half"]


RECORDS = 16


async def test_the_script_makes_as_many_records_as_are_tried(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, Purse(2, reply(HALF)))
    with pytest.raises(BudgetReached):
        await bench.run(CrashingLedger(bench.fresh_book(), RECORDS + 1, after=False))
    other = bench_with(tmp_path / "other", Purse(2, reply(HALF)))
    with pytest.raises(Crash):
        await other.run(CrashingLedger(other.fresh_book(), RECORDS, after=False))


@pytest.mark.parametrize("raised", [False, True], ids=["no more money", "raised"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, RECORDS + 1))
async def test_killed_at_every_record(tmp_path: Path, at: int, after: bool, raised: bool) -> None:
    purse = Purse(2, reply(HALF))
    bench = bench_with(tmp_path, purse)
    with pytest.raises(Crash):
        await bench.run(CrashingLedger(bench.fresh_book(), at, after=after))
    answered = set(bench.book.state(RUN).journal)
    asked = len(purse.requests)
    if raised:
        purse.paid = 9
    else:
        await stopped(bench)
        assert [p.summary for p in bench.book.state(RUN).partials.values()] == ["half"]
        purse.paid = 9

    assert (await bench.run()).ended == "result"

    assert not answered & {request.address.key for request in purse.requests[asked:]}
    assert sum(request.last for request in purse.requests) <= 2  # the second where the first was not recorded
    ended = Counter((e.fact.step, e.fact.call) for e in bench.events("tool.ended"))
    assert set(ended.values()) == {1}
    assert sorted(path.name for path in bench.tree.iterdir())[:2] == ["f0", "f1"]


async def test_a_conversation_that_was_also_short_of_time_is_told_the_same_when_taken_up(tmp_path: Path) -> None:
    purse = Purse(2, reply(HALF))
    bench = bench_with(tmp_path, purse, timeout_s=100.0)
    answer = purse.complete

    async def slowly(request: ModelRequest) -> ModelReply:
        said = await answer(request)
        bench.clock.advance(42.0 if request.address.step <= 2 else 0.0)
        return said

    purse.complete = slowly  # type: ignore[method-assign]
    await stopped(bench)
    purse.paid = 9
    assert (await bench.run()).ended == "result"
    last, on = purse.requests[2:4]
    assert "About 16 s of your time are left" in last.messages[-2].text
    assert on.messages[: len(last.messages)] == last.messages
