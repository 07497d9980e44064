"""The one door from Prefect's side to the core: from a spec or a plain run id to the live run of this process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aurea.bootstrap import create_run, current, take_up
from aurea.delivery.context import Run
from aurea.domain.errors import Permanent
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.settings import Settings
from blocks.provider import stored_provider


def live(run: str) -> Run:
    """The run that this process works on; `Permanent` where it does not."""
    return current(run)


@asynccontextmanager
async def at_work(spec: str | Mapping[str, Any], run: str | None, overrides: Mapping[str, Any]) -> AsyncIterator[Run]:
    """The live run to conduct: the one that this process has taken up already, a recorded one, or a new one of `spec`.

    `UsageError` where the spec cannot be used, `RunBusy` where another process works on the run.
    """
    if run is not None and (found := _taken_up(run)) is not None:
        yield found
        return
    block = await stored_provider()
    settings = Settings.read({**(block.variables() if block else {}), **os.environ})
    with Home(settings) as home:
        if run is None or run not in home.ledger.runs():
            flags, offer = Flags(overrides=overrides), block.offer() if block else None
            resolved = resolve(spec, flags, cwd=Path.cwd(), settings=settings, block=offer)
            run = await create_run(home, resolved, run)
        async with take_up(home, run) as taken:
            yield taken


def _taken_up(run: str) -> Run | None:
    try:
        return current(run)
    except Permanent:
        return None
