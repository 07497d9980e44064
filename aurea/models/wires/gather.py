"""Answers that come in pieces, put together to the document that the same server sends when it is asked for no stream.

So there is one way to read an answer, whichever way it came. Here: the shape of a gatherer, and that of chat completions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from aurea.models.hearing import Ear, Kind

Document = dict[str, Any]


class ErrorEvent(Exception):
    """The server says in the middle of an answer that it failed: as the status and the body that it would have sent."""

    def __init__(self, status: int, body: Document) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body


class Gatherer(ABC):
    """Puts one answer together, and tells `ear` what comes.

    `ended`: the answer is whole. `over`: the server has said that nothing follows.
    """

    def __init__(self, ear: Ear) -> None:
        self.ear = ear
        self.ended = False
        self.over = False

    @abstractmethod
    def add(self, event: Document) -> None:
        """Take in the next event; `ErrorEvent` where the server failed."""

    @abstractmethod
    def document(self) -> Document:
        """The answer as one document."""

    def done(self) -> None:
        """The server has said that it is done."""
        self.ended = self.over = True


class ChatGatherer(Gatherer):
    """Chat completions: pieces of one message, and at the end what was used."""

    def __init__(self, ear: Ear) -> None:
        super().__init__(ear)
        self._document: Document = {}
        self._message: Document = {"role": "assistant"}
        self._calls: list[Document] = []
        self._at: dict[Any, Document] = {}
        self._finish: Any = None
        self._begun = False

    def add(self, event: Document) -> None:
        """A piece of the message, its end, or what was used."""
        refuse(event.get("error"))
        for name, value in event.items():
            if name not in ("choices", "object") and value is not None:
                self._document[name] = value
        for choice in event.get("choices") or ():
            if isinstance(choice, dict) and not choice.get("index"):
                refuse(choice.get("error"))
                self._begun = True
                whole = {} if len(self._message) > 1 else mapping(choice.get("message"))
                self._add_delta(mapping(choice.get("delta")) or whole)
                self._finish = choice.get("finish_reason") or self._finish
        self.ended = self.ended or self._finish is not None

    def document(self) -> Document:
        """A completion with one choice, or with none where nothing came of it."""
        message = {"content": None, **self._message} | ({"tool_calls": self._calls} if self._calls else {})
        choice = {"index": 0, "message": message, "finish_reason": self._finish}
        return {**self._document, "object": "chat.completion", "choices": [choice] if self._begun else []}

    def _add_delta(self, delta: Document) -> None:
        # Some servers tell what the model thinks under both of two names.
        thinks = "reasoning" if "reasoning" in delta else "reasoning_content"
        heard: dict[str, Kind] = {"content": "text", "refusal": "text", thinks: "reasoning"}
        for name, value in delta.items():
            if name == "tool_calls":
                for call in value or ():
                    if isinstance(call, dict):
                        self._add_call(call)
            elif name == "reasoning_details" and isinstance(value, list):
                self._message[name] = join_details(self._message.get(name, []), value)
            elif name != "role" and isinstance(value, str):
                self._message[name] = self._message.get(name, "") + value
                if value and name in heard:
                    self.ear.hear(heard[name], value)
            elif name != "role" and value is not None:
                self._message[name] = value

    def _add_call(self, piece: Document) -> None:
        function = mapping(piece.get("function"))
        call = self._call_of(piece, function)
        own = call["function"]
        if function.get("name") and not own["name"]:
            own["name"] = str(function["name"])
            self.ear.hear("tool", own["name"])
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            own["arguments"] = (own["arguments"] if isinstance(own["arguments"], str) else "") + arguments
            self.ear.hear("arguments", arguments)
        elif arguments is not None:
            own["arguments"] = arguments
        for name, value in piece.items():
            if name not in ("index", "function", "type") and value:
                call[name] = value

    def _call_of(self, piece: Document, function: Document) -> Document:
        """The call that a piece belongs to. Some servers count all calls as the first, and some count none."""
        index, id_ = piece.get("index"), piece.get("id")
        known = self._at.get(index) if index is not None else (self._calls[-1] if self._calls else None)
        begins = bool(function.get("name"))
        if known is None or (begins and (index is None or (id_ and known.get("id") not in (None, "", id_)))):
            known = {"type": "function", "function": {"name": "", "arguments": ""}}
            self._calls.append(known)
        self._at[index] = known
        return known


def refuse(error: Any) -> None:
    """Raise the `ErrorEvent` of an error object, where there is one."""
    if not error:
        return
    body = error if isinstance(error, dict) else {"message": str(error)}
    raise ErrorEvent(status_of(body), {"error": body})


# What vendors call their failures where no status says it.
_NAMED = (
    ("rate_limit", 429), ("rate limit", 429), ("insufficient_quota", 429), ("resource_exhausted", 429),
    ("overloaded", 529), ("unavailable", 503), ("authentication", 401), ("invalid_api_key", 401), ("permission", 403),
    ("not_found", 404), ("too_large", 413), ("timeout", 504), ("deadline", 504), ("billing", 402),
    ("context_length", 400), ("invalid_request", 400), ("invalid_argument", 400), ("content_policy", 400),
    ("content_filter", 400),
)  # fmt: skip


def status_of(error: Document) -> int:
    """The status that an error object would have come with; 500 where it does not say."""
    for name in ("code", "status", "status_code"):
        if isinstance(error.get(name), int) and 400 <= error[name] < 600:
            return int(error[name])
        if str(error.get(name)).isdigit() and 400 <= int(error[name]) < 600:
            return int(error[name])
    said = " ".join(str(error.get(name) or "") for name in ("type", "code", "status")).lower()
    return next((status for name, status in _NAMED if name in said), 500)


def join_details(before: list[Any], more: list[Any]) -> list[Any]:
    """OpenRouter's `reasoning_details` with further pieces: those of the same kind and index belong together."""
    joined = list(before)
    for piece in more:
        last = mapping(joined[-1]) if joined else {}
        if not isinstance(piece, dict) or any(last.get(name) != piece.get(name) for name in ("type", "index")):
            joined.append(piece)
            continue
        grown = {name: value for name, value in piece.items() if value is not None}
        for name in {"text", "summary", "data"} & set(grown):
            grown[name] = (last.get(name) or "") + grown[name]
        joined[-1] = {**last, **grown}
    return joined


def mapping(value: Any) -> Document:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
