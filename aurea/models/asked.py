"""What a model is asked, as short hashes by part: recorded with each answer, compared when the answer is played.

A step tells only what is new in it: its conversation's first one the instructions, the task, the tools and the model,
each later one the results and the words that came since. What is written once holds until it is written again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from pydantic import Field

from aurea.domain.agent_facts import Difference
from aurea.domain.messages import (
    Address,
    AssistantMessage,
    ModelRequest,
    SystemMessage,
    ToolMessage,
    UserMessage,
    Value,
)
from aurea.models.scrub import scrubbed

# Parts of a task in which every word counts: a user's own. What happened in the run, others are made of.
WORDS = frozenset(
    {"item", "criteria", "hints", "files", "checks", "rules", "objective", "acceptance", "limits", "focus", "plan"}
)
_STANDING = re.compile(r"\((?:landed, in your workspace|not yet there)")  # how far other items are, in the part `plan`
WHOLE = "task"  # the one part of a task whose parts are not known
UNNAMED = "cassette"  # the model of a replay that names none
_LENGTH = 12

Parts = Mapping[str, str]
PartsOf = Callable[[Address], Parts | None]


class Asked(Value):
    """The hashes of what one step asks. `results` is by tool call, `task` by part, `tools` by name."""

    model: str = ""
    options: str = ""
    system: str = ""
    task: dict[str, str] = Field(default_factory=dict)
    tools: dict[str, str] = Field(default_factory=dict)
    results: dict[str, str] = Field(default_factory=dict)
    said: str = ""

    def after(self, before: Asked) -> Asked:
        """What of this is to be written behind a step up to which `before` holds."""
        same = {name: getattr(Asked(), name) for name in STANDING if getattr(self, name) == getattr(before, name)}
        return self.model_copy(update=same)

    def with_standing(self, before: Asked) -> Asked:
        """What holds at this step, where `before` holds up to it."""
        return self.model_copy(update={name: getattr(self, name) or getattr(before, name) for name in STANDING})


STANDING = ("model", "options", "system", "task", "tools")


def asked(request: ModelRequest, parts: Parts | None) -> Asked:
    """What `request` asks; `parts` are those of its conversation's task, where they are known."""
    system, task, new = _split(request)
    named = parts if parts is not None else {WHOLE: task}
    results = [message for message in new if isinstance(message, ToolMessage)]
    said = "\n".join(message.text for message in new if isinstance(message, UserMessage))
    return Asked(
        model=str(request.model),
        options=_hash(_json(request.model.options)),
        system=_hash(system),
        task={name: _hash(text, made=name not in WORDS) for name, text in named.items()},
        tools={tool.name: _hash(_json([tool.description, tool.parameters])) for tool in request.tools},
        results={message.call: _hash(message.text, made=True) for message in results},
        said=_hash(said, made=True) if said else "",
    )


def texts(request: ModelRequest, parts: Parts | None) -> dict[str, str]:
    """The instructions and a user's words behind the hashes of `asked`, by hash: what a person may come to change."""
    system, _, _ = _split(request)
    told = {_hash(text): text for name, text in (parts or {}).items() if name in WORDS}
    return {_hash(system): system, **told}


def differences(recorded: Asked, now: Asked, request: ModelRequest) -> tuple[Difference, ...]:
    """What differs between what was asked and what is asked now, both with what holds from earlier steps."""
    found = [*_named("task", recorded.task, now.task), *_named("tools", recorded.tools, now.tools)]
    if recorded.system and recorded.system != now.system:
        found.insert(0, Difference(kind="system"))
    tools = {message.call: message.name for message in request.messages if isinstance(message, ToolMessage)}
    calls = [f"{tools.get(call, 'a call')} {call}".strip() for call in (*recorded.results, *now.results)]
    names = dict(zip((*recorded.results, *now.results), calls, strict=True))
    found += [
        one.model_copy(update={"name": names[one.name]}) for one in _named("result", recorded.results, now.results)
    ]
    if recorded.said != now.said:
        found.append(Difference(kind="said", how=_how(recorded.said, now.said)))
    then, here = recorded.model.partition(":")[2], now.model.partition(":")[2]
    if then and here not in (then, UNNAMED):
        found.append(Difference(kind="model", name=f"{then} -> {here}"))
    if recorded.options and recorded.options != now.options:
        found.append(Difference(kind="options"))
    return tuple(found)


def _named(kind: Any, recorded: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """The differences of two sets of named hashes; where nothing was recorded, there is nothing to compare with."""
    if not recorded and kind != "result":
        return []
    names = dict.fromkeys((*recorded, *now))
    pairs = [(name, recorded.get(name, ""), now.get(name, "")) for name in names]
    return [Difference(kind=kind, name=name, how=_how(then, here)) for name, then, here in pairs if then != here]


def _how(then: str, here: str) -> Any:
    return "new" if not then else "gone" if not here else "changed"


def _split(request: ModelRequest) -> tuple[str, str, list[Any]]:
    """The instructions, the task, and the messages since the model last spoke without these two."""
    system = next((m.text for m in request.messages if isinstance(m, SystemMessage)), "")
    first = next((m for m in request.messages if isinstance(m, UserMessage)), None)
    since = list(takewhile(lambda m: not isinstance(m, AssistantMessage), reversed(request.messages)))
    new = [m for m in reversed(since) if m is not first and not isinstance(m, SystemMessage)]
    return system, first.text if first else "", new


def _hash(text: str, *, made: bool = False) -> str:
    shown = scrubbed(text) if made else _STANDING.sub("(", text)
    return hashlib.sha256(shown.encode("utf-8", "replace")).hexdigest()[:_LENGTH]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
