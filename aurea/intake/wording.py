"""Turns what the YAML reader and pydantic say into plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from aurea.domain.spec import (
    PATTERN_WORDS,
    PROVIDERS,
    ROLES,
    BlockNames,
    Budgets,
    Check,
    CommitSpec,
    ItemSpec,
    McpServer,
    ModelPrice,
    ProviderLimits,
    Reviewer,
    RoleChoice,
    Spec,
)
from aurea.intake.faults import Faults, KeyPath, did_you_mean
from aurea.intake.scalars import kind_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from ruamel.yaml.error import MarkedYAMLError

_YAML_WORDS = (
    ("'\\t'", "a tab may not stand here; indent with spaces"),
    ("mapping values are not allowed", "no key may stand here: check the indentation, or quote a text that holds `: `"),
    ("could not find expected", "a `:` is missing after a key, or the indentation is off"),
    ("expected <block end>", "this does not fit what stands above: check the indentation and the quotes"),
    ("expected '<document start>'", "this does not fit what stands above: check the indentation and the quotes"),
    ("'<stream end>'", "the text ends here while a bracket is still open"),
    ("that cannot start any token", "a text may not begin with this character; quote it"),
)

# Where keys are known: by the first key of their path.
_PARTS: Mapping[str, type[BaseModel]] = {
    "checks": Check,
    "reviewers": Reviewer,
    "items": ItemSpec,
    "mcp": McpServer,
    "roles": RoleChoice,
    "limits": ProviderLimits,
    "budgets": Budgets,
    "prices": ModelPrice,
    "commit": CommitSpec,
    "blocks": BlockNames,
}

# What a value of the wrong kind should have been.
_EXPECTED: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("more than {}", "gt"),
    "greater_than_equal": ("at least {}", "ge"),
    "less_than": ("less than {}", "lt"),
    "less_than_equal": ("at most {}", "le"),
}


def yaml_words(fault: MarkedYAMLError) -> tuple[Any, str]:
    """Where the reader stopped, as its own mark, and why, in plain words."""
    context, problem = fault.context or "", fault.problem or "cannot be read as YAML"
    if "quoted scalar" in context and "end of" in problem:
        return fault.context_mark, "a quote is opened here and never closed"
    if context.startswith("while parsing a flow") and problem.startswith("expected ','"):
        return (
            fault.context_mark,
            "a bracket is opened here; it is not closed, or a `,` is missing between what it holds",
        )
    words = next((words for sign, words in _YAML_WORDS if sign in problem), problem)
    return fault.problem_mark or fault.context_mark, words.replace("'\\x00'", "the end")


def keys_of_spec(path: KeyPath) -> Iterable[str]:
    """The keys that are known in the mapping at `path` of a spec."""
    if not path:
        return (*Spec.model_fields, "task_description")
    part = _PARTS.get(str(path[0]))
    return part.model_fields if part is not None else ()


def tell(
    errors: Iterable[ErrorDetails],
    data: Any,
    faults: Faults,
    keys_at: Callable[[KeyPath], Iterable[str]] = keys_of_spec,
) -> None:
    """Add pydantic's errors about `data` to `faults`; those of one value (branches of a choice) become one."""
    by_place: dict[tuple[KeyPath, bool], list[ErrorDetails]] = {}
    for error in errors:
        path = _real(error["loc"], data, past=error["type"] in ("missing", "extra_forbidden"))
        key = error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",)
        by_place.setdefault((path, key), []).append(error)
    for (path, key), about in by_place.items():
        faults.add(path, _words(path, about, keys_at), key=key)


def _real(loc: Sequence[str | int], data: Any, *, past: bool) -> KeyPath:
    """The part of pydantic's location that stands in the data, without the names of branches; `past`: one key more."""
    path: list[str | int] = []
    for part in loc:
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        )
        if not inside:
            return (*path, loc[-1]) if past else tuple(path)
        path.append(part)
        data = data[part]
    return tuple(path)


def _words(path: KeyPath, errors: Sequence[ErrorDetails], keys_at: Callable[[KeyPath], Iterable[str]]) -> str:
    kinds = {error["type"] for error in errors}
    if "missing" in kinds:
        return "required, and not given" + ("; write it, or say --objective TEXT" if path == ("objective",) else "")
    if "extra_forbidden" in kinds:
        return f"unknown key {path[-1]!r}{did_you_mean(path[-1], keys_at(path[:-1]))}"
    told = [error for error in errors if error["type"] == "value_error"]
    if told:
        words = "; ".join(str(error.get("ctx", {}).get("error", error["msg"])) for error in told)
        return words + did_you_mean(path[-1], {"roles": ROLES, "limits": PROVIDERS}.get(str(path[0]), ()))
    if kinds & {"string_too_short", "too_short"}:
        return "must not be empty"
    expected = list(dict.fromkeys(phrase for error in errors for phrase in _phrases(error)))
    value = errors[0]["input"]
    choice = " or ".join(expected) if len(expected) < 3 else "one of " + ", ".join(expected)
    return f"must be {choice}{_instead(value, expected, errors)}"


def _phrases(error: ErrorDetails) -> list[str]:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _EXPECTED:
        return [_EXPECTED[kind]]
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return [words.format(_number(context[name]))]
    if kind == "literal_error":
        return [f"`{name}`" for name in _choices(error)]
    if kind == "string_pattern_mismatch":
        return [PATTERN_WORDS[context["pattern"]]]
    return [error["msg"].lower()]


def _choices(error: ErrorDetails) -> list[str]:
    expected = str(error.get("ctx", {}).get("expected", ""))
    return [name.strip("'") for name in expected.replace(" or ", ", ").split(", ")]


def _instead(value: Any, expected: Sequence[str], errors: Sequence[ErrorDetails]) -> str:
    """What stands there instead, with the way to mend it where there is one."""
    choices = [name for error in errors if error["type"] == "literal_error" for name in _choices(error)]
    if isinstance(value, str):
        return did_you_mean(value, choices) or f", not {value[:60]!r}"
    if "text" in expected and isinstance(value, bool | int | float):
        return f", not {kind_of(value)}: put it in quotes"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f", not {value}"
    return f", not {kind_of(value)}"


def _number(value: float) -> str:
    return f"{value:g}" if value < 1e5 else f"{value:.0f}"
