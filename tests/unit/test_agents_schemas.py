"""JSON schemas that others wrote: written out where that is safe, refused where it is not, and checked against."""

from __future__ import annotations

from typing import Any

import pytest

from aurea.agents.tools.schemas import LONGEST, Checker, Unusable, shown
from aurea.domain.errors import ToolRefused


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_references_are_written_out() -> None:
    schema = {"$defs": {"N": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["n"]}
    assert shown(schema) == {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert shown({}) == {"type": "object", "properties": {}}


def test_what_leads_in_circles_or_to_too_much_stays_as_it_is() -> None:
    circle = {"$defs": {"T": {"properties": {"t": {"$ref": "#/$defs/T"}}}}, "properties": {"t": {"$ref": "#/$defs/T"}}}
    assert shown(circle)["properties"] == {"t": {"$ref": "#/$defs/T"}}
    Checker(shown(circle)).check({"t": {"t": {"t": {}}}})
    laughs: dict[str, Any] = {"L0": {"type": "string"}}
    for level in range(1, 30):
        laughs[f"L{level}"] = {"properties": {side: {"$ref": f"#/$defs/L{level - 1}"} for side in "ab"}}
    assert "$defs" in shown({"$defs": laughs, "properties": {"x": {"$ref": "#/$defs/L29"}}})


@pytest.mark.parametrize(("schema", "why"), [
    ({"type": "array"}, "no object"), ({"type": "nonsense"}, "not valid"), ({"description": "x" * LONGEST}, "more than"),
    (nested(700), "more than|nested too deeply"), ({"properties": {"a": {"type": 7}}}, "not valid"),
])  # fmt: skip
def test_what_cannot_be_used_is_refused(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(Unusable, match=why):
        shown(schema)


def test_arguments_that_do_not_fit_are_told_with_their_place() -> None:
    checker = Checker(shown({"properties": {"a": {"properties": {"n": {"type": "integer"}}}}, "required": ["b"]}))
    with pytest.raises(ToolRefused) as refused:
        checker.check({"a": {"n": "x"}})
    assert "a.n: 'x' is not of type 'integer'" in refused.value.message
    assert "'b' is a required property" in refused.value.message


def test_a_pattern_is_the_servers_to_check_and_an_argument_may_have_its_name() -> None:
    schema = shown({"properties": {"pattern": {"type": "string", "pattern": "(a+)+$"}}, "required": ["pattern"]})
    Checker(schema).check({"pattern": "a" * 60 + "b"})
    with pytest.raises(ToolRefused, match="'pattern' is a required property"):
        Checker(schema).check({})


def test_a_reference_to_elsewhere_is_never_followed() -> None:
    schema = shown({"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}})
    with pytest.raises(ToolRefused, match="cannot be checked"):
        Checker(schema).check({"a": 1})


def test_arguments_may_be_named_as_words_of_schemas_are() -> None:
    named = {"definitions": {"type": "string"}, "$ref": {"type": "string"}, "properties": {"type": "object"}}
    schema = shown({"properties": named, "required": ["definitions"], "additionalProperties": False})
    assert set(schema["properties"]) == set(named)
    assert Checker(schema).check({"definitions": "x"}) == {"definitions": "x"}


def test_names_that_a_pattern_would_allow_are_the_servers_to_check() -> None:
    schema = shown({"patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False})
    assert Checker(schema).check({"x-a": "1"}) == {"x-a": "1"}


def test_a_schema_is_given_to_each_conversation_as_its_own() -> None:
    first = shown({"properties": {"a": {"type": "string"}}})
    first["properties"]["b"] = {}
    assert shown({"properties": {"a": {"type": "string"}}})["properties"] == {"a": {"type": "string"}}
