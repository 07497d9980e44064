"""The form of each answer to a question: which fields a choice takes, as JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aurea.domain.errors import UsageError
from aurea.domain.evidence import CHOICES, Question, QuestionKind

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT, "minItems": 1}

# (kind, choice) -> the fields it takes; a name with `?` may be left out.
_FIELDS: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("plan", "revise"): {"comment": _TEXT},
    ("land", "return"): {"comment": _TEXT, "items?": _TEXTS},
    ("escalation", "retry"): {"goal?": _TEXT, "criteria?": _TEXTS, "hint?": _TEXT},
    ("escalation", "spawn_item"): {"goal": _TEXT, "criteria": _TEXTS, "files?": _TEXTS},
    ("escalation", "approve_anyway"): {"reason": _TEXT},
    ("budget", "raise"): {"usd": {"type": "number", "exclusiveMinimum": 0}},
    ("budget", "switch_model"): {"model": _TEXT},
}


def form(kind: QuestionKind) -> dict[str, dict[str, Any]]:
    """For each choice that a question of this kind offers, the JSON schema of the fields given with it."""
    return {choice: _schema(_FIELDS.get((kind, choice), {})) for choice in CHOICES[kind]}


def _schema(fields: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name.rstrip("?"): dict(schema) for name, schema in fields.items()},
        "required": [name for name in fields if not name.endswith("?")],
        "additionalProperties": False,
    }


def check_fields(question: Question, choice: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an answer as its form has them: one text may stand for a list of one, digits for a number.

    `UsageError` names every fault; nothing is recorded then.
    """
    if choice not in question.choices:
        raise UsageError(
            f"question {question.id} does not offer {choice!r}", remedy=f"the choices are {', '.join(question.choices)}"
        )
    schema = form(question.kind)[choice]
    known, given, faults = schema["properties"], {}, []
    for name, value in fields.items():
        if name not in known:
            faults.append(f"{choice} takes no field {name!r}")
            continue
        try:
            given[name] = _value(known[name], value)
        except ValueError as fault:
            faults.append(f"{name}: {fault}")
    faults += [f"{choice} needs the field {name!r}" for name in schema["required"] if name not in fields]
    if faults:
        names = ", ".join(name if name in schema["required"] else f"{name}?" for name in known) or "none"
        raise UsageError("; ".join(faults), remedy=f"the fields of {choice} are: {names}")
    return given


def _value(schema: Mapping[str, Any], value: Any) -> Any:
    if schema["type"] == "array":
        entries = value if isinstance(value, list | tuple) else [value]
        if not entries:
            raise ValueError("is empty")
        return [_value(schema["items"], entry) for entry in entries]
    if schema["type"] == "number":
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{value!r} is no number") from None
        if not 0 < number < float("inf"):
            raise ValueError(f"{value!r} is not above 0")
        return number
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is no text" if not isinstance(value, str) else "is empty")
    return value
