"""A local server that was killed together with its keeper: the end of a run does not wait for what nobody brings back."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from prefect.settings import get_current_settings

from aurea.delivery.context import Run
from surfaces.server.place import Place, answers, api_url

LOOK_S = 1.0
ANSWER_S = 2.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def not_waited_for(home: Path, run: Run) -> AsyncIterator[asyncio.Event]:
    """Once `run` has ended, have Prefect's client ask a server only once that is gone for good, instead of for minutes.

    Yields what is set where it is gone: then this process is to leave without sending what Prefect has queued. What cannot
    be told to the server then is no error: the ledger has the end, and the next look tells the server.
    """
    gone = asyncio.Event()
    watcher = asyncio.ensure_future(_watch(Place(home.resolve()), run, gone))
    try:
        yield gone
    except httpx.TransportError:
        if not gone.is_set():
            raise
        _log.warning("the local Prefect server is gone; the ledger has the end of run %s", run.id)
    finally:
        watcher.cancel()


async def _watch(place: Place, run: Run, gone: asyncio.Event) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        if run.state.ended is not None and await asyncio.to_thread(_is_gone, place):
            gone.set()
            get_current_settings().client.max_retries = 0
            return


def _is_gone(place: Place) -> bool:
    """Whether the server in use is the home's own, does not answer, and has no keeper that would start it again."""
    port = place.read().get("port")
    own = isinstance(port, int) and os.environ.get("PREFECT_API_URL") == api_url(port)
    return own and not place.kept() and answers(place, timeout=ANSWER_S) is None
