"""A search engine of fixed answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aurea.domain.errors import SearchFailed
from aurea.ports.web import Hit


class FixedSearch:
    """Implements `ports.WebSearch`: finds the pages of every entry whose word stands in the query; keeps what it was asked.

    `fault` is raised instead, as often as it is asked.
    """

    name = "fixed"

    def __init__(self, pages: Mapping[str, Sequence[Hit]], fault: SearchFailed | None = None) -> None:
        self.pages = pages
        self.fault = fault
        self.queries: list[str] = []

    async def search(self, query: str, limit: int) -> list[Hit]:
        """The pages, in the order of the entries."""
        self.queries.append(query)
        if self.fault is not None:
            raise self.fault
        return [hit for word, hits in self.pages.items() if word in query for hit in hits][:limit]
