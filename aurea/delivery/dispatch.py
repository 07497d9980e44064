"""The dispatch loop: every item starts the moment its dependencies have landed, within the limit, without waves."""

from __future__ import annotations

import asyncio

from aurea.delivery import answers, manager, quality, questions
from aurea.delivery.context import Run
from aurea.delivery.line import Phases, walk
from aurea.domain.errors import AureaError, IllegalMove
from aurea.domain.events import ItemMoved
from aurea.domain.lifecycle import ItemState
from aurea.domain.state import RunState

LOOK_S = 0.5  # how often what other processes recorded is looked for


async def dispatch(run: Run, phases: Phases) -> None:
    """Work on items until none can go on without a person.

    A fault that is nobody's change (a missing key, an exhausted budget, a full disk, a provider that stays away) keeps
    new items from starting and asks one question; what is at work goes on. The budget of an item or a role keeps back
    those alone that need it. An error of Aurea's own goes to the caller.
    Answers and orders that other processes record take effect within `LOOK_S`.
    """
    at_work: dict[asyncio.Task[None], str] = {}
    try:
        while True:
            await answers.carry_out(run)
            await _release(run)
            if may_start(run.state):
                room = run.spec.concurrency - len(at_work)
                for name in manager.startable(run.state, run.busy, room):
                    task = asyncio.create_task(walk(run, name, phases), name=f"item {name}")
                    at_work[task] = name
                    run.busy.add(name)
            quality.warm(run)
            if not at_work or answers.stopped(run.state):
                return
            done, _ = await asyncio.wait(at_work, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                name = at_work.pop(task)
                run.busy.discard(name)
                await _settle(run, name, task)
            await asyncio.to_thread(run.ledger.refresh, run.id)
            await _interrupt(run, at_work)
    finally:
        await _cancel(list(at_work))
        run.busy.clear()


def may_start(state: RunState) -> bool:
    """Whether new items may be taken up: nobody ordered a pause, and no fault of all of them waits for a person."""
    return state.order is None and not any(manager.stops_all(asked.question) for asked in state.questions.values())


async def _interrupt(run: Run, at_work: dict[asyncio.Task[None], str]) -> None:
    """Interrupt the work on items that a person cancelled."""
    ended = [task for task, name in at_work.items() if run.state.item(name).cancelled is not None]
    await _cancel(ended)
    for task in ended:
        run.busy.discard(at_work.pop(task))


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _release(run: Run) -> None:
    """Make ready what can be: items whose dependencies landed, and items whose question was answered."""
    for name in manager.newly_ready(run.state):
        fact = ItemMoved(source=ItemState.PLANNED, target=ItemState.READY, cause="its dependencies have landed")
        await run.record(fact, item=name)
    for name in manager.unblocked(run.state):
        fact = ItemMoved(source=ItemState.BLOCKED, target=ItemState.READY, cause="what it waited for has landed")
        await run.record(fact, item=name)
    for name in manager.released(run.state):
        fact = ItemMoved(source=ItemState.WAITING_HUMAN, target=ItemState.READY, cause="the question was answered")
        await run.record(fact, item=name)


async def _settle(run: Run, item: str, task: asyncio.Task[None]) -> None:
    """Look at how an item's walk ended; a fault that a person can clear becomes a question."""
    if task.cancelled():
        raise asyncio.CancelledError(f"the work on {item} was cancelled")
    fault = leading(task.exception())
    if fault is None:
        return
    if not isinstance(fault, AureaError) or isinstance(fault, IllegalMove):
        raise fault
    await questions.ask_about(run, item, fault)


def leading(fault: BaseException | None) -> BaseException | None:
    """The error that matters in a group of concurrent ones: one of Aurea's own before one that a person can clear."""
    while isinstance(fault, BaseExceptionGroup):
        fault = min(fault.exceptions, key=lambda error: isinstance(error, AureaError))
    return fault
