"""Searching the web: the only files that know a search engine, and which one a run has."""

from __future__ import annotations

from typing import Literal

from aurea.ports.web import WebSearch
from aurea.settings import Settings


def engine_name(settings: Settings) -> Literal["tavily", "ddgs"]:
    """Which engine this machine's user has: Tavily where its key is set, else those that need no key."""
    return "tavily" if settings.tavily.key is not None else "ddgs"


def engine(settings: Settings) -> WebSearch:
    """The search engine of this machine's user. Nothing is asked before the first search."""
    if settings.tavily.key is not None:
        from aurea.adapters.web.tavily import TavilySearch

        return TavilySearch(settings.tavily.key, settings.tavily.base_url)
    from aurea.adapters.web.keyless import KeylessSearch

    return KeylessSearch()
