"""Canonical conversations to pydantic-ai's messages, and its responses back to canonical replies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_ai import messages as pai
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from aurea.domain.messages import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    SystemMessage,
    ToolCall,
    ToolSpec,
    Usage,
    UserMessage,
)
from aurea.models.prices import estimate_tokens
from aurea.models.wires.parts import keep, restore
from aurea.models.wires.plain import NO_CALL_ID, to_arguments, unique_ids

MADE_UP_ID = "pyd_ai_"  # how ids begin that the library makes up where a server sent none
# The last is what Responses say of an answer that was cut without a reason.
FINISHES = {
    "length": "length",
    "content_filter": "refused",
    "stop": "stop",
    "tool_call": "stop",
    "incomplete": "length",
}


def to_messages(messages: Iterable[Message], family: str = "", system: str = "") -> list[pai.ModelMessage]:
    """The conversation as pydantic-ai has it: what is said to the model is grouped between its answers.

    `family` is whose opaque parts may be sent back, `system` how pydantic-ai calls their provider.
    """
    turns: list[pai.ModelMessage] = []
    said: list[pai.ModelRequestPart] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            if said:
                turns.append(pai.ModelRequest(parts=said))
                said = []
            turns.append(pai.ModelResponse(parts=restore(message, family, system), provider_name=system or None))
        elif isinstance(message, SystemMessage):
            said.append(pai.SystemPromptPart(message.text))
        elif isinstance(message, UserMessage):
            said.append(pai.UserPromptPart(message.text))
        else:
            said.append(pai.ToolReturnPart(message.name, message.text, tool_call_id=message.call))
    if said:
        turns.append(pai.ModelRequest(parts=said))
    return turns


def to_parameters(tools: tuple[ToolSpec, ...]) -> ModelRequestParameters:
    """The tools of a request; their schemas go out as they are."""
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name, description=tool.description, parameters_json_schema=tool.parameters, strict=False
            )
            for tool in tools
        ]
    )


def to_reply(request: ModelRequest, response: pai.ModelResponse, family: str = "") -> ModelReply:
    """The canonical reply. Call ids are unique in the conversation; arguments that are no JSON object stay text."""
    text = "".join(part.content for part in response.parts if isinstance(part, pai.TextPart))
    said = [part for part in response.parts if isinstance(part, pai.ToolCallPart)]
    ids = unique_ids(request, [_sent_id(part.tool_call_id) for part in said])
    calls = tuple(
        ToolCall(id=id_, name=part.tool_name, arguments=to_arguments(part.args))
        for id_, part in zip(ids, said, strict=True)
    )
    details = response.provider_details or {}
    if not text and isinstance(details.get("refusal"), str):
        text = details["refusal"]
    finish: Any = FINISHES.get(response.finish_reason or str(details.get("finish_reason")), "other")
    if calls and finish in ("stop", "other"):
        finish = "tool_calls"
    return ModelReply(
        text=text,
        calls=calls,
        usage=_usage(request, response, text, calls),
        finish=finish,
        model=response.model_name or "",
        opaque=keep(family, response.parts),
    )


def _sent_id(id_: str) -> str:
    return NO_CALL_ID if id_.startswith(MADE_UP_ID) else id_


def _usage(request: ModelRequest, response: pai.ModelResponse, text: str, calls: tuple[ToolCall, ...]) -> Usage:
    """What the server counted; a server that counts nothing still has to be paid, so then it is estimated."""
    counted = response.usage
    if counted.input_tokens or counted.output_tokens:
        return Usage(
            input_tokens=counted.input_tokens,
            output_tokens=counted.output_tokens,
            cached_tokens=min(counted.cache_read_tokens, counted.input_tokens),
            cache_write_tokens=counted.cache_write_tokens,
            usd=float(counted.cost) if counted.cost is not None else None,
        )
    thought = "".join(part.content for part in response.parts if isinstance(part, pai.ThinkingPart))
    return Usage(
        input_tokens=estimate_tokens(request.messages, request.tools),
        output_tokens=estimate_tokens([AssistantMessage(text=thought + text, calls=calls)]),
        estimated=True,
    )
