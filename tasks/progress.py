"""The live page of a run: one artifact, rewritten in place while there is something new to say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from queue import SimpleQueue
from uuid import UUID

from aurea.delivery.context import Run
from aurea.domain.events import Event
from aurea.reporting.board import Board
from aurea.reporting.progress import progress_markdown
from tasks.artifacts import rewrite

EVERY_S = 3.0
LAST_S = 1.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def progress(run: Run) -> AsyncIterator[None]:
    """Keep the artifact `progress-<run>` true for as long as the block lasts.

    One small request every `EVERY_S` at most, and none without news. What is told of a run never holds it up: a server
    that is slow or away costs this page, and nothing else.
    """
    page = _Page(run)
    leave = run.ledger.subscribe(page.news.put)
    writer = asyncio.ensure_future(page.keep())
    try:
        yield
    finally:
        leave()
        writer.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await asyncio.wait({writer})
                await page.write()


class _Page:
    """What the artifact says, and what has happened since. `news` is filled from any thread."""

    def __init__(self, run: Run) -> None:
        self.news: SimpleQueue[Sequence[Event]] = SimpleQueue()
        self._run = run
        self._board = Board(run.id)
        self._artifact: UUID | None = None
        self._stale = False

    async def keep(self) -> None:
        """Write it now, and again whenever there is news."""
        while True:
            await self.write()
            await asyncio.sleep(EVERY_S)

    async def write(self) -> None:
        """Bring the artifact up to date, unless nothing has happened."""
        try:
            await self._take()
            if self._stale:
                now, key = self._run.clock.now(), f"progress-{self._run.id}"
                text, description = progress_markdown(self._board, now), self._board.headline(now)
                self._artifact = await rewrite(self._run.id, key, text, description, known=self._artifact)
                self._stale = False
        except Exception as fault:  # whatever it is, the next page says the same and more
            _log.debug("the progress of %s could not be published: %s", self._run.id, fault)

    async def _take(self) -> None:
        """Take in what has happened, from the run's first event on."""
        begin: Sequence[Event] = ()
        if self._board.state.created is None:
            begin = await asyncio.to_thread(lambda: list(self._run.ledger.events(self._run.id)))
        batches = [begin, *(self.news.get_nowait() for _ in range(self.news.qsize()))]
        for event in (event for batch in batches for event in batch):
            self._stale |= self._board.take(event)
