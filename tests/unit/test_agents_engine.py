"""The loop: from the first message to a result, what is refused on the way, and every way in which it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurea.agents.tools.discovery import CORE
from aurea.domain.errors import Blocked, Transient, WorkspaceLost
from aurea.domain.messages import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from aurea.models.faults import Server, fault
from aurea.ports import CommandLine, CommandResult
from aurea.testing.agents import REPORT, Bench, reply


def printed(command: CommandLine) -> CommandResult:
    return CommandResult("exited", 0, "hello\n", 6, 0.25)


async def test_a_conversation_from_first_message_to_result(tmp_path: Path) -> None:
    turns = [
        reply(("write_file", {"path": "notes/app.py", "content": "x = 1\n"}), text="I begin."),
        reply(("read_file", {"path": "notes/app.py"}), ("run_shell", {"command": "echo hello"})),
        reply(REPORT),
    ]
    bench = Bench(tmp_path, turns, commands=printed)
    outcome = await bench.run()
    assert outcome.ended == "result"
    assert outcome.result is not None and outcome.result["summary"] == "done"
    assert (outcome.turns, outcome.tool_calls) == (3, 3)
    assert (bench.tree / "notes/app.py").read_text() == "x = 1\n"
    assert bench.tool_answers() == [
        ("write_file", "ok", "wrote 6 bytes to notes/app.py"),
        ("read_file", "ok", "x = 1\n"),
        ("run_shell", "ok", "exit code 0\nhello"),
        ("submit_report", "ok", "accepted"),
    ]
    first = bench.model.requests[0]
    assert [type(m) for m in first.messages] == [SystemMessage, UserMessage]
    assert first.address.key == ("storage", 1, "coder", 1)
    assert {tool.name for tool in first.tools} == {*CORE, "search_tools", "submit_report"}
    kinds = [type(m) for m in bench.told()]
    assert kinds[2:] == [AssistantMessage, ToolMessage, AssistantMessage, ToolMessage, ToolMessage]
    assert bench.runner.calls[0].argv == ("bash", "-c", "echo hello")
    assert bench.runner.calls[0].folder == bench.tree


async def test_the_conversation_is_written_as_it_happens_and_again_without_changing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(("list_directory", {})), reply(REPORT)])
    await bench.run()
    path = tmp_path / "run/logs/storage/1/conversation.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["role"]) for line in lines] == [
        (0, "system"), (0, "user"), (1, "assistant"), (1, "tool"), (2, "assistant"), (2, "tool"),
    ]  # fmt: skip
    assert all(line["ts"].endswith("Z") for line in lines)
    before = path.read_text()
    path.write_text(before[:-20])
    bench.clock.advance(500)
    await bench.run()
    again = [json.loads(line) for line in path.read_text().splitlines()]
    assert again[:-1] == lines[:-1]
    assert {k: v for k, v in again[-1].items() if k != "ts"} == {k: v for k, v in lines[-1].items() if k != "ts"}


async def test_reviewers_write_under_their_own_name_and_may_change_nothing(tmp_path: Path) -> None:
    review = {"decision": "Approved", "criteria": [], "findings": [], "summary": "good"}
    turns = [
        reply(("write_file", {"path": "a", "content": "b"}), ("run_shell", {"command": "id"})),
        reply(("submit_review", review)),
    ]
    bench = Bench(tmp_path, turns, role="reviewer", commands=printed)
    outcome = await bench.run()
    assert outcome.result is not None and outcome.result["decision"] == "approve"
    assert [answer[:2] for answer in bench.tool_answers()[:2]] == [("write_file", "refused"), ("run_shell", "refused")]
    assert "the role reviewer has no write_file" in bench.tool_answers()[0][2]
    assert not (bench.tree / "a").exists() and not bench.runner.calls
    assert (tmp_path / "run/logs/storage/1/reviewer-1.jsonl").exists()


async def test_refusals_and_failures_are_told_and_recorded(tmp_path: Path) -> None:
    turns = [
        reply(
            ("write_file", {"path": "../x", "content": "y"}),
            ("raed_file", {"path": "a"}),
            ("web_search", {"query": "a"}),
            ("read_file", {"file": "a"}),
            ("read_file", "{not json"),
            ("read_file", {"path": "missing"}),
            ("run_shell", {"command": "nothing"}),
        ),
        reply(REPORT),
    ]
    bench = Bench(tmp_path, turns)
    assert (await bench.run()).ended == "result"
    answers = bench.tool_answers()
    assert [outcome for _, outcome, _ in answers] == ["refused"] * 5 + ["error", "error", "ok"]
    for (_, _, text), words in zip(
        answers,
        ("leads upwards", "did you mean read_file?", "web_search: true", "path: is missing", "not valid JSON",
         "there is no file 'missing'", "could not start"), strict=False,
    ):  # fmt: skip
        assert words in text
    ended = [event.fact for event in bench.events("tool.ended")]
    assert all(fact.reason for fact in ended[:7])
    assert [m.text for m in bench.told() if isinstance(m, ToolMessage)] == [text for *_, text in answers[:-1]]
    assert len(bench.events("tool.started")) == len(ended)
    assert not (tmp_path / "workspace/x").exists()


async def test_a_result_with_other_calls_comes_last(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(REPORT, ("write_file", {"path": "a", "content": "b"}))])
    outcome = await bench.run()
    assert outcome.ended == "result" and outcome.turns == 1
    assert [tool for tool, *_ in bench.tool_answers()] == ["write_file", "submit_report"]
    assert (bench.tree / "a").read_text() == "b"


async def test_calls_without_ids_of_their_own_get_some(tmp_path: Path) -> None:
    same = reply(("write_file", {"path": "a", "content": "1"}), ("write_file", {"path": "b", "content": "2"}))
    calls = tuple(call.model_copy(update={"id": name}) for call, name in zip(same.calls, ("x", "x"), strict=True))
    bench = Bench(tmp_path, [same.model_copy(update={"calls": calls}), reply(REPORT)])
    await bench.run()
    assert [event.fact.call for event in bench.events("tool.started")][:2] == ["x", "call-1-2"]
    assert (bench.tree / "a").exists() and (bench.tree / "b").exists()


async def test_an_invalid_result_is_told_and_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(("submit_report", {"summary": " "}))])
    outcome = await bench.run()
    assert outcome.ended == "stalled" and outcome.turns == 4
    assert "submit_report was not valid 4 times" in outcome.reason
    assert "approach: is missing" in bench.tool_answers()[0][2]


async def test_words_without_calls_are_corrected_and_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(text="I think...")])
    outcome = await bench.run()
    assert outcome.ended == "stalled" and "4 times in a row" in outcome.reason
    corrections = [m for m in bench.told() if isinstance(m, UserMessage)][1:]
    assert len(corrections) == 3 and "submit_report" in corrections[0].text
    patient = Bench(
        tmp_path / "b", [reply(text="hm")] * 3 + [reply(("git_log", {}))] + [reply(text="hm"), reply(REPORT)]
    )
    assert (await patient.run()).ended == "result"


async def test_turns_run_out_after_a_last_word(tmp_path: Path) -> None:
    turns = [reply(("write_file", {"path": f"f{n}", "content": "x"})) for n in range(20)]
    bench = Bench(tmp_path, turns, limits={"max_turns": 4})
    outcome = await bench.run()
    assert (outcome.ended, outcome.limit, outcome.turns) == ("exhausted", "turns", 4)
    assert "This is your last turn" in bench.told()[-1].text
    finishing = Bench(tmp_path / "b", [*turns[:3], reply(REPORT)], limits={"max_turns": 4})
    assert (await finishing.run()).ended == "result"


async def test_tool_calls_run_out_after_a_last_word(tmp_path: Path) -> None:
    turns = [
        reply(("write_file", {"path": f"a{n}", "content": "x"}), ("write_file", {"path": f"b{n}", "content": "x"}))
        for n in range(5)
    ]
    bench = Bench(tmp_path, turns, limits={"max_tool_calls": 3})
    outcome = await bench.run()
    assert (outcome.ended, outcome.limit, outcome.tool_calls) == ("exhausted", "tool_calls", 3)
    assert sorted(path.name for path in bench.tree.iterdir()) == ["a0", "a1", "b0"]
    assert "no tool calls are left" in bench.tool_answers()[3][2]
    assert "You have no tool calls left" in bench.told()[-1].text


async def test_time_counts_model_calls_and_tools_only(tmp_path: Path) -> None:
    turns = [reply(("write_file", {"path": f"f{n}", "content": "x"})) for n in range(90)]
    bench = Bench(tmp_path, turns, timeout_s=30, seconds=4.0)
    outcome = await bench.run()
    assert (outcome.ended, outcome.limit, outcome.turns) == ("exhausted", "time", 9)
    assert "Your time is over" in bench.told()[-1].text
    assert [m for m in bench.told() if "of your time are left" in getattr(m, "text", "")]
    asked = len(bench.model.requests)
    bench.clock.advance(10_000)  # waiting is free, and what was used before counts again
    assert (await bench.run()).limit == "time"
    assert len(bench.model.requests) == asked


async def test_a_model_call_that_outlives_the_attempt_ends_it(tmp_path: Path) -> None:
    server = Server("openai", "m", "http://localhost")
    bench = Bench(tmp_path, [fault("timeout", server)], timeout_s=10, seconds=10)
    outcome = await bench.run()
    assert (outcome.ended, outcome.limit) == ("exhausted", "time")
    assert bench.model.requests[0].timeout_s == 10
    spent = fault("server", server)
    spent.out_of_time = True
    assert (await Bench(tmp_path / "d", [spent], timeout_s=900).run()).limit == "time"
    with pytest.raises(Transient):
        await Bench(tmp_path / "b", [fault("timeout", server)], timeout_s=900, seconds=130).run()
    with pytest.raises(Transient):
        await Bench(tmp_path / "c", [fault("overloaded", server)], timeout_s=10, seconds=10).run()


async def test_a_conversation_too_long_for_the_model_ends_the_attempt(tmp_path: Path) -> None:
    turns = [reply(("list_directory", {})), fault("context_too_long", Server("openai", "m", "http://localhost"))]
    outcome = await Bench(tmp_path, turns).run()
    assert (outcome.ended, outcome.limit) == ("exhausted", "context")
    assert "longer than the model can take" in outcome.reason


@pytest.mark.parametrize("error", [Transient("busy"), Blocked("no key")])
async def test_faults_of_the_model_are_the_callers(tmp_path: Path, error: Exception) -> None:
    bench = Bench(tmp_path, [reply(("write_file", {"path": "a", "content": "b"})), error])
    with pytest.raises(type(error)):
        await bench.run()
    bench.model.turns[1] = reply(REPORT)
    assert (await bench.run()).ended == "result"
    assert [request.address.step for request in bench.model.requests] == [1, 2, 2]


async def test_a_lost_workspace_is_the_callers(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(("run_shell", {"command": "true"}))])
    bench.tree.rmdir()
    with pytest.raises(WorkspaceLost):
        await bench.run()
    bench = Bench(tmp_path / "b", [reply(("list_directory", {}))])
    bench.tree.rmdir()
    with pytest.raises(WorkspaceLost):
        await bench.run()


async def test_a_reply_that_was_cut_off_writes_nothing(tmp_path: Path) -> None:
    turns = [
        reply(("write_file", {"path": "a", "content": "ha"}), ("list_directory", {}), REPORT, finish="length"),
        reply(REPORT),
    ]
    bench = Bench(tmp_path, turns)
    assert (await bench.run()).turns == 2
    assert [outcome for _, outcome, _ in bench.tool_answers()] == ["refused", "ok", "refused", "ok"]
    assert not (bench.tree / "a").exists()


async def test_arguments_as_text_are_mended_where_unambiguous(tmp_path: Path) -> None:
    fenced = '```json\n{"path": "a,]", "content": "x,}",}\n```'
    twice = json.dumps(json.dumps({"path": "b", "content": "y"}))
    bench = Bench(tmp_path, [reply(("write_file", fenced), ("write_file", twice)), reply(REPORT)])
    assert (await bench.run()).ended == "result"
    assert (bench.tree / "a,]").read_text() == "x,}"
    assert (bench.tree / "b").read_text() == "y"


async def test_the_same_call_with_the_same_answer_is_nudged_then_stalls(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(("list_directory", {"path": "."}))])
    outcome = await bench.run()
    assert outcome.ended == "stalled" and outcome.turns == 6
    assert "called list_directory 6 times" in outcome.reason
    nudges = [m.text for m in bench.told() if isinstance(m, UserMessage)][1:]
    assert len(nudges) == 3 and nudges[0].startswith("You have called list_directory 3 times")


async def test_the_same_test_run_between_new_changes_is_no_loop(tmp_path: Path) -> None:
    turns = [
        reply(("write_file", {"path": f"f{n}", "content": "x"}), ("run_shell", {"command": "pytest"})) for n in range(8)
    ]
    bench = Bench(tmp_path, [*turns, reply(REPORT)], commands=printed)
    assert (await bench.run()).ended == "result"
    back_and_forth = [reply(("append_file", {"path": "a", "content": ""}), ("run_shell", {"command": "x"}))]
    assert (await Bench(tmp_path / "b", back_and_forth, commands=printed).run()).ended == "stalled"


async def test_commands_are_limited_by_what_the_attempt_has_left(tmp_path: Path) -> None:
    def slow(command: CommandLine) -> CommandResult:
        return CommandResult("timeout", None, "part", 4, command.timeout_s, f"not done after {command.timeout_s:g} s")

    turns = [
        reply(("run_shell", {"command": "sleep 9", "timeout_s": 600}), ("run_python", {"code": "x"})),
        reply(REPORT),
    ]
    bench = Bench(tmp_path, turns, timeout_s=50, commands=slow)
    await bench.run()
    assert [call.timeout_s for call in bench.runner.calls] == [49, 49]
    assert bench.runner.calls[1].stdin == b"x"
    tool, outcome, text = bench.tool_answers()[0]
    assert (tool, outcome) == ("run_shell", "error") and "not done after 49 s" in text and "part" in text


async def test_what_a_tool_says_is_bounded(tmp_path: Path) -> None:
    def loud(command: CommandLine) -> CommandResult:
        return CommandResult("exited", 1, "a" * 60_000 + "end", 200_000_000, 1.0)

    bench = Bench(tmp_path, [reply(("run_shell", {"command": "yes"})), reply(REPORT)], commands=loud)
    await bench.run()
    text = bench.tool_answers()[0][2]
    assert len(text) < 20_500 and text.endswith("end")
    assert text.startswith("exit code 1, 200000000 bytes printed") and "left out" in text
