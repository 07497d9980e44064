"""The line of one work item: attempt, checks beside the precheck, reviews, verdict, landing, again with lessons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from aurea.delivery import attempts, verdict
from aurea.delivery.context import Run
from aurea.domain.lifecycle import ItemState

Done = Coroutine[Any, Any, None]


@dataclass(frozen=True)
class Phases:
    """How each phase is carried out; takes plain ids, results are in the ledger.

    `checks` and `reviews` take all names or indexes of one attempt and work on them concurrently. Under Prefect each
    phase is a task; the core alone runs on plain calls (`aurea.testing`).
    """

    plan: Callable[[str], Done]
    implement: Callable[[str, str, int], Done]
    precheck: Callable[[str, str, int], Done]
    checks: Callable[[str, str, int, Sequence[str]], Done]
    reviews: Callable[[str, str, int, Sequence[int]], Done]
    land: Callable[[str, str, int], Done]
    report: Callable[[str], Done]


async def walk(run: Run, item: str, phases: Phases) -> None:
    """Carry `item` from where it stands to where nothing more can be done for it without somebody else.

    Each step looks at the recorded state only, so a run that was taken up again walks on from the same place. No
    attempt begins in a run that somebody ordered to pause.
    """
    while True:
        match run.item_state(item):
            case ItemState.READY if run.state.order is None:
                await attempts.begin(run, item)
            case ItemState.ACTIVE:
                await phases.implement(run.id, item, attempts.current(run, item).number)
            case ItemState.AWAITING_QA:
                await judge(run, item, phases)
            case ItemState.MERGING if run.state.item(item).question is None:
                await phases.land(run.id, item, attempts.current(run, item).number)
            case ItemState.FAILED:
                await attempts.again_or_ask(run, item)
            case _:
                return


async def judge(run: Run, item: str, phases: Phases) -> None:
    """Checks beside the precheck, reviews of what passed both, then the verdict. Skips what already has evidence."""
    number = attempts.current(run, item).number
    async with asyncio.TaskGroup() as together:
        if attempts.current(run, item).precheck is None:
            together.create_task(phases.precheck(run.id, item, number))
        if names := verdict.missing_checks(run.spec, run.state, item):
            together.create_task(phases.checks(run.id, item, number, names))
    if verdict.worth_reviewing(run.spec, run.state, item) and (
        indexes := verdict.missing_reviews(run.spec, run.state, item)
    ):
        await phases.reviews(run.id, item, number, indexes)
    await attempts.close(run, item)
