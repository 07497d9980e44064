"""Arguments of the wrong type, brought to the type that a tool's schema asks for where one thing is meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aurea.agents.arguments import read_json

_WHOLE = re.compile(r"\A\s*[+-]?\d{1,18}\s*\Z")
_NUMBER = re.compile(r"\A\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*\Z")
_WRAPPERS = ("arguments", "parameters", "args", "input", "kwargs")
_UNSET = object()

Schema = Mapping[str, Any]


def fit(arguments: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """The arguments with what is bent in them brought into the shape of `schema`; what cannot be stays as it is."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if len(arguments) == 1:
        ((name, inside),) = arguments.items()
        if name in _WRAPPERS and name not in properties:
            opened = _parsed(inside, dict)
            if isinstance(opened, dict):
                return fit(opened, schema)
    return _fields(arguments, schema)


def _fields(arguments: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = schema.get("required", ())
    fitted = {
        name: _value(value, properties[name], must=name in required) if name in properties else value
        for name, value in arguments.items()
    }
    return {name: value for name, value in fitted.items() if value is not _UNSET}


def _value(value: Any, schema: Schema, *, must: bool = True) -> Any:
    kinds = _kinds(schema)
    if not kinds or ("null" in kinds and value is None):
        return value
    if not must and (value is None or (value == "" and "string" not in kinds)):
        return _UNSET
    if len(kinds - {"null"}) != 1:
        return value
    (kind,) = kinds - {"null"}
    return _FITTERS[kind](value, _part(schema, kind)) if kind in _FITTERS else value


def _integer(value: Any, _: Schema) -> Any:
    if isinstance(value, str) and _WHOLE.match(value):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any, _: Schema) -> Any:
    return float(value) if isinstance(value, str) and _NUMBER.match(value) else value


def _boolean(value: Any, _: Schema) -> Any:
    words = {"true": True, "false": False}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


def _string(value: Any, _: Schema) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _array(value: Any, schema: Schema) -> Any:
    items = schema.get("items", {})
    opened = _parsed(value, list)
    if not isinstance(opened, list):
        one = {"string": str, "object": dict, "integer": int, "number": int | float}
        kinds = _kinds(items)
        if not any(isinstance(opened, one[kind]) for kind in kinds & one.keys()):
            return value
        opened = [opened]
    return [_value(entry, items) for entry in opened]


def _object(value: Any, schema: Schema) -> Any:
    opened = _parsed(value, dict)
    return _fields(opened, schema) if isinstance(opened, dict) else value


_FITTERS = {
    "integer": _integer, "number": _number, "boolean": _boolean, "string": _string, "array": _array, "object": _object,
}  # fmt: skip


def _parsed(value: Any, kind: type) -> Any:
    """What a text holds where it is JSON of that kind; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            opened = read_json(value)
        except ValueError:
            return value
        return opened if isinstance(opened, kind) else value
    return value


def _kinds(schema: Schema) -> set[str]:
    """The JSON types that a schema allows; none where it is only true or false, which others' schemas may be."""
    if not isinstance(schema, Mapping):
        return set()
    kind = schema.get("type")
    found = {kind} if isinstance(kind, str) else set(kind or ())
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= _kinds(option)
    return found


def _part(schema: Schema, kind: str) -> Schema:
    """The part of a schema that speaks of `kind`."""
    options = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    return next((option for option in options if kind in _kinds(option)), schema)
