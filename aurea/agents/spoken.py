"""Tool calls that a model wrote into its text instead of making them: found where the reply ends with them. Pure."""

from __future__ import annotations

import ast
import itertools
import re
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aurea.agents.arguments import end_of_json, guess_json, read_json

MOST_BEGINNINGS = 100  # of a text that are tried; each may take as long as the text is
_THOUGHT = re.compile(r"<(?P<ends>/?)(?P<name>think|thinking|thought|reasoning)>")
_THOUGHT_END = re.compile(r"\A.*</(?:think|thinking|thought|reasoning)>", re.DOTALL)
_BEGINS = re.compile(r"^[ \t]*(?=[{\[<`]|Action[ \t]*:|[A-Za-z_]\w*\()", re.MULTILINE)
_BETWEEN = re.compile(
    r"""(?:[\s,;] | ```+[ \t]*[\w-]* | </?tool_calls?> | </?function_calls?> | \[/?TOOL_CALLS\] | <\|[\w▁-]+\|> | </s>)+""",
    re.VERBOSE,
)
_ANSWERS = re.compile(r"<tool_response>|<tool_result>|Observation[ \t]*:")
_TAGGED = re.compile(
    r"""<(?:function=|invoke\s+name=|function\s+name=)["']?(?P<name>[\w.-]+)["']?\s*>(?P<inside>.*?)</(?:function|invoke)>""",
    re.DOTALL | re.VERBOSE,
)
_PARAMETER = re.compile(
    r"""<parameter(?:=|\s+name=)["']?(?P<name>[\w.-]+)["']?\s*>(?P<value>.*?)</parameter>""", re.DOTALL | re.VERBOSE
)
_ACTION = re.compile(
    r"Action[ \t]*:[ \t]*(?P<name>[\w.-]+)[ \t]*\n[ \t]*Action[ \t]Input[ \t]*:[ \t]*(?=\{)", re.VERBOSE
)
_EXAMPLE = re.compile(
    r"\b(?:example|e\.g|for instance|such as|format|schema|syntax|could|do not|don't|never|instead of|avoid)\b",
    re.IGNORECASE,
)
_NAMES = ("name", "tool", "tool_name", "function", "function_name", "action")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params")
_ASIDE = frozenset({"id", "type", "index", "call_id", "role", "recipient", "thought", "reasoning"})
_TRIED = re.compile(r"<tool_call>|<function=|<invoke |\"name\"\s*:|'name'\s*:|Action Input\s*:")


@dataclass(frozen=True)
class Spoken:
    """A call as text has it. Without a `name` it is a bare object; `guessed`: not only what is certain was mended."""

    name: str
    arguments: Any
    guessed: bool = False


def without_thoughts(text: str) -> str:
    """The text without what the model thought aloud, also where only the end of that is marked."""
    return _THOUGHT_END.sub("", _outside(text)).strip()


def _outside(text: str) -> str:
    """The text outside of what begins and ends as a thought. A look at each mark, since some models write thousands."""
    marks = list(_THOUGHT.finditer(text))
    ends: dict[str, deque[int]] = {}
    for mark in marks:
        if mark["ends"]:
            ends.setdefault(mark["name"], deque()).append(mark.end())
    kept, at = [], 0
    for mark in marks:
        after = ends.get(mark["name"], ())
        while after and after[0] <= mark.end():
            after.popleft()
        if after and not mark["ends"] and mark.start() >= at:
            kept.append(text[at : mark.start()])
            at = after[0]
    return "".join([*kept, text[at:]])


def spoken(text: str, names: frozenset[str]) -> Iterator[tuple[str, list[Spoken]]]:
    """Ways to read the end of `text` as calls and nothing else, longest first, each with the words before it."""
    for place in itertools.islice(_BEGINS.finditer(text), MOST_BEGINNINGS):
        before = text[: place.start()].rstrip()
        said = before.splitlines()[-1] if before else ""
        if _EXAMPLE.search(said):
            continue
        calls = _calls(text[place.end() :]) or (_python(text[place.end() :], names) if not before else None)
        if calls:
            yield before, calls


def was_tried(text: str) -> bool:
    """Whether a text that held no call looks as if it was to hold one."""
    return bool(_TRIED.search(text))


def _calls(text: str) -> list[Spoken] | None:
    """The calls that `text` consists of; None where there is anything else in it."""
    found: list[Spoken] = []
    at = 0
    while True:
        if between := _BETWEEN.match(text, at):
            at = between.end()
        if at == len(text) or (found and _ANSWERS.match(text, at)):
            return found or None  # an answer that the model made up itself is left out
        if tagged := _TAGGED.match(text, at):
            found.append(_from_tags(tagged))
            at = tagged.end()
            continue
        name = ""
        if action := _ACTION.match(text, at):
            name, at = action["name"], action.end()
        end = end_of_json(text, at) if text[at : at + 1] in ("{", "[") else None
        if end is None:
            return None
        try:
            value, guessed = _value(text[at:end])
        except ValueError:
            return None
        read = [Spoken(name, value, guessed)] if name else _from_value(value, guessed=guessed)
        if read is None:
            return None
        found += read
        at = end


def _value(text: str) -> tuple[Any, bool]:
    try:
        return read_json(text), False
    except ValueError:
        return guess_json(text), True


def _from_tags(tagged: re.Match[str]) -> Spoken:
    inside = tagged["inside"]
    parameters = {found["name"]: _line_ends(found["value"]) for found in _PARAMETER.finditer(inside)}
    if parameters or not inside.strip():
        return Spoken(tagged["name"], parameters)
    return Spoken(tagged["name"], inside.strip())


def _line_ends(value: str) -> str:
    """A parameter's text without the line ends that only set it off from its tags."""
    return value.removeprefix("\n").removesuffix("\n")


def _from_value(value: Any, *, guessed: bool) -> list[Spoken] | None:
    """The calls that a JSON value means: one, a list of them, or in the wrapping of some server."""
    if isinstance(value, list):
        read = [_from_value(entry, guessed=guessed) for entry in value]
        return [call for calls in read for call in calls or ()] if read and all(read) else None
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("tool_calls"), list):
        return _from_value(value["tool_calls"], guessed=guessed)
    if isinstance(value.get("function"), Mapping):
        return _from_value(value["function"], guessed=guessed)
    for key in _NAMES:
        if isinstance(value.get(key), str):
            rest = {name: entry for name, entry in value.items() if name != key and name not in _ASIDE}
            inside = next((rest[name] for name in _ARGUMENTS if name in rest and len(rest) == 1), rest)
            return [Spoken(value[key], inside, guessed)]
    if len(value) == 1:
        ((name, inside),) = value.items()
        if isinstance(inside, Mapping):
            return [Spoken(name, dict(inside), guessed)]
    return [Spoken("", dict(value), guessed)]


def _python(text: str, names: frozenset[str]) -> list[Spoken] | None:
    """Calls written in Python, where the text is nothing else: `read_file(path="a")`, or a list of such."""
    bare = _BETWEEN.sub("", text, count=1) if text.startswith("```") else text
    bare = bare.rstrip().removesuffix("```").strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(bare, mode="eval").body
        made = body.elts if isinstance(body, ast.List | ast.Tuple) else [body]
        return [_from_python(call, names) for call in made] or None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _from_python(call: ast.expr, names: frozenset[str]) -> Spoken:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in names:
        raise ValueError("no call of a tool")
    if call.args and not call.keywords and len(call.args) == 1:
        return Spoken(call.func.id, ast.literal_eval(call.args[0]))
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise ValueError("arguments without names")
    return Spoken(call.func.id, {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords})
