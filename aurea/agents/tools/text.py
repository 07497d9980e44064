"""Bounded text: what a model or a log is shown of something that may be long. Pure."""

from __future__ import annotations

OUTPUT_LIMIT = 20_000


def cut(text: str, limit: int = OUTPUT_LIMIT) -> str:
    """The text, or its beginning and its end with a note of what was left out; at most about `limit` characters."""
    if len(text) <= limit:
        return text
    head = limit * 3 // 10
    tail = limit - head
    return f"{text[:head]}\n[... {len(text) - limit} characters left out ...]\n{text[-tail:]}"


def storable(text: str) -> str:
    """The text without halves of characters, which no database and no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
