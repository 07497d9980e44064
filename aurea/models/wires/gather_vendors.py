"""Streamed answers of Anthropic's messages, of the Gemini API and of OpenAI's Responses, put together to whole ones."""

from __future__ import annotations

import json
from typing import Any

from aurea.models.hearing import Ear
from aurea.models.wires.gather import Document, ErrorEvent, Gatherer, mapping, refuse

# By type of a delta: the field of its block that grows, and what it is to those who listen.
_BLOCKS: dict[str, tuple[str, str, Any]] = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("thinking", "thinking", "reasoning"),
    "signature_delta": ("signature", "signature", None),
    "input_json_delta": ("partial_json", "partial_json", "arguments"),
}
_RESPONSES: dict[str, Any] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "arguments",
}


class AnthropicGatherer(Gatherer):
    """Messages: blocks that grow by deltas."""

    def __init__(self, ear: Ear) -> None:
        super().__init__(ear)
        self._message: Document = {}
        self._blocks: dict[int, Document] = {}

    def add(self, event: Document) -> None:
        """The beginning, a block or a piece of one, or the end."""
        match event.get("type"):
            case "message_start":
                self._message = dict(mapping(event.get("message")))
            case "content_block_start":
                block = dict(mapping(event.get("content_block")))
                self._blocks[int(event.get("index") or 0)] = block
                if "tool" in str(block.get("type")) and block.get("name"):
                    self.ear.hear("tool", str(block["name"]))
                elif block.get("text"):
                    self.ear.hear("text", str(block["text"]))
            case "content_block_delta":
                self._grow(self._blocks[int(event.get("index") or 0)], mapping(event.get("delta")))
            case "message_delta":
                self._message |= mapping(event.get("delta"))
                used = {name: value for name, value in mapping(event.get("usage")).items() if value is not None}
                self._message["usage"] = mapping(self._message.get("usage")) | used
                self.ended = self.ended or bool(self._message.get("stop_reason"))
            case "message_stop":
                self.done()
            case "error":
                refuse(event.get("error") or event)

    def document(self) -> Document:
        """A message with all of its blocks."""
        return {**self._message, "content": [_whole(self._blocks[index]) for index in sorted(self._blocks)]}

    def _grow(self, block: Document, delta: Document) -> None:
        if delta.get("type") == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
        elif (known := _BLOCKS.get(str(delta.get("type")))) is not None:
            field, name, kind = known
            text = str(delta.get(name) or "")
            block[field] = str(block.get(field) or "") + text
            if kind is not None and text:
                self.ear.hear(kind, text)


def _whole(block: Document) -> Document:
    """A block as it stands in a message. Arguments that are no JSON stay text, which the tools will refuse."""
    if "partial_json" not in block:
        return block
    text = block["partial_json"]
    rest = {name: value for name, value in block.items() if name != "partial_json"}
    if not text.strip():
        return rest
    try:
        return {**rest, "input": json.loads(text)}
    except ValueError:
        return {**rest, "input": text}


class GoogleGatherer(Gatherer):
    """The Gemini API: answers that hold the parts which are new."""

    def __init__(self, ear: Ear) -> None:
        super().__init__(ear)
        self._document: Document = {}
        self._candidate: Document = {}
        self._parts: list[Document] = []

    def add(self, event: Document) -> None:
        """Further parts, and how it ended."""
        refuse(event.get("error"))
        for name, value in event.items():
            if name != "candidates" and value is not None:
                self._document[name] = value
        candidates = event.get("candidates") or [None]
        candidate = mapping(candidates[0])
        self._candidate |= {name: value for name, value in candidate.items() if name != "content"}
        for part in mapping(candidate.get("content")).get("parts") or ():
            if isinstance(part, dict):
                self._add(part)
        blocked = mapping(self._document.get("promptFeedback")).get("blockReason")
        self.ended = self.ended or bool(self._candidate.get("finishReason") or blocked)

    def document(self) -> Document:
        """One answer with all parts."""
        if not self._candidate and not self._parts:
            return self._document
        content = {"role": "model", "parts": self._parts}
        return {**self._document, "candidates": [{**self._candidate, "content": content}]}

    def _add(self, part: Document) -> None:
        call = mapping(part.get("functionCall"))
        if call:
            self.ear.hear("tool", str(call.get("name") or ""))
            self.ear.hear("arguments", json.dumps(call.get("args") or {}))
        elif part.get("text"):
            self.ear.hear("reasoning" if part.get("thought") else "text", str(part["text"]))
        last = self._parts[-1] if self._parts else None
        if last is None or not _goes_on(last, part):
            self._parts.append(dict(part))
        else:
            self._parts[-1] = {**last, **part, "text": last["text"] + part["text"]}


def _goes_on(last: Document, part: Document) -> bool:
    """Whether a part is more of the text before it. One that is signed is at its end."""
    texts = {*last, *part} <= {"text", "thought", "thoughtSignature"} and "text" in last and "text" in part
    return texts and bool(last.get("thought")) == bool(part.get("thought")) and "thoughtSignature" not in last


class ResponsesGatherer(Gatherer):
    """OpenAI's Responses: the whole answer comes once more with its end."""

    def __init__(self, ear: Ear) -> None:
        super().__init__(ear)
        self._response: Document = {}
        self._items: list[Any] = []

    def add(self, event: Document) -> None:
        """A piece, an item, or the end with all of it."""
        kind = str(event.get("type"))
        if kind in _RESPONSES:
            self.ear.hear(_RESPONSES[kind], str(event.get("delta") or ""))
        elif kind == "response.output_item.added":
            item = mapping(event.get("item"))
            if "call" in str(item.get("type")) and item.get("name"):
                self.ear.hear("tool", str(item["name"]))
        elif kind == "response.output_item.done":
            self._items.append(event.get("item"))
        elif kind in ("response.completed", "response.incomplete"):
            self._response = dict(mapping(event.get("response")))
            self.done()
        elif kind == "response.failed":
            refuse(mapping(event.get("response")).get("error") or {"message": "the response failed"})
        elif kind == "error" or event.get("error"):
            refuse(event.get("error") or event)

    def document(self) -> Document:
        """The response; some servers leave out of it what they have sent item by item."""
        return {**self._response, "output": self._response.get("output") or self._items}


__all__ = ["AnthropicGatherer", "ErrorEvent", "GoogleGatherer", "ResponsesGatherer"]
