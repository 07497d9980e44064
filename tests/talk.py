"""The conversation that tests of wires send: every kind of message, calls side by side, arguments that are no JSON."""

from __future__ import annotations

from typing import Any

from aurea.domain.messages import AssistantMessage, SystemMessage, ToolCall, ToolMessage, UserMessage

KEY = "sk-proj-very-secret-0123456789"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}], "default": None, "title": "N"}
    },
    "additionalProperties": False,
}
TALK = (
    SystemMessage(text="You count."),
    UserMessage(text="Count."),
    AssistantMessage(
        text="Both.",
        calls=(ToolCall(id="a", name="count", arguments={"n": 3}), ToolCall(id="b", name="count", arguments="{n")),
    ),
    ToolMessage(call="a", name="count", text="three"),
    ToolMessage(call="b", name="count", text="no JSON"),
)
