"""The one door from Prefect's side to the core: from a spec or a plain run id to the live run of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aurea.bootstrap import create_run, current, take_up
from aurea.delivery.context import Run
from aurea.domain.effective import effective_spec
from aurea.domain.errors import Permanent, UsageError
from aurea.domain.spec import BlockNames, Spec
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import decide, read
from aurea.ledger.origin import read_origin
from aurea.settings import Settings
from blocks.stored import stored
from tasks.notices import notices


def live(run: str) -> Run:
    """The run that this process works on; `Permanent` where it does not."""
    return current(run)


@asynccontextmanager
async def at_work(spec: str | Mapping[str, Any], run: str | None, overrides: Mapping[str, Any]) -> AsyncIterator[Run]:
    """The live run to conduct: the one that this process has taken up already, a recorded one, or a new one of `spec`.

    Which blocks stand behind a recorded run is recorded with it: its spec may be gone or changed, and so may variables.
    `UsageError` where the spec cannot be used, `RunBusy` where another process works on the run.
    """
    if run is not None and (found := _taken_up(run)) is not None:
        async with notices(found):
            yield found
        return
    settings = Settings.read()
    asked = fault = None
    names = _begun_with(settings, run) if run is not None else None
    if names is None:
        try:
            asked = read(spec, Flags(overrides=overrides), cwd=Path.cwd(), settings=settings)
        except UsageError as wrong:  # a recorded run needs no spec any more
            fault = wrong
        names = asked.spec.blocks if asked else BlockNames(**settings.blocks)
    kept = await stored(names)
    with Home(settings.behind(kept.variables)) as home:
        if run is not None and run in home.ledger.runs():
            recorded = effective_spec(home.state(run)).blocks
            if recorded != names:  # it was found by names of other blocks, or of none
                home.settings = settings.behind((await stored(recorded)).variables)
        elif asked is not None:
            run = await create_run(home, decide(asked, home.settings, kept), run)
        else:
            raise fault or _lost(home, run)
        async with take_up(home, run) as taken, notices(taken):
            yield taken


def _begun_with(settings: Settings, run: str) -> BlockNames | None:
    """The blocks of a run that has begun in this home, as its folder has them: one of them may name its ledger."""
    folder = settings.home / "runs" / run
    if read_origin(folder) is None:
        return None
    try:
        return Spec.model_validate_json((folder / "inputs" / "resolved.json").read_bytes()).blocks
    except (OSError, ValueError):
        return None


def _lost(home: Home, run: str | None) -> UsageError:
    return UsageError(
        f"run {run!r} has begun in this home, and the ledger {home.where} knows nothing of it",
        remedy="is it the ledger that the run was recorded in? `aurea verify` compares the two",
    )


def _taken_up(run: str) -> Run | None:
    try:
        return current(run)
    except Permanent:
        return None
