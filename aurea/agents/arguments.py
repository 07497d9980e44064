"""JSON as models write it: mended where a single thing can have been meant, never completed. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from aurea.domain.errors import ToolRefused

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_TOKEN = re.compile(
    r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|,(?=\s*[}\]])|\b(?:True|False|None)\b""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_WORDS = {"True": "true", "False": "false", "None": "null"}
_SIGNS = re.compile(r"[\W_]+")
_CLOSES = {"{": "}", "[": "]"}


def as_object(raw: dict[str, Any] | str) -> dict[str, Any]:
    """`raw` as an object. Text may be fenced, bent as `read_json` mends it, or be JSON within JSON.

    `ToolRefused` where it is no object even so. Text that was cut off is never completed.
    """
    if isinstance(raw, dict):
        return raw
    if not raw.strip():
        return {}
    try:
        value = read_json(raw)
        if isinstance(value, str):
            value = read_json(value)
    except ValueError as fault:
        raise ToolRefused(f"the arguments are not valid JSON: {fault}") from None
    if not isinstance(value, dict):
        raise ToolRefused("the arguments are no JSON object")
    return value


def read_json(text: str) -> Any:
    """The value of a text that is JSON but for a fence, last commas, single quotes, Python's words or odd escapes.

    `ValueError` where it is none.
    """
    fenced = _FENCE.match(text)
    bare = fenced[1] if fenced else text
    try:
        return json.loads(bare, strict=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as fault:
        try:
            return json.loads(_TOKEN.sub(_mended, bare), strict=False)
        except (ValueError, RecursionError):
            raise fault from None


def guess_json(text: str) -> Any:
    """The value of a text bent further: names or texts without quotes, missing commas, quotes within quotes.

    For what does no harm where the guess is wrong. `ValueError` where it is cut off, or where a word of it got lost.
    """
    from json_repair import repair_json  # takes longer to import than most replies to read

    bare = text.strip()
    if (
        bare[:1] not in _CLOSES
        or bare[-1:] != _CLOSES[bare[0]]
        or any(bare.count(o) != bare.count(c) for o, c in ("{}", "[]"))
    ):
        raise ValueError("it is not whole")
    try:
        value = repair_json(_TOKEN.sub(_mended, bare), return_objects=True, skip_json_loads=True)
        if isinstance(value, dict | list) and _letters(json.dumps(value, ensure_ascii=False)) == _letters(bare):
            return value
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    raise ValueError("not all of it can be read")


def end_of_json(text: str, start: int) -> int | None:
    """Where the object or list that begins at `start` ends, by its brackets; None where it does not."""
    closing: list[str] = []
    at = start
    while at < len(text):
        sign = text[at]
        if sign in _CLOSES:
            closing.append(_CLOSES[sign])
        elif sign in "}]":
            if not closing or closing.pop() != sign:
                return None
            if not closing:
                return at + 1
        elif sign in "\"'" and (string := _TOKEN.match(text, at)):
            at = string.end()
            continue
        at += 1
    return None


def _mended(token: re.Match[str]) -> str:
    text = token[0]
    if text == ",":
        return ""
    if text in _WORDS:
        return _WORDS[text]
    inside = _ESCAPE.sub(_escape, text[1:-1])
    return f'"{inside}"' if text[0] == '"' else '"' + re.sub(r'(?<!\\)((?:\\\\)*)"', r"\1\\" + '"', inside) + '"'


def _escape(found: re.Match[str]) -> str:
    sign = found[1]
    if sign == "'":
        return "'"
    return found[0] if sign[0] in '"\\/bfnrt' or len(sign) == 5 else "\\" + found[0]


def _letters(text: str) -> str:
    return _SIGNS.sub("", text).casefold()
