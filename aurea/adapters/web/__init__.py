"""Searching the web: the only files that know a search engine, and which one a run has."""

from __future__ import annotations

from aurea.ports.web import WebSearch
from aurea.settings import Settings


def engine(settings: Settings) -> WebSearch:
    """The search engine of this machine's user: Tavily where its key is set, else those that need no key.

    Nothing is asked, and no library is loaded, before the first search.
    """
    from aurea.adapters.web.keyless import KeylessSearch
    from aurea.adapters.web.tavily import TavilySearch

    if settings.tavily.key is not None:
        return TavilySearch(settings.tavily.key, settings.tavily.base_url)
    return KeylessSearch()
