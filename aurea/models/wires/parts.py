"""What a provider wants to have back unread: how it is kept beside our message, and put back into its place.

Anthropic signs its thinking, Google signs parts, OpenAI's Responses has encrypted reasoning and ids of items. A message
keeps them as plain JSON with the order of all its parts: `{"of": FAMILY, "parts": [...]}`. Texts and calls are not
repeated there; the parts only say where they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_ai import messages as pai

from aurea.domain.messages import AssistantMessage, ToolCall

# Under these names servers tell what their model thought without wanting it back.
TOLD_ONLY = frozenset({"content", "reasoning", "reasoning_content"})


def keep(family: str, parts: Iterable[pai.ModelResponsePart]) -> dict[str, Any]:
    """What to keep of the parts of an answer; nothing where plain text and calls say it all."""
    kept = [_kept(part) for part in parts]
    known = [part for part in kept if part is not None]
    if all(part["kind"] != "thinking" and not {"id", "details"} & set(part) for part in known):
        return {}
    return {"of": family, "parts": known}


def _kept(part: pai.ModelResponsePart) -> dict[str, Any] | None:
    entry: dict[str, Any]
    if isinstance(part, pai.ThinkingPart):
        if part.id in TOLD_ONLY:
            return None
        entry = {"kind": "thinking", "text": part.content, "signature": part.signature}
    elif isinstance(part, pai.TextPart):
        entry = {"kind": "text", "length": len(part.content)}
    elif isinstance(part, pai.ToolCallPart):
        entry = {"kind": "call"}
    else:
        return None
    entry |= {"id": part.id, "details": part.provider_details}
    return {name: value for name, value in entry.items() if value not in (None, "", {})}


def restore(message: AssistantMessage, family: str, system: str) -> list[pai.ModelResponsePart]:
    """The parts of a message, with what was kept where it is of the same family of servers."""
    kept = message.opaque.get("parts", ()) if message.opaque.get("of") == family else ()
    texts = sum(part.get("length", 0) for part in kept if part["kind"] == "text")
    calls = sum(part["kind"] == "call" for part in kept)
    if kept and texts == len(message.text) and calls == len(message.calls):
        return _in_order(message, kept, system)
    # Where the message was changed since, the order of its parts is lost; thinking came first.
    parts: list[pai.ModelResponsePart] = [_thinking(part, system) for part in kept if part["kind"] == "thinking"]
    if message.text:
        parts.append(pai.TextPart(message.text))
    return [*parts, *(_call(call, {}, system) for call in message.calls)]


def _in_order(message: AssistantMessage, kept: Iterable[dict[str, Any]], system: str) -> list[pai.ModelResponsePart]:
    parts: list[pai.ModelResponsePart] = []
    calls, at = iter(message.calls), 0
    for part in kept:
        if part["kind"] == "thinking":
            parts.append(_thinking(part, system))
        elif part["kind"] == "text":
            end = at + part.get("length", 0)
            parts.append(pai.TextPart(message.text[at:end], **_own(part, system)))
            at = end
        else:
            parts.append(_call(next(calls), part, system))
    return parts


def _thinking(part: dict[str, Any], system: str) -> pai.ThinkingPart:
    own = _own(part, system) | {"provider_name": system}
    return pai.ThinkingPart(part.get("text", ""), signature=part.get("signature"), **own)


def _call(call: ToolCall, part: dict[str, Any], system: str) -> pai.ToolCallPart:
    # A server refuses a history whose arguments are no JSON object, so what was not one is shown wrapped.
    arguments = call.arguments if isinstance(call.arguments, dict) else {"invalid_arguments": call.arguments}
    return pai.ToolCallPart(call.name, arguments, tool_call_id=call.id, **_own(part, system))


def _own(part: dict[str, Any], system: str) -> dict[str, Any]:
    own = {"id": part.get("id"), "provider_details": part.get("details")}
    return {**own, "provider_name": system} if any(own.values()) else {}
