"""Whole answers of model servers, cut into the streams of events that the same servers send of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]


def streamed(format_: str, document: Document, size: int = 3) -> str:
    """The stream of an answer, its texts in pieces of `size` characters."""
    make = {"anthropic": _anthropic, "google": _google, "responses": _responses}.get(format_, _chat)
    text = "".join(f"{_name(event)}data: {json.dumps(event)}\n\n" for event in make(document, size))
    return text if format_ in ("anthropic", "google", "responses") else f": keep-alive\n\n{text}data: [DONE]\n\n"


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _name(event: Document) -> str:
    return f"event: {event['type']}\n" if isinstance(event.get("type"), str) else ""


def _chat(document: Document, size: int) -> Iterator[Document]:
    about = {name: value for name, value in document.items() if name not in ("choices", "usage")}
    (choice,) = document["choices"]

    def delta(**said: Any) -> Document:
        return {**about, "choices": [{"index": 0, "delta": said, "finish_reason": None}], "usage": None}

    yield delta(role="assistant", content="")
    for name, value in choice["message"].items():
        if isinstance(value, str):
            yield from (delta(**{name: piece}) for piece in pieces(value, size))
        elif name == "reasoning_details":
            for detail in value:
                grows = next((key for key in ("text", "summary", "data") if key in detail), "")
                rest = {key: part for key, part in detail.items() if key != grows}
                for piece in pieces(str(detail.get(grows, "")), size):
                    yield delta(reasoning_details=[{**rest, grows: piece}])
        elif name == "tool_calls":
            for index, call in enumerate(value):
                arguments = call["function"]["arguments"]
                yield delta(tool_calls=[{**call, "index": index, "function": {**call["function"], "arguments": ""}}])
                for piece in pieces(arguments, size):
                    yield delta(tool_calls=[{"index": index, "function": {"arguments": piece}}])
    yield {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    if "usage" in document:
        yield {**about, "choices": [], "usage": document["usage"]}


def _anthropic(document: Document, size: int) -> Iterator[Document]:
    begun = {**document, "content": [], "stop_reason": None, "usage": {**document["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(document["content"]):
        yield from _block(index, block, size)
    end = {"stop_reason": document["stop_reason"], "stop_sequence": None}
    used = {"output_tokens": document["usage"]["output_tokens"]}
    yield {"type": "message_delta", "delta": end, "usage": used}
    yield {"type": "message_stop"}


def _block(index: int, block: Document, size: int) -> Iterator[Document]:
    grows = {"text": "text", "thinking": "thinking"}.get(block["type"])
    empty = {grows: "", **({"signature": ""} if block["type"] == "thinking" else {})} if grows else {}
    begun = {**block, **({"input": {}} if block["type"] == "tool_use" else {}), **empty}
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    said = json.dumps(block["input"]) if block["type"] == "tool_use" else block.get(grows or "", "")
    for piece in pieces(said, size):
        kind = "input_json_delta" if block["type"] == "tool_use" else f"{grows}_delta"
        name = "partial_json" if block["type"] == "tool_use" else grows
        yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: piece}}
    if "signature" in block:
        signed = {"type": "signature_delta", "signature": block["signature"]}
        yield {"type": "content_block_delta", "index": index, "delta": signed}
    yield {"type": "content_block_stop", "index": index}


def _google(document: Document, size: int) -> Iterator[Document]:
    (candidate,) = document["candidates"]
    about = {"modelVersion": document["modelVersion"]}
    for part in candidate["content"]["parts"]:
        said = pieces(part["text"], size) if "text" in part else [""]
        rest = {name: value for name, value in part.items() if name not in ("text", "thoughtSignature")}
        signature = {"thoughtSignature": part["thoughtSignature"]} if "thoughtSignature" in part else {}
        for n, piece in enumerate(said, 1):
            own = {**rest, **({"text": piece} if "text" in part else {}), **(signature if n == len(said) else {})}
            yield {**about, "candidates": [{"content": {"role": "model", "parts": [own]}}]}
    end = {name: value for name, value in candidate.items() if name != "content"}
    yield {**about, "candidates": [{**end, "content": {"role": "model"}}], "usageMetadata": document["usageMetadata"]}


def _responses(document: Document, size: int) -> Iterator[Document]:
    yield {"type": "response.created", "response": {**document, "status": "in_progress", "output": [], "usage": None}}
    for index, item in enumerate(document["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "arguments": ""}}
        texts = [part["text"] for part in item.get("content") or () if part.get("text")]
        for text in texts:
            for piece in pieces(text, size):
                yield {"type": "response.output_text.delta", "output_index": index, "delta": piece}
        for piece in pieces(item.get("arguments") or "", size):
            yield {"type": "response.function_call_arguments.delta", "output_index": index, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    end = "incomplete" if document["status"] == "incomplete" else "completed"
    yield {"type": f"response.{end}", "response": document}
