"""What weak models get wrong about calling tools, mended before it is judged where one thing can be meant. Pure.

A mended call is one of a tool that the role has, with arguments that its schema takes. Nothing is mended of a reply that
was cut off, and what a writing tool is to write is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aurea.agents.arguments import end_of_json, guess_json, read_json
from aurea.agents.fitting import fit
from aurea.agents.results import ResultTool
from aurea.agents.spoken import Spoken, spoken, without_thoughts
from aurea.agents.tools.base import AgentTool
from aurea.domain.errors import ToolRefused
from aurea.domain.messages import ModelReply, ToolCall

_AROUND = re.compile(r"\A(?:functions?|tools?|default_api)[.:/]|<\|.*\Z|\(\)?\Z|:\d+\Z", re.DOTALL)


@dataclass(frozen=True)
class Known:
    """A tool as far as mending goes: the schema of its arguments, whether they are valid, whether it writes."""

    schema: Mapping[str, Any]
    valid: Callable[[Mapping[str, Any]], bool]
    writes: bool = False
    result: bool = False


def known_tools(tools: Mapping[str, AgentTool[Any]], result: ResultTool) -> dict[str, Known]:
    """The tools of a conversation and the one that ends it."""
    known = {name: Known(tool.spec.parameters, _taken(tool), tool.writes) for name, tool in tools.items()}
    known[result.name] = Known(result.spec.parameters, lambda said: _accepts(lambda: result.result(said)), result=True)
    return known


def repaired(reply: ModelReply, tools: Mapping[str, Known]) -> tuple[ModelReply, tuple[str, ...]]:
    """The reply with its calls as they were meant, and what was mended of them; as it is where nothing was."""
    if reply.finish in ("length", "refused"):
        return reply, ()
    try:
        return _with_made(reply, tools) if reply.calls else _with_spoken(reply, tools)
    except RecursionError:  # nested deeper than anything that is meant
        return reply, ()


def _with_made(reply: ModelReply, tools: Mapping[str, Known]) -> tuple[ModelReply, tuple[str, ...]]:
    """A reply with calls, each as it was meant."""
    calls: list[ToolCall] = []
    what: list[str] = []
    for call in reply.calls:
        made, done = _mended(call, tools)
        calls += made
        what += done
    if not what:
        return reply, ()
    return reply.model_copy(update={"calls": tuple(calls)}), tuple(what)


def _with_spoken(reply: ModelReply, tools: Mapping[str, Known]) -> tuple[ModelReply, tuple[str, ...]]:
    """A reply without calls, with those that its text ends with."""
    text = without_thoughts(reply.text)
    for before, said in spoken(text, frozenset(tools)):
        made = [_call(one, tools, alone=len(said) == 1) for one in said]
        calls = [call for call in made if call is not None]
        if len(calls) == len(said):
            what = tuple(f"{call.name}: the call stood in the text" for call in calls)
            # What providers want back unread belongs to the reply as it was; calls of the text are not in it.
            done = {"text": before, "calls": tuple(calls), "finish": "tool_calls", "opaque": {}}
            return reply.model_copy(update=done), what
    return reply, ()


def _call(said: Spoken, tools: Mapping[str, Known], *, alone: bool) -> ToolCall | None:
    """The call that was meant; None where none was, or where its arguments are not valid."""
    name, times = _name(said.name, tools)
    if name is None and alone and isinstance(said.arguments, Mapping):
        return _bare_result(said, tools)
    if name is None or times != 1 or (said.guessed and tools[name].writes):
        return None
    arguments = said.arguments
    if isinstance(arguments, str):
        read = _objects(arguments, guess=not tools[name].writes)
        arguments = read[0] if len(read) == 1 else None
    if not isinstance(arguments, Mapping):
        return None
    fitted = _fitted(arguments, tools[name])
    return None if fitted is None else ToolCall(id="", name=name, arguments=fitted)


def _bare_result(said: Spoken, tools: Mapping[str, Known]) -> ToolCall | None:
    """An object that is what a result tool takes, all of it and nothing else."""
    for name, tool in tools.items():
        required, properties = set(tool.schema.get("required", ())), set(tool.schema.get("properties", ()))
        if tool.result and required <= set(said.arguments) <= properties:
            fitted = _fitted(said.arguments, tool)
            return None if fitted is None else ToolCall(id="", name=name, arguments=fitted)
    return None


def _mended(call: ToolCall, tools: Mapping[str, Known]) -> tuple[list[ToolCall], list[str]]:
    """The calls that one call means, and what was mended; the call itself where it is in order, or cannot be mended."""
    name, times = _name(call.name, tools)
    if name is None:
        return [call], []
    tool = tools[name]
    if isinstance(call.arguments, dict):
        read, how = [call.arguments], ""
    else:
        read = _objects(call.arguments, guess=not tool.writes)
        how = f"{name}: its arguments were not plain JSON" if read else ""
    whole = [_fitted(arguments, tool) for arguments in read]
    if not whole or None in whole or times not in (1, len(whole)):
        return [call], []
    what = [how] if how else []
    if len(read) > 1:
        what = [f"{name}: {len(read)} calls were glued together"]
    elif whole != read:
        what.append(f"{name}: arguments of another type than asked for: {_changed(read[0], whole[0] or {})}")
    if name != call.name and times == 1:
        what.append(f"{name}: it was called {call.name[:60]!r}")
    if not what:
        return [call], []
    ids = [call.id, *[f"{call.id}-{n}" if call.id else "" for n in range(2, len(whole) + 1)]]
    made = [ToolCall(id=id_, name=name, arguments=fitted or {}) for id_, fitted in zip(ids, whole, strict=True)]
    return made, what


def _name(said: str, tools: Mapping[str, Known]) -> tuple[str | None, int]:
    """The tool that a name means, and how often it stands there; None where no tool is meant."""
    if said in tools:
        return said, 1
    bare = _AROUND.sub("", said.strip()).strip()
    for name in (bare, bare.replace("-", "_"), bare.lower()):
        if name in tools:
            return name, 1
    for name in tools:
        times, rest = divmod(len(bare), len(name))
        if bare and not rest and times > 1 and bare == name * times:
            return name, times
    return None, 1


def _objects(text: str, *, guess: bool) -> list[dict[str, Any]]:
    """The objects that a text of arguments consists of, each once; none where it holds anything else."""
    value = _read(text, guess=False)
    if isinstance(value, str):
        text, value = value, _read(value, guess=guess)
    if value is None:
        value = _glued(text) or (_read(text, guess=True) if guess else None)
    found: list[dict[str, Any]] = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, dict):
            return []
        if entry not in found:
            found.append(entry)
    return found


def _read(text: str, *, guess: bool) -> Any:
    try:
        return read_json(text) if text.strip() else {}
    except ValueError:
        pass
    try:
        return guess_json(text) if guess else None
    except ValueError:
        return None


def _glued(text: str) -> list[Any] | None:
    """Values that stand one behind the other."""
    found: list[Any] = []
    at = 0
    while at < len(text):
        if text[at] in " \t\r\n,":
            at += 1
            continue
        end = end_of_json(text, at) if text[at] in "{[" else None
        value = _read(text[at:end], guess=False) if end is not None else None
        if end is None or value is None:
            return None
        found.append(value)
        at = end
    return found


def _fitted(arguments: Mapping[str, Any], tool: Known) -> dict[str, Any] | None:
    """The arguments as the tool takes them: as they are, else with their types mended; None where neither is valid."""
    if tool.valid(arguments):
        return dict(arguments)
    fitted = fit(arguments, tool.schema)
    return fitted if tool.valid(fitted) else None


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(names)


def _taken(tool: AgentTool[Any]) -> Callable[[Mapping[str, Any]], bool]:
    return lambda said: _accepts(lambda: tool.check(said))


def _accepts(judge: Callable[[], object]) -> bool:
    try:
        judge()
    except ToolRefused:
        return False
    return True
