"""Commands as words: a text split as a shell would split it, and refused where only a shell could do what it says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from typing import Any

OWN_PYTHON = "{aurea_python}"  # stands for the interpreter that runs Aurea
OWN_PYTHON_VARIABLE = "AUREA_PYTHON"  # where agents find it

_OPERATORS = ("&&", "||", ">>", "<<", "|", ";", "&", "<", ">", "(", ")")


def as_words(value: Any) -> Any:
    """The words of a command written as one text; a list is only looked at. `ValueError` says what is wrong."""
    if not isinstance(value, str):
        return _checked(value)
    text = value.strip()
    hint = f"write it as [bash, -c, {json.dumps(text, ensure_ascii=False)}]"
    try:
        words = shlex.split(text)
    except ValueError as fault:
        raise ValueError(f"not a command ({str(fault).lower()}); {hint}") from None
    if not words:
        raise ValueError("an empty command")
    if re.match(r"[A-Za-z_][A-Za-z0-9_]*=", words[0]):
        raise ValueError(f"a variable in front of a command is set by a shell; use `env`, or {hint}")
    sign = shell_sign(text)
    if sign is not None:
        raise ValueError(f"{sign} needs a shell, and commands are given to none; {hint}")
    return _checked(words)


def as_shell_line(words: Iterable[str]) -> str:
    """A command as an agent can give it to its shell. The place of the interpreter is no part of what agents are told."""
    own = f'"${OWN_PYTHON_VARIABLE}"'
    return " ".join(
        own.join(shlex.quote(part) if part else "" for part in word.split(OWN_PYTHON)) or "''" for word in words
    )


def shell_sign(text: str) -> str | None:
    """The first thing in `text`, outside the quotes that protect it, that only a shell acts on; None: there is none."""
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'":
            at += 2
            continue
        if quote:
            if char == quote:
                quote = ""
            elif quote == '"' and char in "$`":
                return f"`{char}`" if char == "$" else "a backquote"
        elif char in "'\"":
            quote = char
        else:
            sign = _unquoted_sign(text, at)
            if sign is not None:
                return sign
        at += 1
    return None


def _unquoted_sign(text: str, at: int) -> str | None:
    char = text[at]
    if char == "$":
        return "`$`"
    if char == "`":
        return "a backquote"
    if char == "\n":
        return "a second line"
    if char in "*?":
        return f"the glob `{char}`"
    if char == "~" and (at == 0 or text[at - 1].isspace()):
        return "`~`"
    for operator in _OPERATORS:
        if text.startswith(operator, at):
            return f"`{operator}`"
    return None


def _checked(words: Any) -> Any:
    """Refuse a list whose first word can be no program, which is what a command taken apart too far looks like."""
    if isinstance(words, list | tuple) and words and isinstance(words[0], str):
        if not words[0].strip():
            raise ValueError("the program is empty")
        if words[0].startswith("-"):
            raise ValueError(f"{words[0]!r} is an option, not a program; a command of several words is one list")
    return words
