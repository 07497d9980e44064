"""Digests of what a model is asked: the same question has the same fingerprint in every process and version."""

from __future__ import annotations

import json
from typing import Any

from aurea.domain.messages import AssistantMessage, Message, ModelRequest, ToolMessage
from aurea.ledger.chain import digest


def fingerprint(request: ModelRequest) -> str:
    """The digest of model, options, messages and tools of a request, without ids that vendors make up."""
    asked = {
        "model": str(request.model),
        "options": request.model.options,
        "messages": [_message(message) for message in request.messages],
        "tools": [[tool.name, tool.description, tool.parameters] for tool in request.tools],
    }
    return digest(json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str))


def _message(message: Message) -> list[Any]:
    if isinstance(message, AssistantMessage):
        return [message.role, message.text, [[call.name, call.arguments] for call in message.calls]]
    if isinstance(message, ToolMessage):
        return [message.role, message.name, message.text]
    return [message.role, message.text]
