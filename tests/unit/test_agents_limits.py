"""Limits that lose nothing: one last turn to hand in what there is, long conversations cut, weak models understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aurea.domain.errors import Blocked
from aurea.domain.messages import ModelReply, ToolMessage, Usage, UserMessage
from aurea.domain.spec import RoleChoice
from aurea.models.faults import Server, fault
from aurea.ports import CommandLine, CommandResult
from aurea.testing.agents import REPORT, Bench, Turn, reply

SERVER = Server("openai", "m", "http://localhost")
PARTIAL = ("submit_report", {"summary": "half", "approach": "simply", "unfinished": ["the other half"]})


def writes(count: int) -> list[Turn]:
    return [reply(("write_file", {"path": f"f{n}", "content": "x"})) for n in range(count)]


def log(bench: Bench) -> list[dict[str, Any]]:
    lines = (bench.folder / "run/logs/storage/1/conversation.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("limit", "turns", "more"),
    [
        ("turns", 3, {"limits": {"max_turns": 4}}),
        ("tool_calls", 3, {"limits": {"max_tool_calls": 3}}),
        ("time", 4, {"timeout_s": 15.5, "seconds": 4.0}),
        ("tokens", 2, {"limits": {"choice_for": lambda _: RoleChoice(attempt_tokens=2_000)}}),
    ],
)
async def test_at_a_limit_there_is_one_last_turn(tmp_path: Path, limit: str, turns: int, more: dict[str, Any]) -> None:
    used = Usage(input_tokens=900, output_tokens=100)
    done = [turn.model_copy(update={"usage": used}) for turn in writes(turns) if isinstance(turn, ModelReply)]
    bench = Bench(tmp_path, [*done, reply(PARTIAL)], **more)
    outcome = await bench.run()
    assert (outcome.ended, outcome.limit, outcome.turns) == ("result", limit, turns + 1)
    assert outcome.result is not None and outcome.result["unfinished"] == ["the other half"]
    *before, last = bench.model.requests
    assert [tool.name for tool in last.tools] == ["submit_report"]
    assert all(len(request.tools) > 5 for request in before)
    assert "Call submit_report now" in last.messages[-1].text
    reached = [event.fact for event in bench.events("limit.reached")]
    assert [(fact.limit, fact.step) for fact in reached] == [(limit, turns + 1)]
    asked = len(bench.model.requests)
    assert await bench.run() == outcome
    assert len(bench.model.requests) == asked and len(bench.events("limit.reached")) == 1


async def test_the_last_turn_can_do_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [*writes(2), reply(("write_file", {"path": "late", "content": "x"}), text="one more")],
                  limits={"max_turns": 3})  # fmt: skip
    outcome = await bench.run()
    assert (outcome.ended, outcome.limit) == ("exhausted", "turns")
    assert outcome.reason.endswith("at last it said: one more")
    assert bench.tool_answers()[-1][1] == "refused" and not (bench.tree / "late").exists()


async def test_time_that_a_model_call_used_up_leaves_a_last_word(tmp_path: Path) -> None:
    turns: list[Turn] = [*writes(1), fault("timeout", SERVER)]
    bench = Bench(tmp_path, turns, timeout_s=50, seconds=10)
    outcome = await bench.run()
    assert (outcome.ended, outcome.limit) == ("exhausted", "time")
    assert [request.address.step for request in bench.model.requests] == [1, 2, 2]
    assert bench.model.requests[-1].timeout_s == 40
    bench.model.turns[1] = reply(PARTIAL)
    again = await bench.run()
    assert (again.ended, again.limit) == ("result", "time")
    assert [tool.name for tool in bench.model.requests[-1].tools] == ["submit_report"], (
        "as before it was taken up again"
    )
    fault_of_time = fault("overloaded", SERVER)
    fault_of_time.out_of_time = True  # there was no time left to try again
    slow = Bench(tmp_path / "slow", [fault_of_time, reply(PARTIAL)], timeout_s=50)
    slow.model.once = True
    assert (await slow.run()).limit == "time"
    late = Bench(tmp_path / "late", [reply(("run_shell", {"command": "x"})), reply(PARTIAL)], timeout_s=50, seconds=60)
    assert (await late.run()).limit == "time"
    assert late.model.requests[-1].timeout_s == 10


async def test_a_long_conversation_is_cut_and_goes_on(tmp_path: Path) -> None:
    turns: list[Turn] = []
    for n in range(30):
        turns.append(reply(("write_file", {"path": f"f{n}", "content": "word " * 800})))
    choice = RoleChoice(context_tokens=16_000)
    bench = Bench(tmp_path, [*turns, reply(REPORT)], limits={"choice_for": lambda _: choice})
    outcome = await bench.run()
    assert outcome.ended == "result"
    cuts = [event.fact for event in bench.events("conversation.compacted")]
    assert 2 <= len(cuts) <= 12 and all(fact.after < fact.before and not fact.refused for fact in cuts)
    sizes = [sum(len(message.model_dump_json()) for message in request.messages) for request in bench.model.requests]
    assert max(sizes) < 45_000
    assert all(request.messages[1].text == "Make storage." for request in bench.model.requests)
    notes = [line["text"] for line in log(bench) if line["role"] == "note"]
    assert len(notes) == len(cuts) and all("has grown long" in text for text in notes)
    assert len([line for line in log(bench) if line["role"] == "tool"]) == 31, "the log loses nothing"
    asked = [request.messages for request in bench.model.requests]
    assert await bench.run() == outcome
    assert [request.messages for request in bench.model.requests] == asked
    assert len(bench.events("conversation.compacted")) == len(cuts)


async def test_a_server_that_takes_less_than_it_says_is_asked_with_less(tmp_path: Path) -> None:
    turns: list[Turn] = [reply(("write_file", {"path": f"f{n}", "content": "word " * 4_000})) for n in range(8)]
    bench = Bench(tmp_path, [*turns, fault("context_too_long", SERVER), reply(REPORT)])
    bench.model.once = True
    outcome = await bench.run()
    assert outcome.ended == "result" and outcome.turns == 9
    first, second = bench.model.requests[8:10]
    assert first.address == second.address
    assert len(str(second.messages)) < 0.4 * len(str(first.messages))
    (cut,) = [event.fact for event in bench.events("conversation.compacted")]
    assert cut.refused and cut.step == 9
    assert any("took the conversation for too long" in line["text"] for line in log(bench) if line["role"] == "note")
    asked = len(bench.model.requests)
    assert await bench.run() == outcome
    assert len(bench.model.requests) == asked and len(bench.events("conversation.compacted")) == 1


async def test_what_a_weak_model_meant_is_done_at_once(tmp_path: Path) -> None:
    turns: list[Turn] = [
        reply(
            text='I will write it.\n```json\n{"name": "write_file", "arguments": {"path": "a", "content": "x"}}\n```'
        ),
        reply(("read_file", '{"path": "a"}{"path": "a", "limit": "1"}')),
        reply(text='{"summary": "done", "approach": "simply"}'),
    ]
    bench = Bench(tmp_path, turns)
    outcome = await bench.run()
    assert (outcome.ended, outcome.turns, outcome.tool_calls) == ("result", 3, 3)
    assert (bench.tree / "a").read_text() == "x"
    assert not [m for m in bench.told()[2:] if isinstance(m, UserMessage)], "nothing had to be corrected"
    assert [event.fact.what for event in bench.events("model.repaired")] == [
        ("write_file: the call stood in the text",),
        ("read_file: 2 calls were glued together",),
        ("submit_report: the call stood in the text",),
    ]
    notes = [line for line in log(bench) if line["role"] == "note"]
    assert [note["step"] for note in notes] == [1, 2, 3]
    assert "The model had written: I will write it." in notes[0]["text"]
    assert await bench.run() == outcome
    assert len(bench.events("model.repaired")) == 3 and len(bench.model.requests) == 3


async def test_a_call_in_the_text_that_cannot_be_made_is_said_to_be_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(text='{"name": "write_file", "arguments": {"path": "a"}}'), reply(REPORT)])
    assert (await bench.run()).ended == "result"
    assert "held a tool call as text that cannot be made" in bench.told()[-1].text


def looks_around(turns: int) -> list[Turn]:
    return [reply(*(("list_directory", {"path": f"d{n}-{m}"}) for m in range(5))) for n in range(turns)]


async def test_an_agent_that_gets_nowhere_is_nudged_and_then_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, looks_around(40))
    outcome = await bench.run()
    assert outcome.ended == "stalled"
    assert outcome.reason.startswith("it ignored the guardian's nudges") and "the same error" in outcome.reason
    looks = [event.fact for event in bench.events("guardian.looked")]
    assert [(fact.tone, fact.step) for fact in looks] == [("direct", 3), ("firm", 6), ("firm", 9), ("firm", 12)]
    told = [m.text for m in bench.told() if isinstance(m, UserMessage)]
    assert len(told) == 4 and "of 100" in told[1]
    assert await bench.run() == outcome
    assert len(bench.events("guardian.looked")) == 4


async def test_waiting_for_a_long_command_is_no_loop(tmp_path: Path) -> None:
    def slow(command: CommandLine) -> CommandResult:
        return CommandResult("exited", 0, "still building", 14, 30.0)

    bench = Bench(
        tmp_path, [reply(("run_shell", {"command": "sleep 30; cat state"}))] * 12 + [reply(REPORT)], commands=slow
    )
    bench.runner.script = lambda command: (bench.clock.advance(30.0), slow(command))[1]
    assert (await bench.run()).ended == "result"
    assert not bench.events("guardian.looked")


JUDGED = RoleChoice(model="small")


@pytest.mark.parametrize(
    "said",
    [
        reply(text="It goes well."),
        reply(("submit_judgement", {"alignment": 200, "trajectory": "steady", "advice": ""})),
        reply(("submit_judgement", '{"alignment": 10'), finish="length"),
        fault("rejected", SERVER),
    ],
)
async def test_a_small_model_that_says_nothing_usable_holds_nobody_up(tmp_path: Path, said: Turn) -> None:
    bench = Bench(tmp_path, [*writes(15), reply(REPORT)], limits={"choice_for": lambda role: JUDGED})
    bench.model.others["guardian-1"] = said
    assert (await bench.run()).ended == "result"
    (look,) = [event.fact for event in bench.events("guardian.looked")]
    assert (look.score, look.tone, look.alignment) == (100, "", None)


async def test_a_guardian_without_a_key_is_told_of(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [*writes(15), reply(REPORT)], limits={"choice_for": lambda role: JUDGED})
    bench.model.others["guardian-1"] = fault("authentication", SERVER)
    with pytest.raises(Blocked):
        await bench.run()
    bench.model.others["guardian-1"] = reply(("submit_judgement", {"alignment": 90}))
    assert (await bench.run()).ended == "result"


async def test_a_small_model_joins_the_guardian_and_is_asked_once(tmp_path: Path) -> None:
    turns = [*writes(30), reply(REPORT)]
    judgement = ("submit_judgement", {"alignment": "30", "trajectory": "Worsening", "advice": "Write the test."})
    bench = Bench(tmp_path, turns, limits={"choice_for": lambda role: JUDGED if role == "guardian" else None})
    bench.model.others["guardian-1"] = reply(text=json.dumps(judgement[1]))
    bench.model.others["guardian-2"] = fault("server", SERVER)
    outcome = await bench.run()
    assert outcome.ended == "result"
    looks = [event.fact for event in bench.events("guardian.looked")]
    assert [(fact.score, fact.tone, fact.alignment, fact.advice) for fact in looks] == [
        (30, "direct", 30, "Write the test."), (100, "", None, ""),
    ]  # fmt: skip
    nudged = [m.text for m in bench.told() if isinstance(m, UserMessage)]
    assert len(nudged) == 2 and "Write the test." in nudged[1]
    asked = [request for request in bench.model.requests if request.address.role == "guardian"]
    assert [request.address.conversation for request in asked] == ["guardian-1", "guardian-2"]
    assert asked[0].address.step == 1 and [tool.name for tool in asked[0].tools] == ["submit_judgement"]
    assert "Make storage." in asked[0].messages[1].text and "write_file f14" in asked[0].messages[1].text
    before = len(bench.model.requests)
    bench.model.others.clear()
    log = bench.folder / "run" / "logs" / "storage" / "1" / "guardian.jsonl"
    written = log.read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [(line["step"], line["role"]) for line in lines] == [
        (1, "system"), (1, "user"), (1, "assistant"), (2, "user"), (2, "note"),
    ]  # fmt: skip
    assert "Write the test." in lines[2]["text"] and lines[4]["text"].startswith("No answer: ")
    assert await bench.run() == outcome
    assert len(bench.model.requests) == before, "not even the one that had failed"
    assert log.read_text() == written
    assert [m for m in bench.told() if isinstance(m, ToolMessage)]
