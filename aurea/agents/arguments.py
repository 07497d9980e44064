"""The arguments of a tool call as an object, mended only where a single thing can have been meant. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from aurea.domain.errors import ToolRefused

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)


def as_object(raw: dict[str, Any] | str) -> dict[str, Any]:
    """`raw` as an object. Text may be fenced, hold commas before closing brackets, or be JSON within JSON.

    `ToolRefused` where it is no object even so. Text that was cut off is never completed.
    """
    if isinstance(raw, dict):
        return raw
    if not raw.strip():
        return {}
    value = _load(raw)
    if isinstance(value, str):
        value = _load(value)
    if not isinstance(value, dict):
        raise ToolRefused("the arguments are no JSON object")
    return value


def _load(text: str) -> Any:
    fenced = _FENCE.match(text)
    bare = fenced[1] if fenced else text
    try:
        return json.loads(bare, strict=False)
    except (ValueError, RecursionError) as fault:
        try:
            return json.loads(_without_last_commas(bare), strict=False)
        except (ValueError, RecursionError):
            raise ToolRefused(f"the arguments are not valid JSON: {fault}") from None


def _without_last_commas(text: str) -> str:
    return _STRING.sub(lambda found: found[0] if found[0].startswith('"') else "", text)
