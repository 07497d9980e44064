"""JSON schemas that others wrote: made fit to be shown to models, and used to check arguments. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
from referencing import Registry

from aurea.domain.errors import ToolRefused

LONGEST = 20_000  # characters of a schema as JSON
MOST_PARTS = 2_000  # of a schema whose references are written out
MOST_FAULTS = 8
_PATTERNS = ("pattern", "patternProperties", "format")  # the server's to check: a pattern can be made to take for ever
_BESIDE = ("additionalProperties", "unevaluatedProperties")  # what they say of names depends on the patterns of names


class Unusable(Exception):
    """The schema cannot be used, and why."""


def shown(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as models are shown it: an object's, with references written out where that is short; `Unusable`."""
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise Unusable("the schema of its arguments is nested too deeply") from None
    return cast(dict[str, Any], json.loads(_shown(text)))


@lru_cache(maxsize=256)  # every conversation begins with the same ones, and looking at one takes milliseconds
def _shown(text: str) -> str:
    if len(text) > LONGEST:
        raise Unusable(f"its arguments take more than {LONGEST} characters to describe")
    try:
        schema = json.loads(text)
        Draft202012Validator.check_schema(schema)
        flat = dict(_written_out(schema))
    except SchemaError as fault:
        raise Unusable(f"the schema of its arguments is not valid: {fault.message[:200]}") from None
    except RecursionError:
        raise Unusable("the schema of its arguments is nested too deeply") from None
    if flat.get("type", "object") != "object":
        raise Unusable("its arguments are no object")
    flat.pop("$schema", None)
    return json.dumps({**flat, "type": "object", "properties": flat.get("properties", {})})


class Checker:
    """Checks arguments against a schema that `shown` has taken."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._properties = schema.get("properties", {})
        self._validator = Draft202012Validator(_without_patterns(schema), registry=Registry())

    def check(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """The arguments; `ToolRefused` names what is wrong with them."""
        given = dict(arguments)
        try:
            faults = [_said(error) for error in islice(self._validator.iter_errors(given), MOST_FAULTS)]
        except Exception as fault:  # a reference to nowhere, or a schema that goes round in circles
            raise ToolRefused(f"the arguments cannot be checked: {type(fault).__name__}") from None
        if faults:
            known, named = ", ".join(self._properties) or "none", ", ".join(given) or "none"
            raise ToolRefused(
                "the arguments are not valid: " + "; ".join(faults), remedy=f"arguments: {known}; given: {named}"
            )
        return given


def _written_out(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema without references within it; as it is where they lead elsewhere, in circles, or to too much."""
    left = MOST_PARTS
    definitions = {f"#/{key}/{name}": part for key in ("$defs", "definitions") for name, part in _named(schema, key)}

    def walk(part: Any, depth: int, *, names: bool = False) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > 40:
            raise KeyError
        if isinstance(part, list):
            return [walk(entry, depth + 1) for entry in part]
        if not isinstance(part, dict):
            return part
        if not names and isinstance(part.get("$ref"), str):
            return walk(definitions[part["$ref"]], depth + 1)
        kept = {key: value for key, value in part.items() if names or key not in ("$defs", "definitions")}
        inside = "" if names else "properties"  # whose keys are names of arguments, not words of the schema
        return {key: walk(value, depth + 1, names=key == inside) for key, value in kept.items()}

    try:
        return dict(walk(dict(schema), 0))
    except KeyError:
        return schema


def _named(schema: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    inside = schema.get(key)
    return list(inside.items()) if isinstance(inside, dict) else []


def _without_patterns(part: Any, *, names: bool = False) -> Any:
    """`names`: the keys of this mapping are names of arguments, not words of the schema."""
    if isinstance(part, list):
        return [_without_patterns(entry) for entry in part]
    if not isinstance(part, Mapping):
        return part
    left_out = (*_PATTERNS, *(_BESIDE if "patternProperties" in part else ()))
    return {
        key: _without_patterns(value, names=not names and key in ("properties", "$defs", "definitions"))
        for key, value in part.items()
        if names or key not in left_out
    }


def _said(error: Any) -> str:
    where = ".".join(str(part) for part in error.absolute_path) or "arguments"
    return f"{where}: {error.message[:200]}"
