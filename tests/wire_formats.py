"""What each format of model servers asks and answers: the exact bodies that tests of the wires hold against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aurea.domain.messages import (
    ModelRequest,
    ToolSpec,
)
from aurea.models.providers import PROVIDERS, Endpoint
from aurea.models.wires import wire_at
from aurea.models.wires.base import VendorWire
from aurea.testing.models import asking
from raw_server import RawServer
from talk import KEY, SCHEMA, TALK

TOOL = ToolSpec(name="count", description="Counts.", parameters=SCHEMA)
# The provider, its model, its options, and the last part of the address that is asked.
FORMATS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "anthropic": ("anthropic", "claude-sonnet-4-6", {}, "/v1/messages"),
    "google": ("google", "gemini-3.5-flash", {}, "/v1beta/models/gemini-3.5-flash:generateContent"),
    "responses": ("openai", "gpt-5-mini", {"api": "responses"}, "/responses"),
    "chat": ("openai", "gpt-5-mini", {"api": "chat"}, "/chat/completions"),
    "openrouter": ("openrouter", "openai/gpt-5-mini", {}, "/chat/completions"),
    "glm": ("glm", "glm-4.6", {}, "/chat/completions"),
    "mlx": ("mlx", "qwen", {}, "/chat/completions"),
}
MARK = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
CHAT: dict[str, Any] = {
    "model": "gpt-5-mini",
    "stream": False,
    "messages": [
        {"role": "system", "content": "You count."},
        {"role": "user", "content": "Count."},
        {
            "role": "assistant",
            "content": "Both.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "count", "arguments": '{"n":3}'}},
                {
                    "id": "b",
                    "type": "function",
                    "function": {"name": "count", "arguments": '{"invalid_arguments":"{n"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "three"},
        {"role": "tool", "tool_call_id": "b", "content": "no JSON"},
    ],
    "tool_choice": "auto",
    "tools": [{"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": SCHEMA}}],
    "temperature": 0.2,
}
BODIES: dict[str, dict[str, Any]] = {
    "anthropic": {
        "model": "claude-sonnet-4-6",
        "stream": False,
        "max_tokens": 777,
        "system": [{"type": "text", "text": "You count.", **MARK}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Count."}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Both."},
                    {"type": "tool_use", "id": "a", "name": "count", "input": {"n": 3}},
                    {"type": "tool_use", "id": "b", "name": "count", "input": {"invalid_arguments": "{n"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "a",
                        "content": [{"type": "text", "text": "three"}],
                        "is_error": False,
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "b",
                        "content": [{"type": "text", "text": "no JSON"}],
                        "is_error": False,
                        **MARK,
                    },
                ],
            },
        ],
        "tools": [{"name": "count", "description": "Counts.", "input_schema": SCHEMA, **MARK}],
        "tool_choice": {"type": "auto"},
        "temperature": 0.2,
    },
    "google": {
        "systemInstruction": {"role": "user", "parts": [{"text": "You count."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Count."}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Both."},
                    {
                        "functionCall": {"id": "a", "name": "count", "args": {"n": 3}},
                        # What the vendor names for a call that another model made.
                        "thoughtSignature": "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
                    },
                    {"functionCall": {"id": "b", "name": "count", "args": {"invalid_arguments": "{n"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "a", "name": "count", "response": {"return_value": "three"}}},
                    {"functionResponse": {"id": "b", "name": "count", "response": {"return_value": "no JSON"}}},
                ],
            },
        ],
        "tools": [
            {"functionDeclarations": [{"name": "count", "description": "Counts.", "parameters_json_schema": SCHEMA}]}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
        "generationConfig": {"maxOutputTokens": 777, "responseModalities": ["TEXT"], "temperature": 0.2},
    },
    "responses": {
        "model": "gpt-5-mini",
        "stream": False,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 777,
        "input": [
            {"role": "system", "content": "You count."},
            {"role": "user", "content": "Count."},
            {"role": "assistant", "content": "Both."},
            {"type": "function_call", "call_id": "a", "name": "count", "arguments": '{"n":3}'},
            {"type": "function_call", "call_id": "b", "name": "count", "arguments": '{"invalid_arguments":"{n"}'},
            {"type": "function_call_output", "call_id": "a", "output": "three"},
            {"type": "function_call_output", "call_id": "b", "output": "no JSON"},
        ],
        "tool_choice": "auto",
        "tools": [
            {"type": "function", "name": "count", "description": "Counts.", "parameters": SCHEMA, "strict": False}
        ],
        "temperature": 0.2,
    },
    "chat": {**CHAT, "max_completion_tokens": 777},
    "openrouter": {**CHAT, "model": "openai/gpt-5-mini", "max_tokens": 777},
    "glm": {**CHAT, "model": "glm-4.6", "max_tokens": 777},
    # The one that is asked for a stream, wherever it is.
    "mlx": {
        **CHAT,
        "model": "qwen",
        "max_completion_tokens": 777,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
}


def content(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 50,
    }  # fmt: skip
    more = {"stop_reason": "tool_use", "usage": usage} | more
    return {"id": "m", "type": "message", "role": "assistant", "model": "m-1", "content": blocks, **more}


def parts(*said: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {
        "promptTokenCount": 160, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "cachedContentTokenCount": 100,
    }  # fmt: skip
    answer = {"content": {"role": "model", "parts": said}, "finishReason": "STOP", **more}
    return {"candidates": [answer], "usageMetadata": usage, "modelVersion": "m-1"}


def output(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 160, "output_tokens": 5, "total_tokens": 165,
        "input_tokens_details": {"cached_tokens": 100}, "output_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    fixed = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "parallel_tool_calls": True}
    return {**fixed, "model": "m-1", "output": items, "tool_choice": "auto", "tools": [], "usage": usage, **more}


def chosen(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 160, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 100}, **more}
    return {
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
        "usage": usage,
        "model": "m-1",
    }


def called(id_: str, n: int) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "count", "arguments": f'{{"n":{n}}}'}}


# An answer with thinking, a text and two calls, and the places in the next request where it has to come back as it was.
ANSWERS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], Any], Any]] = {
    "anthropic": (
        content(
            {"type": "thinking", "thinking": "hm", "signature": "SIG"},
            {"type": "redacted_thinking", "data": "HIDDEN"},
            {"type": "text", "text": "So "},
            {"type": "thinking", "thinking": "hm again", "signature": "SIG2"},
            {"type": "text", "text": "be it."},
            {"type": "tool_use", "id": "x", "name": "count", "input": {"n": 4}},
            {"type": "tool_use", "id": "y", "name": "count", "input": {"n": 5}},
        ),
        lambda body: body["messages"][-2]["content"],
        [
            {"type": "thinking", "thinking": "hm", "signature": "SIG"},
            {"type": "redacted_thinking", "data": "HIDDEN"},
            {"type": "text", "text": "So "},
            {"type": "thinking", "thinking": "hm again", "signature": "SIG2"},
            {"type": "text", "text": "be it."},
            {"type": "tool_use", "id": "x", "name": "count", "input": {"n": 4}},
            {"type": "tool_use", "id": "y", "name": "count", "input": {"n": 5}},
        ],
    ),
    "google": (
        parts(
            {"text": "hm", "thought": True},
            {"text": "So be it."},
            {"functionCall": {"id": "x", "name": "count", "args": {"n": 4}}, "thoughtSignature": "U0lH"},
            {"functionCall": {"id": "y", "name": "count", "args": {"n": 5}}},
        ),
        lambda body: body["contents"][-2]["parts"],
        [
            {"text": "hm", "thought": True},
            {"text": "So be it."},
            {"functionCall": {"id": "x", "name": "count", "args": {"n": 4}}, "thoughtSignature": "U0lH"},
            {"functionCall": {"id": "y", "name": "count", "args": {"n": 5}}},
        ],
    ),
    "responses": (
        output(
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ENC"},
            {
                "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "So be it.", "annotations": []}],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "x", "name": "count", "arguments": '{"n":4}'},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "ENC2"},
            {"type": "function_call", "id": "fc_2", "call_id": "y", "name": "count", "arguments": '{"n":5}'},
        ),
        lambda body: [
            (i["type"], i.get("id"), i.get("encrypted_content") or i.get("arguments")) for i in body["input"][7:-2]
        ],
        [
            ("reasoning", "rs_1", "ENC"), ("message", "msg_1", None), ("function_call", "fc_1", '{"n":4}'),
            ("reasoning", "rs_2", "ENC2"), ("function_call", "fc_2", '{"n":5}'),
        ],
    ),
    "chat": (
        chosen({
            "content": "So be it.",
            "tool_calls": [{**called("x", 4), "extra_content": {"google": {"thought_signature": "U0lH"}}}, called("y", 5)],
        }),
        lambda body: body["messages"][-3]["tool_calls"],
        [{**called("x", 4), "extra_content": {"google": {"thought_signature": "U0lH"}}}, called("y", 5)],
    ),
    "openrouter": (
        chosen({
            "content": "So be it.", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "E"}],
            "tool_calls": [called("x", 4), called("y", 5)],
        }, cost=0.00123),
        lambda body: body["messages"][-3]["reasoning_details"],
        [{"type": "reasoning.encrypted", "data": "E"}],
    ),
    "glm": (
        chosen({
            "content": "So be it.", "reasoning_content": "hm", "tool_calls": [called("x", 4), called("y", 5)],
        }),
        lambda body: sorted(body["messages"][-3]),
        ["content", "role", "tool_calls"],
    ),
}  # fmt: skip


def wire_of(format_: str, server: RawServer | str, **more: Any) -> VendorWire:
    provider = FORMATS[format_][0]
    url = server if isinstance(server, str) else server.url + ("" if provider in ("anthropic", "google") else "/v1")
    wire = wire_at(Endpoint(PROVIDERS[provider], url, KEY), **more)
    assert isinstance(wire, VendorWire)
    return wire


def asked(format_: str, *, options: dict[str, Any] | None = None, **more: Any) -> ModelRequest:
    provider, model, usual, _ = FORMATS[format_]
    values: dict[str, Any] = {"messages": TALK, "tools": (TOOL,), **more}
    return asking(model=f"{provider}:{model}", options=usual | (options or {}), **values)


def plain(format_: str) -> dict[str, Any]:
    """An answer in words."""
    return {
        "anthropic": content({"type": "text", "text": "ok"}, stop_reason="end_turn"),
        "google": parts({"text": "ok"}),
        "responses": output(
            {"type": "message", "id": "m", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "ok", "annotations": []}]}
        ),
    }.get(format_) or chosen({"content": "ok"})  # fmt: skip
