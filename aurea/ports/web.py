"""Searching the web."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Hit:
    """One page that a search found, with a piece of its text. Whoever wrote the page wrote all three."""

    title: str
    url: str
    excerpt: str


class WebSearch(Protocol):
    """A search engine. `name` is what people and agents call it."""

    name: str

    async def search(self, query: str, limit: int) -> list[Hit]:
        """At most `limit` pages, best first; none where nothing fits. `SearchFailed` where it could not be asked."""
        ...
