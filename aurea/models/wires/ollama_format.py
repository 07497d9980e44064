"""Ollama's own chat format: the body of a request with its options and context, and the reply that streamed answers make.

The options go out untouched. What Ollama calls `options` stands in them, with the few that it takes beside them.
"""

from __future__ import annotations

import json
import re
from typing import Any

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
from aurea.models.hearing import Deaf, Ear
from aurea.models.options import body_options
from aurea.models.prices import estimate_tokens, output_limit
from aurea.models.wires.plain import to_arguments, unique_ids

BESIDE = frozenset({"keep_alive", "think", "format"})  # options of a role that are fields of the request itself
# Ollama loads a model anew when one of these differs from what it was loaded with.
LOADED_WITH = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "use_mlock", "numa")
LEAST_CONTEXT = 8192
FAMILY = "ollama"

_THOUGHT = re.compile(r"\s*<think>.*?(?:</think>\s*|\Z)", re.DOTALL)
_WORD = re.compile(r"\w+")
_FINISHES: dict[str, Any] = {"stop": "stop", "length": "length"}


def to_body(request: ModelRequest, *, least_context: int = LEAST_CONTEXT) -> dict[str, Any]:
    """The body of a request for `/api/chat`.

    A prompt that does not fit is an error (`truncate`), and so is an answer that runs into the end of the context
    (`shift`): left to itself Ollama drops the oldest messages and says nothing.
    """
    given = body_options(request.model)
    options = {name: value for name, value in given.items() if name not in BESIDE}
    options.setdefault("num_predict", output_limit(request))
    options.setdefault("num_ctx", context_for(request, options["num_predict"], least_context))
    body: dict[str, Any] = {
        "model": request.model.name,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": options,
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    return body | {name: given[name] for name in sorted(BESIDE & set(given))}


def context_for(request: ModelRequest, answer: object, least: int = LEAST_CONTEXT) -> int:
    """Tokens of context for the conversation and an answer of `answer` tokens: `least`, doubled until both fit.

    Doubling, because every other value than the last makes Ollama load the model anew.
    """
    room = answer if isinstance(answer, int) and answer > 0 else request.max_output_tokens
    needed, size = estimate_tokens(request.messages, request.tools) + room, least
    while size < needed:
        size *= 2
    return size


def to_load(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a request for `/api/generate` that only loads the model, just as `body` will need it."""
    options = {name: body["options"][name] for name in LOADED_WITH if name in body["options"]}
    load = {"model": body["model"], "stream": False, "options": options}
    return load | ({"keep_alive": body["keep_alive"]} if "keep_alive" in body else {})


def words(request: ModelRequest) -> int:
    """Words of a conversation. No tokenizer makes fewer tokens than that of a text, schemas and marks left aside."""
    count = 0
    for message in request.messages:
        count += len(_WORD.findall(message.text))
        if isinstance(message, AssistantMessage):
            count += sum(len(_WORD.findall(_text(call.arguments))) for call in message.calls)
    return count


class Answer:
    """An answer that comes in pieces, one JSON object each; `ear` is told what they say."""

    def __init__(self, ear: Ear | None = None) -> None:
        self._ear = ear or Deaf()
        self.text: list[str] = []
        self.thinking: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.end: dict[str, Any] | None = None
        self.model = ""

    def add(self, piece: dict[str, Any]) -> None:
        """Take in the next piece."""
        said = piece.get("message")
        message: dict[str, Any] = said if isinstance(said, dict) else {}
        if text := str(message.get("content") or ""):
            self.text.append(text)
            self._ear.hear("text", text)
        if thought := str(message.get("thinking") or ""):
            self.thinking.append(thought)
            self._ear.hear("reasoning", thought)
        for call in message.get("tool_calls") or ():
            if isinstance(call, dict):
                self.calls.append(call)
                self._ear.hear("tool", str((call.get("function") or {}).get("name") or ""))
        self.model = str(piece.get("model") or self.model)
        if piece.get("done"):
            self.end = piece

    @property
    def counted(self) -> int:
        """Tokens that the server says the prompt had; 0 where it says nothing."""
        return _count(self.end, "prompt_eval_count")

    def reply(self, request: ModelRequest) -> ModelReply:
        """The canonical reply. What the model thought aloud is left out of its text."""
        text = "".join(self.text)
        if (thought := _THOUGHT.match(text)) is not None:
            text = text[thought.end() :]
        functions = [call.get("function") or {} for call in self.calls]
        ids = unique_ids(request, [str(call.get("id") or "") for call in self.calls])
        calls = tuple(
            ToolCall(id=id_, name=str(one.get("name") or ""), arguments=to_arguments(one.get("arguments")))
            for id_, one in zip(ids, functions, strict=True)
        )
        thinking = "".join(self.thinking)
        finish = _FINISHES.get(str((self.end or {}).get("done_reason") or "stop"), "other")
        return ModelReply(
            text=text,
            calls=calls,
            usage=self._usage(request, AssistantMessage(text=text, calls=calls)),
            finish="tool_calls" if calls and finish != "length" else finish,
            model=self.model,
            opaque={"of": FAMILY, "thinking": thinking} if thinking else {},
        )

    def _usage(self, request: ModelRequest, said: AssistantMessage) -> Usage:
        # Servers leave a count out where there was nothing to do, as with a prompt that was in their cache.
        asked, answered = self.counted, _count(self.end, "eval_count")
        return Usage(
            input_tokens=asked or estimate_tokens(request.messages, request.tools),
            output_tokens=answered or estimate_tokens([said]),
            cached_tokens=min(_count(self.end, "prompt_eval_cached_count"), asked),
            estimated=not answered,
        )


def _message(message: Message) -> dict[str, Any]:
    if isinstance(message, SystemMessage | UserMessage):
        return {"role": message.role, "content": message.text}
    if isinstance(message, AssistantMessage):
        said: dict[str, Any] = {"role": "assistant", "content": message.text}
        if message.opaque.get("of") == FAMILY:
            said["thinking"] = message.opaque["thinking"]  # models that think want it back while they call tools
        if message.calls:
            said["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": _object(call.arguments)}}
                for call in message.calls
            ]
        return said
    return {"role": "tool", "content": message.text, "tool_name": message.name, "tool_call_id": message.call}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _object(arguments: dict[str, Any] | str) -> dict[str, Any]:
    # Ollama refuses a history whose arguments are no JSON object, so what was not one is shown wrapped.
    return arguments if isinstance(arguments, dict) else {"invalid_arguments": arguments}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _count(piece: dict[str, Any] | None, name: str) -> int:
    value = (piece or {}).get(name)
    return int(value) if isinstance(value, int | float) and value > 0 else 0
