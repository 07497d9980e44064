"""What a word of YAML 1.2 means: the core schema, without its traps."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_NULL = ("", "~", "null", "Null", "NULL")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"


class AmbiguousScalar(ValueError):
    """A word that could be meant in two ways, or cannot be a value at all; the message says how to write it."""


def scalar_value(text: str, *, tag: str | None, plain: bool) -> Any:
    """The value of a word: by its tag where it has one, by the core schema where it is not quoted, else its text."""
    if tag == _TAG + "str" or tag == "!" or (tag is None and not plain):
        return _whole(text)
    if tag is None:
        return plain_value(text)
    kinds = {"null": type(None), "bool": bool, "int": int, "float": float}
    kind = kinds.get(tag.removeprefix(_TAG)) if tag.startswith(_TAG) else None
    if kind is None:
        raise AmbiguousScalar(f"the tag {tag!r} is not known here; take it away")
    value = plain_value(text)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise AmbiguousScalar(f"{text[:40]!r} does not fit its tag {tag!r}")
    return value


def plain_value(text: str) -> Any:
    """The value of an unquoted word: nothing, true, false, a number, else its text."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        if not _DECIMAL.fullmatch(text):
            # `012` is twelve to YAML 1.2, ten to YAML 1.1 and a word to most people.
            raise AmbiguousScalar(f"`{text[:40]}` can be read in two ways; write a decimal number, or quote it")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value
    elif not _SPECIAL.fullmatch(text):
        return text
    raise AmbiguousScalar(f"`{text[:40]}` is no finite number; if it is meant as text, quote it")


def kind_of(value: object) -> str:
    """What a value is, in plain words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{json.dumps(value)}`"
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
    return "a mapping"


def _whole(text: str) -> str:
    """Text whose escapes make whole characters: JSON writes those beyond U+FFFF as two."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise AmbiguousScalar("half a character: an escape \\ud800 to \\udfff stands alone") from None
