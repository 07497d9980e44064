"""What a model is shown of a conversation that has grown long: the task, what was decided, the last turns. Pure.

Calls and their answers are kept or left out as pairs. It is cut rarely and by much, so that what servers keep of earlier
requests stays of use in between. The conversation itself, and its log, lose nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aurea.agents.briefs import untrusted
from aurea.agents.tools.text import cut
from aurea.domain.messages import AssistantMessage, Message, ToolCall, ToolMessage, ToolSpec, UserMessage

CONTEXT_TOKENS = 128_000
ANSWER_TOKENS = 16_384
CHARACTERS_PER_TOKEN = 3  # of code, rather too few than too many
MESSAGE_TOKENS = 8

CUT_AT = 0.75  # of the room that a request has
CUT_TO = 0.4
CUT_TO_WHEN_REFUSED = 0.25
# How many of the last turns stay, and how long a tool's answer or a call's argument may be in them.
STEPS: tuple[tuple[int, int | None], ...] = ((6, None), (6, 6_000), (3, 3_000), (2, 1_500), (1, 800))
OLD_ANSWER = 600
SUMMARY = 12_000
LINE = 200
DECISIONS = 6_000

Turn = Sequence[Message]


@dataclass(frozen=True)
class Cut:
    """A conversation was cut from about `before` tokens to `after`; `left_out` says what is no longer shown."""

    before: int
    after: int
    left_out: str


class Window:
    """What one conversation's model is shown, request by request."""

    def __init__(self, context_tokens: int = CONTEXT_TOKENS) -> None:
        self._room = context_tokens - min(ANSWER_TOKENS, context_tokens // 4)
        self._start: tuple[Message, ...] = ()
        self._from = 0
        self._at = 0.0

    def shown(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages of the next request."""
        return (*self._start, *messages[self._from :])

    def fit(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Cut | None:
        """Cut what is shown where it has outgrown its share of the model's context."""
        if tokens(self.shown(messages), tools) <= max(self._at, CUT_AT * self._room):
            return None
        return self._cut(messages, tools, CUT_TO * self._room)

    def refused(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Cut | None:
        """Cut harder, since the server took it for too long; None where nothing is left to cut."""
        size = tokens(self.shown(messages), tools)
        self._room = min(self._room, size)
        return self._cut(messages, tools, CUT_TO_WHEN_REFUSED * self._room)

    def _cut(self, messages: Sequence[Message], tools: Sequence[ToolSpec], target: float) -> Cut | None:
        before = tokens(self.shown(messages), tools)
        start, left_out = compacted(messages, target - tokens((), tools))
        after = tokens(start, tools)
        # Where the task alone is too long, cutting at every turn would only spoil what servers keep.
        self._at = min(before, after) + (CUT_AT - CUT_TO) * self._room
        if after >= before:
            return None
        self._start, self._from = tuple(start), len(messages)
        return Cut(before, after, left_out)


def compacted(messages: Sequence[Message], target: float) -> tuple[list[Message], str]:
    """The messages in at most about `target` tokens where that can be done, and what was left out, in words."""
    head, turns = _turns(messages)
    if not turns:
        return list(messages), "nothing"
    keep, _ = STEPS[0]
    old = turns[:-keep]
    shorter = [*_without_repeats(old, turns), *turns[len(old) :]]
    found = [*head, *_flat(_shortened(turn, OLD_ANSWER) for turn in shorter[: len(old)]), *_flat(turns[len(old) :])]
    if old and tokens(found) <= target:
        return found, f"long answers of tools in turns 1 to {len(old)}"
    for keep, limit in STEPS:
        old, last = turns[:-keep], turns[-keep:]
        said = [UserMessage(text=_summary(old, target))] if old else []
        kept = last if limit is None else [_shortened(turn, limit) for turn in last]
        found = [*head, *said, *_flat(kept)]
        if tokens(found) <= target:
            break
    parts = [f"turns 1 to {len(old)} but for a summary"] if old else []
    parts += [f"what is longer than {limit} characters in the others"] if limit is not None else []
    return found, " and ".join(parts) or "nothing"


def tokens(messages: Iterable[Message], tools: Iterable[ToolSpec] = ()) -> int:
    """About how many tokens a request has, rather too many than too few."""
    size, count = 0, 0
    for message in messages:
        count += 1
        size += _size(message.text)
        if isinstance(message, AssistantMessage):
            size += sum(_size(call.name) + _size(_json(call.arguments)) for call in message.calls)
            size += _size(_json(message.opaque)) if message.opaque else 0
    for tool in tools:
        count += 1
        size += _size(tool.description) + _size(_json(tool.parameters))
    return math.ceil(size / CHARACTERS_PER_TOKEN) + MESSAGE_TOKENS * count


def recent(messages: Sequence[Message], last: int) -> str:
    """The last turns, one line each."""
    return "\n".join(f"- {_line(turn)}" for turn in _turns(messages)[1][-last:])


def unpaired(messages: Sequence[Message]) -> str | None:
    """The first call without an answer, or answer without a call, in words: servers refuse both. None: there is none."""
    waiting: set[str] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.call not in waiting:
                return f"the answer to {message.call!r} of {message.name} has no call before it"
            waiting.remove(message.call)
        elif waiting:
            break
        elif isinstance(message, AssistantMessage):
            waiting = {call.id for call in message.calls}
    return f"the call {min(waiting)!r} has no answer" if waiting else None


def _turns(messages: Sequence[Message]) -> tuple[list[Message], list[Turn]]:
    """What stands before the model's first answer, and each answer with all that followed on it."""
    starts = [index for index, message in enumerate(messages) if isinstance(message, AssistantMessage)]
    if not starts:
        return list(messages), []
    ends = [*starts[1:], len(messages)]
    return list(messages[: starts[0]]), [messages[start:end] for start, end in zip(starts, ends, strict=True)]


def _without_repeats(old: Sequence[Turn], turns: Sequence[Turn]) -> list[Turn]:
    """The old turns; of files that were read again later in the same way, only the last answer."""
    last: dict[str, int] = {}
    for number, turn in enumerate(turns):
        for call in _calls(turn):
            if call.name == "read_file":
                last[_json(call.arguments)] = number
    found: list[Turn] = []
    for number, turn in enumerate(old):
        again = {call.id for call in _calls(turn) if call.name == "read_file" and last[_json(call.arguments)] > number}
        note = "[left out: it was read again later]"
        found.append(
            [
                message.model_copy(update={"text": note})
                if isinstance(message, ToolMessage) and message.call in again
                else message
                for message in turn
            ]
        )
    return found


def _shortened(turn: Turn, limit: int) -> Turn:
    """A turn whose answers and arguments are at most about `limit` characters each."""
    found: list[Message] = []
    for message in turn:
        if isinstance(message, AssistantMessage):
            calls = tuple(
                call.model_copy(update={"arguments": _short(call.arguments, limit)}) for call in message.calls
            )
            found.append(message.model_copy(update={"calls": calls}))
        elif isinstance(message, ToolMessage):
            found.append(message.model_copy(update={"text": cut(message.text, limit)}))
        else:
            found.append(message)
    return found


def _short(value: Any, limit: int, deep: int = 0) -> Any:
    if isinstance(value, str):
        return cut(value, limit)
    if not isinstance(value, Mapping | list):
        return value
    if deep > 20:
        return "[left out]"
    if isinstance(value, Mapping):
        return {name: _short(entry, limit, deep + 1) for name, entry in value.items()}
    return [_short(entry, limit, deep + 1) for entry in value]


def _summary(turns: Sequence[Turn], target: float) -> str:
    """What happened in the turns that are no longer shown."""
    read: dict[str, None] = {}
    changed: dict[str, None] = {}
    decisions: list[str] = []
    lines: list[str] = []
    for number, turn in enumerate(turns, start=1):
        for call in _calls(turn):
            arguments = call.arguments if isinstance(call.arguments, dict) else {}
            path = str(arguments.get("path", ""))
            if call.name == "read_file":
                read[path] = None
            elif call.name in ("write_file", "append_file", "edit_file", "delete_file"):
                changed[path] = None
            elif call.name == "log_design_decision":
                decisions.append(f"- {arguments.get('title', '')}: {arguments.get('text', '')}")
        lines.append(f"- turn {number}: {_line(turn)}")
    parts = [
        f"[Turns 1 to {len(turns)} of this conversation, in short. What tools answered then is not shown any more; "
        "read a file again before you change it.]",
        f"Files you read: {', '.join(read)}" if read else "",
        f"Files you changed: {', '.join(changed)}" if changed else "",
        "Decisions you logged:\n" + cut("\n".join(decisions), DECISIONS) if decisions else "",
        "What you did:\n" + untrusted("earlier turns", _newest(lines, min(SUMMARY, int(target))), SUMMARY),
    ]
    return "\n\n".join(cut(part, SUMMARY + LINE) for part in parts if part)


def _line(turn: Turn) -> str:
    """One turn: how its words begin, its calls, and how each answer begins."""
    answers = {message.call: message.text for message in turn if isinstance(message, ToolMessage)}
    said = turn[0].text.strip()
    words = [_begin(said)] if said else []
    for call in _calls(turn):
        arguments = call.arguments if isinstance(call.arguments, dict) else {}
        about = next((str(arguments[key]) for key in ("path", "command", "pattern", "title") if key in arguments), "")
        words.append(f"{call.name} {_begin(about, 80)}".rstrip() + f" -> {_begin(answers.get(call.id, ''), 80)}")
    return cut("; ".join(words), 3 * LINE)


def _begin(text: str, limit: int = LINE) -> str:
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else f"{line[:limit]}..."


def _newest(lines: Sequence[str], limit: int) -> str:
    """The last lines that fit, with a note of how many came before them."""
    kept: list[str] = []
    left = limit
    for line in reversed(lines):
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    before = len(lines) - len(kept)
    return "\n".join([*([f"- {before} turns before these"] if before else []), *reversed(kept)])


def _calls(turn: Turn) -> tuple[ToolCall, ...]:
    return turn[0].calls if isinstance(turn[0], AssistantMessage) else ()


def _flat(turns: Iterable[Turn]) -> list[Message]:
    return [message for turn in turns for message in turn]


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _size(text: str) -> int:
    # Scripts beyond ASCII have about one token per character, which their bytes tell better than their length.
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
