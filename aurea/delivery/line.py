"""The line of one work item: attempt, the phases of its template, verdict, landing, again or back to the plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from aurea.delivery import attempts, replanning, verdict
from aurea.delivery.context import Run
from aurea.domain.lifecycle import ItemState
from aurea.domain.route import Phase

Done = Coroutine[Any, Any, None]


@dataclass(frozen=True)
class Phases:
    """How each phase is carried out; takes plain ids, results are in the ledger.

    `checks` and `reviews` take all names or indexes of one attempt and work on them concurrently. Under Prefect each
    phase is a task; the core alone runs on plain calls (`aurea.testing`).
    """

    plan: Callable[[str], Done]
    replan: Callable[[str, str], Done]
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
            case ItemState.FAILED if replanning.due(run, item):
                if run.state.order is not None:
                    return
                await phases.replan(run.id, item)
            case ItemState.FAILED:
                await attempts.again_or_ask(run, item)
            case _:
                return


async def judge(run: Run, item: str, phases: Phases) -> None:
    """The item's line behind `implement`, group after group while nothing failed, then the verdict.

    The phases of a group work at the same time, each on what has no evidence yet.
    """
    number = attempts.current(run, item).number
    for group in run.spec.route.line_of(item):
        due = [work for phase in group if (work := _due(run, item, number, phase, phases)) is not None]
        if len(due) == 1:
            await due[0]
        elif due:
            async with asyncio.TaskGroup() as together:
                for work in due:
                    together.create_task(work)
        if verdict.spoilt(run.state, item):
            break
    await attempts.close(run, item)


def _due(run: Run, item: str, number: int, phase: Phase, phases: Phases) -> Done | None:
    """What is left to do of a phase of the attempt; None where it is done, or comes before."""
    if phase == "review_precheck" and attempts.current(run, item).precheck is None:
        return phases.precheck(run.id, item, number)
    if phase == "check" and (names := verdict.missing_checks(run.spec, run.state, item)):
        return phases.checks(run.id, item, number, names)
    if phase == "review" and (indexes := verdict.missing_reviews(run.spec, run.state, item)):
        return phases.reviews(run.id, item, number, indexes)
    return None
