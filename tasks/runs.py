"""The one door from Prefect's side to the core: from a spec or a plain run id to the live run of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aurea.bootstrap import create_run, current, take_up
from aurea.delivery.context import Run
from aurea.domain.errors import Permanent, UsageError
from aurea.domain.spec import BlockNames
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import decide, read
from aurea.settings import Settings
from blocks.stored import stored
from tasks.notices import notices


def live(run: str) -> Run:
    """The run that this process works on; `Permanent` where it does not."""
    return current(run)


@asynccontextmanager
async def at_work(spec: str | Mapping[str, Any], run: str | None, overrides: Mapping[str, Any]) -> AsyncIterator[Run]:
    """The live run to conduct: the one that this process has taken up already, a recorded one, or a new one of `spec`.

    `UsageError` where the spec cannot be used, `RunBusy` where another process works on the run.
    """
    if run is not None and (found := _taken_up(run)) is not None:
        async with notices(found):
            yield found
        return
    settings = Settings.read()
    asked = fault = None
    try:
        asked = read(spec, Flags(overrides=overrides), cwd=Path.cwd(), settings=settings)
    except UsageError as wrong:  # a recorded run needs no spec any more
        fault = wrong
    kept = await stored(asked.spec.blocks if asked else BlockNames(**settings.blocks))
    settings = settings.behind(kept.variables)
    with Home(settings) as home:
        if run is None or run not in home.ledger.runs():
            if asked is None:
                assert fault is not None
                raise fault
            run = await create_run(home, decide(asked, settings, kept), run)
        async with take_up(home, run) as taken, notices(taken):
            yield taken


def _taken_up(run: str) -> Run | None:
    try:
        return current(run)
    except Permanent:
        return None
