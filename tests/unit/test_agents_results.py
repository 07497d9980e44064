"""The result tools: exact in what they ask for, forgiving where one thing is meant, plain about what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from aurea.agents.arguments import as_object
from aurea.agents.results import PLAN, REPORT, REVIEW, plan_of, report_of, review_of
from aurea.agents.roles import prompt, prompt_versions, role_of
from aurea.domain.errors import ToolRefused, UsageError
from aurea.domain.spec import ROLES, ItemSpec

ITEM = {
    "id": "storage", "title": "Storage", "goal": "SQLite", "criteria": ["a note survives"], "files": ["notes/storage.py"],
    "depends_on": [], "priority": 1, "role": "coder", "checks": ["tests"],
}  # fmt: skip


def test_a_plan_becomes_items() -> None:
    items, notes = plan_of(PLAN.result({"items": [ITEM], "notes": "n", "confidence": 0.9}))
    assert items == (ItemSpec(**{**ITEM, "criteria": ("a note survives",)}),) and notes == "n"


def test_a_plan_is_read_forgivingly() -> None:
    loose = {"id": "a", "goal": " g ", "criteria": "one", "files": None, "depends_on": "b", "priority": "2", "role": ""}
    (item,), notes = plan_of(PLAN.result({"items": [loose], "notes": None}))
    assert (item.goal, item.criteria, item.files, item.depends_on) == ("g", ("one",), (), ("b",))
    assert (item.priority, item.role, notes) == (2, "coder", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "Storage Layer"}, "items[0].id"),
        ({"id": ""}, "items[0].id"),
        ({"goal": "  "}, "items[0].goal"),
        ({"priority": "high"}, "items[0].priority"),
        ({"criteria": {"a": 1}}, "items[0].criteria"),
    ],
)
def test_a_faulty_item_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolRefused, match="the arguments are not valid") as refused:
        PLAN.result({"items": [{**ITEM, **change}]})
    assert words in str(refused.value)


def test_a_report_is_read_forgivingly() -> None:
    said = {
        "summary": "s", "approach": "a", "challenges": "hard", "decisions": [{"title": "x", "text": "y"}, ""], "files": [],
        "criteria": ["c1", {"criterion": "c2", "evidence": "pytest passed"}], "mood": "good",
    }  # fmt: skip
    report = report_of(REPORT.result(said))
    assert (report.challenges, report.decisions) == (("hard",), ('{"title": "x", "text": "y"}',))
    assert report.criteria == (
        {"criterion": "c1", "evidence": ""},
        {"criterion": "c2", "evidence": "pytest passed"},
    )
    with pytest.raises(ToolRefused, match="summary: is missing"):
        REPORT.result({"approach": "a"})


@pytest.mark.parametrize(
    ("said", "met"),
    [("yes", "yes"), (True, "yes"), (False, "no"), ("False", "no"), (None, "unknown"), ("Unknown", "unknown")],
)
def test_what_a_reviewer_says_of_a_criterion(said: object, met: str) -> None:
    arguments = {"decision": "RETURN", "criteria": [{"criterion": "c", "met": said}], "findings": None, "summary": "s"}
    review = review_of(REVIEW.result(arguments))
    assert (review.decision, review.criteria[0].met) == ("return", met)


def test_findings_are_read_forgivingly_and_decisions_are_not_guessed() -> None:
    findings = [
        "odd",
        {"file": "", "line": None, "severity": "Blocker", "text": "t"},
        {"file": "a", "line": "3", "text": "u"},
    ]
    review = review_of(REVIEW.result({"decision": "approved", "criteria": [], "findings": findings, "summary": ""}))
    assert [(f.file, f.line, f.severity, f.text) for f in review.findings] == [
        (None, None, "major", "odd"), (None, None, "blocker", "t"), ("a", 3, "major", "u"),
    ]  # fmt: skip
    for decision in ("fine", "", None, "approve or return"):
        with pytest.raises(ToolRefused, match="decision"):
            REVIEW.result({"decision": decision, "criteria": [], "findings": [], "summary": ""})
    with pytest.raises(ToolRefused, match="met"):
        REVIEW.result({"decision": "approve", "criteria": ["works"], "findings": [], "summary": ""})


def test_a_result_survives_being_stored() -> None:
    for tool, arguments in (
        (PLAN, {"items": [ITEM]}),
        (REPORT, {"summary": "s", "approach": "a", "criteria": ["c"]}),
        (REVIEW, {"decision": "escalate", "criteria": [], "findings": ["f"], "summary": "s"}),
    ):
        once = tool.result(arguments)
        assert tool.result(once) == once


def test_the_schemas_ask_for_what_the_contract_asks_for() -> None:
    assert (PLAN.spec.name, PLAN.spec.parameters["required"]) == ("submit_plan", ["items"])
    assert REPORT.spec.parameters["required"] == ["summary", "approach"]
    assert REVIEW.spec.parameters["required"] == ["decision", "criteria", "findings", "summary"]
    item = PLAN.spec.parameters["properties"]["items"]["items"]
    assert list(item["properties"]) == [*ITEM] and item["properties"]["id"]["pattern"]
    met = REVIEW.spec.parameters["properties"]["criteria"]["items"]["properties"]["met"]
    assert met["enum"] == ["yes", "no", "unknown"]
    for tool in (PLAN, REPORT, REVIEW):
        assert "$ref" not in str(tool.spec.parameters) and tool.spec.description.endswith("end the conversation.")


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ({"a": 1}, {"a": 1}),
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('{"a": [1, 2,], "b": ",}",}', {"a": [1, 2], "b": ",}"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
    ],
)
def test_arguments_are_mended_where_one_thing_is_meant(raw: Any, meant: dict[str, Any]) -> None:
    assert as_object(raw) == meant


@pytest.mark.parametrize("raw", ['{"a": 1', '{"a": "x', "[1]", "null", "hello", '{"a": 1} {"b": 2}', "[" * 100_000])
def test_arguments_are_never_completed_or_guessed(raw: str) -> None:
    with pytest.raises(ToolRefused):
        as_object(raw)


def test_every_role_has_a_prompt_a_result_and_its_tools() -> None:
    hashes = set()
    for name in ROLES:
        role = role_of(name)
        assert role.result.name in prompt(name)
        assert len(prompt(name)) < 4500
        hashes.add(tuple(prompt_versions(name).values()))
        writes = "write_file" in role.tools
        assert writes == (name not in ("planner", "reviewer", "guardian"))
    assert len(hashes) == len(ROLES)
    with pytest.raises(UsageError, match="unknown role 'boss'"):
        role_of("boss")
