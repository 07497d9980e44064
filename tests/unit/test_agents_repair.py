"""Weak models: what was meant is done without asking again, and what cannot be known is not guessed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.agents.arguments import as_object, guess_json, read_json
from aurea.agents.fitting import fit
from aurea.agents.repair import Known, known_tools, repaired
from aurea.agents.results import PLAN, REPORT, REVIEW
from aurea.agents.roles import role_of
from aurea.agents.tools.toolbox import tools_for
from aurea.domain.errors import ToolRefused
from aurea.domain.messages import ModelReply
from aurea.ports import Assignment
from aurea.testing.agents import FolderWorkspace
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from weak_replies import RESULT, SHAPES, WRITE, Weak, as_json, made, said


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, Known]:
    assignment = Assignment("i", 1, "coder", "coder", "", "", 900.0, workspace=FolderWorkspace(tmp_path))
    made = tools_for("coder", assignment, ScriptedRunner(lambda _: None), SimulatedClock(), lambda: 900.0)
    return known_tools(made, role_of("coder").result)


def calls(reply: ModelReply) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in reply.calls]


@pytest.mark.parametrize("weak", SHAPES, ids=[weak.shape for weak in SHAPES])
def test_what_was_meant_is_called(weak: Weak, tools: dict[str, Known]) -> None:
    reply, what = repaired(weak.reply, tools)
    if weak.meant is None:
        assert (reply, what) == (weak.reply, ())
        return
    assert calls(reply) == weak.meant
    assert bool(what) == (reply != weak.reply)
    assert all(tools[name].valid(arguments) for name, arguments in calls(reply))
    assert repaired(reply, tools) == (reply, ()), "mended once is mended for good"


def test_what_is_in_order_is_not_touched(tools: dict[str, Known]) -> None:
    reply = made(WRITE, ("read_file", {"path": "a", "limit": "3"}), ("no_such_tool", "{"), ("read_file", {"file": "a"}))
    assert repaired(reply, tools) == (reply, ())


def test_words_before_a_call_stay_and_thoughts_go(tools: dict[str, Known]) -> None:
    reply, what = repaired(said(f"<think>hm</think>I read it.\n{as_json(('read_file', {'path': 'a'}))}"), tools)
    assert (reply.text, reply.finish) == ("I read it.", "tool_calls")
    assert what == ("read_file: the call stood in the text",)


def test_glued_calls_have_ids_of_their_own(tools: dict[str, Known]) -> None:
    reply, what = repaired(made(("read_file", '{"path": "a"}{"path": "b"}')), tools)
    assert [call.id for call in reply.calls] == ["c1", "c1-2"]
    assert what == ("read_file: 2 calls were glued together",)


def test_a_role_calls_its_own_tools_only(tmp_path: Path) -> None:
    assignment = Assignment("i", 1, "reviewer", "reviewer-1", "", "", 900.0, workspace=FolderWorkspace(tmp_path))
    made = tools_for("reviewer", assignment, ScriptedRunner(lambda _: None), SimulatedClock(), lambda: 900.0)
    tools = known_tools(made, REVIEW)
    assert repaired(said(as_json(WRITE)), tools)[1] == ()
    assert repaired(said(json.dumps(RESULT)), tools)[1] == (), "another role's result"
    review = {"decision": "approve", "criteria": [], "findings": [], "summary": "good"}
    assert calls(repaired(said(json.dumps(review)), tools)[0]) == [("submit_review", review)]
    wrong = {**review, "decision": "maybe"}
    assert repaired(said(json.dumps(wrong)), tools)[1] == ()


def test_a_plan_as_text(tmp_path: Path) -> None:
    tools = known_tools({}, PLAN)
    items = [{"id": "a", "goal": "g", "criteria": "c", "priority": "2"}]
    reply, _ = repaired(said(f"Here it is:\n```json\n{json.dumps({'items': items}, indent=2)}\n```"), tools)
    assert calls(reply) == [("submit_plan", {"items": items})]
    reply, _ = repaired(made(("submit_plan", {"items": json.dumps(items)})), tools)
    assert PLAN.result(dict(calls(reply)[0][1]))["items"][0]["priority"] == 2


SCHEMA = {
    "type": "object",
    "required": ["names"],
    "properties": {
        "names": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean"}}},
        "some": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "either": {"type": ["string", "integer"]},
    },
}


@pytest.mark.parametrize(
    ("given", "fitted"),
    [
        ({"names": "a"}, {"names": ["a"]}),
        ({"names": '["a", "b"]'}, {"names": ["a", "b"]}),
        ({"names": [1, "b"]}, {"names": ["1", "b"]}),
        ({"names": ["a"], "rows": {"n": "3"}}, {"names": ["a"], "rows": [{"n": 3}]}),
        ({"names": ["a"], "rows": '[{"n": 4.0}]'}, {"names": ["a"], "rows": [{"n": 4}]}),
        ({"names": ["a"], "deep": '{"on": "True"}'}, {"names": ["a"], "deep": {"on": True}}),
        ({"names": ["a"], "some": "1.5"}, {"names": ["a"], "some": 1.5}),
        ({"names": ["a"], "some": None}, {"names": ["a"], "some": None}),
        ({"names": ["a"], "rows": None, "deep": ""}, {"names": ["a"]}),
        ({"names": ["a"], "either": 3}, {"names": ["a"], "either": 3}),
        ({"parameters": '{"names": "a"}'}, {"names": ["a"]}),
        ({"names": "a", "deep": {"input": {"on": 1}}}, {"names": ["a"], "deep": {"input": {"on": 1}}}),
        ({"names": None, "other": "3"}, {"names": None, "other": "3"}),
        ({"names": ["a"], "rows": "many", "deep": [], "some": "half"},) * 2,
    ],
)
def test_types_follow_the_schema(given: dict[str, Any], fitted: dict[str, Any]) -> None:
    assert fit(given, SCHEMA) == fitted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': \"it's\", 'b': 'say \"x\"', }", {"a": "it's", "b": 'say "x"'}),
        (r"""{'a': 'it\'s', 'b': 'back\\slash\\"'}""", {"a": "it's", "b": 'back\\slash\\"'}),
        (r'{"a": "\w+\u00e9\n\q"}', {"a": "\\w+é\n\\q"}),
        ('{"a": "True, \'x\',]", "b": [True, None,],}', {"a": "True, 'x',]", "b": [True, None]}),
        ("```\n[1,]\n```", [1]),
    ],
)
def test_json_is_mended_exactly(text: str, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize("text", ["{'a': 'it's'}", '{"a": "b', '{"a": [1}', "{", "nothing", '{"a" "b"}'])
def test_what_is_not_certain_is_no_json(text: str) -> None:
    with pytest.raises(ToolRefused, match="not valid JSON"):
        as_object(text)


@pytest.mark.parametrize("text", ['{"a": "b', '{"a": [1}', '{"a": "x" y "z", "b"', "[1, 2", "a: b", '{"a": "{"}'])
def test_what_is_cut_off_is_not_completed(text: str) -> None:
    with pytest.raises(ValueError):
        guess_json(text)


def test_a_guess_keeps_every_word() -> None:
    assert guess_json('{summary: "the "best" way", n: 3}') == {"summary": 'the "best" way', "n": 3}


DEEP = '{"a": ' * 900 + "1" + "}" * 900


@pytest.mark.parametrize(
    "reply",
    [
        said("[" * 900 + "]" * 900),
        said("[" * 20_000 + "]" * 20_000),
        said(DEEP),
        made(("read_file", "[" * 20_000 + "x" + "]" * 20_000)),
        made(("read_file", DEEP)),
        said("[\n" * 20_000),
        said("<think>" * 8_000),
        said("<function=write_file>" + "<parameter=path>" * 4_000),
        made(("read_file", "{'a': \"" * 8_000)),
    ],
    ids=range(9),
)
@pytest.mark.timeout(20)
def test_nothing_takes_it_long_or_down(reply: ModelReply, tools: dict[str, Known]) -> None:
    began = time.process_time()
    assert repaired(reply, tools) == (reply, ())
    assert time.process_time() - began < 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_good_json_and_python_literals_mean_what_they_say(value: Any) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value, ensure_ascii=False)) == value


@given(st.text(), st.sampled_from(["stop", "length", "tool_calls"]))
def test_no_text_breaks_it(text: str, finish: str) -> None:
    reply, what = repaired(said(text, finish), known_tools({}, REPORT))
    assert (reply.text, what) == (text, ())


@given(st.text(alphabet="{}[]\"'`<>=:, \nabc_tool_call/think", max_size=200))
def test_no_arguments_break_it(text: str) -> None:
    reply, what = repaired(made(("submit_report", text)), known_tools({}, REPORT))
    assert reply.calls[0].arguments == text and what == ()
