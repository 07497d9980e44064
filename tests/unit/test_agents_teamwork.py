"""The tools for working with others, and the search for tools: what is listed, what ends a conversation, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aurea.agents.tools.discovery import CORE
from aurea.testing.agents import REPORT, Bench, Crash, CrashingLedger, NotedDesk, reply

ITEM = {"id": "import", "goal": "read a file of notes", "criteria": ["a file of notes can be read"]}
ASK = {"kind": "Needs-Clarification", "text": "may a note be empty?"}


def listed(bench: Bench, step: int) -> list[str]:
    """The tools that the request of a step names."""
    return [tool.name for tool in bench.model.requests[step - 1].tools]


async def test_what_is_searched_for_is_listed_from_then_on(tmp_path: Path) -> None:
    turns = [reply(("search_tools", {"query": "delete a file"})), reply(("delete_file", {"path": "a"})), reply(REPORT)]
    bench = Bench(tmp_path, turns, desk=NotedDesk())
    (bench.tree / "a").write_text("x")
    assert (await bench.run()).ended == "result"
    assert set(listed(bench, 1)) == {*CORE, "search_tools", "submit_report"}
    assert listed(bench, 2)[: len(listed(bench, 1))] == listed(bench, 1), "what a server keeps of it stays of use"
    assert "delete_file" in listed(bench, 2) and "create_subtasks" not in listed(bench, 2)
    assert "delete_file{path}: " in bench.tool_answers()[0][2]
    search = next(tool for tool in bench.model.requests[0].tools if tool.name == "search_tools")
    assert "git_commit" in search.description and "raise_escalation" in search.description
    assert not (bench.tree / "a").exists()


async def test_a_tool_that_is_not_listed_is_not_forbidden(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(("append_file", {"path": "a", "content": "x"})), reply(REPORT)])
    assert (await bench.run()).ended == "result"
    assert "append_file" not in listed(bench, 1) and (bench.tree / "a").read_text() == "x"


async def test_a_role_may_be_shown_everything(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [reply(("search_tools", {})), reply(REPORT)], desk=NotedDesk(), all_tools=True)
    assert (await bench.run()).ended == "result"
    assert {"append_file", "git_log", "create_subtasks", "search_tools"} <= set(listed(bench, 1))


@pytest.mark.parametrize(("query", "names"), [
    ("", {"append_file", "delete_file", "run_python", "git_status", "git_diff", "git_log", "git_commit"}),
    ("I want to ask a person", {"raise_escalation"}), ("git_log", {"git_log"}), ("xyzzy", set()), ("?", set()),
])  # fmt: skip
async def test_what_a_search_finds(tmp_path: Path, query: str, names: set[str]) -> None:
    turns = [reply(("search_tools", {"query": query})), reply(REPORT)]
    bench = Bench(tmp_path, turns, desk=NotedDesk())
    await bench.run()
    found = set(listed(bench, 2)) - set(listed(bench, 1))
    assert names <= found and (names or not found)


async def test_a_reviewer_is_listed_no_tool_that_it_does_not_have(tmp_path: Path) -> None:
    review = ("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "ok"})
    turns = [reply(("search_tools", {}), ("create_subtasks", {"items": [ITEM]})), reply(review)]
    bench = Bench(tmp_path, turns, role="reviewer", desk=NotedDesk())
    assert (await bench.run()).ended == "result"
    added = set(listed(bench, 2)) - set(listed(bench, 1))
    assert added == {"git_status", "git_diff", "git_log", "post_insight"}
    assert bench.tool_answers()[1][1] == "refused"


async def test_handing_in_is_answered_and_goes_to_the_desk(tmp_path: Path) -> None:
    said: list[tuple[str, dict[str, Any]]] = [
        ("post_insight", {"text": " tests need TZ=UTC "}), ("log_design_decision", {"title": "ids", "text": "integers"}),
        ("create_subtasks", {"items": [ITEM]}), ("raise_escalation", {"kind": "needs_research", "text": "what is X?"}),
        ("post_insight", {"text": " "}), ("post_insight", {"text": "x" * 2001}), ("create_subtasks", {"items": []}),
        ("raise_escalation", {"kind": "help", "text": "x"}),
    ]  # fmt: skip
    bench = Bench(tmp_path, [reply(*said), reply(REPORT)], desk=NotedDesk())
    assert (await bench.run()).ended == "result"
    assert [outcome for _, outcome, _ in bench.tool_answers()] == ["ok"] * 4 + ["refused"] * 4 + ["ok"]
    assert bench.desk is not None and bench.desk.notes == [
        ("insight", "tests need TZ=UTC"), ("decision", "ids", "integers"),
        ("subtasks", ("import",), False), ("escalation", "needs_research", "what is X?"),
    ]  # fmt: skip


@pytest.mark.parametrize(("call", "ended"), [
    (("raise_escalation", ASK), "escalated"), (("create_subtasks", {"items": [ITEM], "wait": True}), "deferred"),
])  # fmt: skip
async def test_what_ends_a_conversation_ends_it_after_a_crash_too(tmp_path: Path, call: Any, ended: str) -> None:
    turns = [reply(call, ("write_file", {"path": "late", "content": "x"})), reply(REPORT)]
    bench = Bench(tmp_path, turns, desk=NotedDesk())
    assert (await bench.run()).ended == ended
    assert (await bench.run()).ended == ended  # from the record alone
    for at in (4, 5):  # the intent, the outcome
        again = Bench(tmp_path / str(at), turns, desk=NotedDesk())
        with pytest.raises(Crash):
            await again.run(CrashingLedger(again.fresh_book(), at, after=True))
        assert (await again.run()).ended == ended
        assert again.desk is not None and len(again.desk.notes) == 1 and len(again.model.requests) == 1
    assert not (bench.tree / "late").exists() and len(bench.model.requests) == 1


async def test_a_refused_proposal_ends_nothing(tmp_path: Path) -> None:
    turns = [reply(("create_subtasks", {"items": [ITEM], "wait": True})), reply(REPORT)]
    bench = Bench(tmp_path, turns, desk=NotedDesk(refuse="it has no criteria"))
    assert (await bench.run()).ended == "result"
    assert "it has no criteria" in bench.tool_answers()[0][2]
