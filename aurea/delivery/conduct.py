"""The conductor: one run from its plan to its end, whatever the end is."""

from __future__ import annotations

import asyncio

from aurea.delivery import answers, base, deadlines, manager, quality, questions
from aurea.delivery.context import Run
from aurea.delivery.dispatch import LOOK_S, dispatch, leading
from aurea.delivery.line import Phases
from aurea.delivery.workspaces import tidy
from aurea.domain.errors import AureaError, IllegalMove, PlanRefused
from aurea.domain.events import BaseMoved, ItemMoved, RunEnded
from aurea.domain.lifecycle import UNFINISHED, ItemState


async def conduct(run: Run, phases: Phases) -> RunEnded:
    """Plan, dispatch, end, report. Returns how the run ended; it is in the ledger by then.

    Cancelling this coroutine ends the run as `cancelled` where `run.stopping` says so, else as `interrupted`; the
    cancellation goes on to the caller after that is recorded. So does an error that nobody foresaw: the run is
    `interrupted`, names it, and can be resumed.
    """
    if run.state.ended is not None and run.state.finished:  # by a process that died before the report
        await phases.report(run.id)
        return run.state.ended
    for question in run.state.questions:  # before anything closes one, which then is closed where it is shown
        run.announce(question)
    body = asyncio.ensure_future(_work(run, phases))
    watcher = asyncio.ensure_future(_watch(run, body))
    try:
        ending = await body
    except BaseException as caught:
        ending = await asyncio.shield(asyncio.ensure_future(stop(run, leading(caught))))
        if _cut_short(run) and ending.state != "interrupted":
            return ending  # it was the watcher who cancelled the work: nobody cancelled this coroutine
        raise
    finally:
        watcher.cancel()
    await run.announced()
    if ending.state == "waiting" and await _answered_late(run):
        return await conduct(run, phases)
    await _end(run, ending)
    await phases.report(run.id)
    return ending


async def _watch(run: Run, body: asyncio.Future[RunEnded]) -> None:
    """Obey at once what another process ordered; let open questions be shown, and answered by their deadlines."""
    shown: set[str] = set()
    while True:
        await deadlines.keep(run)
        for question in set(run.state.questions) - shown:
            run.announce(question)
            shown.add(question)
        if _cut_short(run):
            body.cancel()
            return
        await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(run.ledger.refresh, run.id)


def _cut_short(run: Run) -> bool:
    """Whether somebody ordered an end that does not wait for what is at work."""
    order = run.state.order
    return order is not None and (order.order == "cancel" or order.interrupt)


async def _work(run: Run, phases: Phases) -> RunEnded:
    limit = None if run.spec.run_timeout_s == "none" else run.spec.run_timeout_s
    try:
        async with asyncio.timeout(limit):
            await _until_nothing_is_left(run, phases)
    except TimeoutError:
        return RunEnded(state="failed", reason=f"took longer than run_timeout_s ({limit:g} s)", reason_code="timeout")
    except PlanRefused as refused:
        return RunEnded(state="failed", reason=refused.message, reason_code="plan_rejected")
    if (answer := answers.stopped(run.state)) is not None:
        code = "partial" if run.state.landings else "stopped"
        why = "nobody answered in time" if answer.door == "deadline" else "a person ended it"
        return RunEnded(state="failed", reason=f"{why}; what has landed stays", reason_code=code)
    return await quality.confirmed(run, manager.ending(run.state))


async def _until_nothing_is_left(run: Run, phases: Phases) -> None:
    """Plan and dispatch, again after each answer for as long as this process waits for answers."""
    while not answers.stopped(run.state):
        await deadlines.turn_day(run)
        try:
            await answers.carry_out(run)
            if run.state.plan is None:
                await phases.plan(run.id)
            if run.state.plan is not None:
                await dispatch(run, phases)
            if run.state.landings and run.follow_target is not None:
                await _follow(run)
            if base.due(run) and await quality.passed(run):
                await base.advance(run)
        except (AureaError, BaseExceptionGroup) as caught:
            fault = leading(caught)
            if not isinstance(fault, AureaError) or isinstance(fault, (IllegalMove, PlanRefused)):
                raise fault or caught from caught
            await questions.ask_about(run, None, fault)
        if not await _answered(run):
            return


async def _answered(run: Run) -> bool:
    """Wait for an answer to an open question as long as the command said; False where none came, or nothing is open.

    A question that is closed without one, such as that for the money of a day that is over, is as good as answered.
    """
    until = run.clock.monotonic() + run.wait_s
    waited = bool(run.state.questions)
    while run.state.order is None and run.state.questions and not _free(run):
        if run.clock.monotonic() >= until:
            return False
        await run.clock.sleep(min(LOOK_S, run.wait_s))
        await asyncio.to_thread(run.ledger.refresh, run.id)
        await deadlines.turn_day(run)
    return run.state.order is None and (_free(run) or (waited and not run.state.questions))


def _free(run: Run) -> bool:
    return answers.pending(run) or bool(manager.released(run.state))


async def _answered_late(run: Run) -> bool:
    """Whether an answer came after the last look of those who waited: whoever gave it was told that it is taken up."""
    await asyncio.to_thread(run.ledger.refresh, run.id)
    return run.state.order is None and answers.pending(run)


async def _follow(run: Run) -> None:
    """Bring the branch of a repository that Aurea made to the target and check it out."""
    assert run.follow_target is not None and run.state.created is not None
    old = run.state.base_moved.new if run.state.base_moved else run.state.created.base.sha
    if old != run.state.tip:
        ref = await run.follow_target(run.state.tip)
        await run.record(BaseMoved(ref=ref, old=old, new=run.state.tip))


async def stop(run: Run, cause: BaseException | None) -> RunEnded:
    """Record and report the end of a run that was stopped from outside, or by an error, without the engine's help."""
    if _cut_short(run) and isinstance(cause, asyncio.CancelledError | None):
        ending = manager.ending(run.state)
    elif run.stopping == "cancelled":
        ending = manager.cancelled()
    elif isinstance(cause, asyncio.CancelledError):
        reason = "the process was stopped; `aurea resume` goes on"
        ending = RunEnded(state="interrupted", reason=reason, reason_code="interrupted")
    else:
        ending = RunEnded(state="interrupted", reason=f"internal error: {cause!r}", reason_code="internal_error")
    await _end(run, ending)
    await run.report()
    return ending


async def _end(run: Run, ending: RunEnded) -> None:
    """Record the end. Of a run that cannot go on nothing is left unfinished, and no workspace that nobody needs."""
    if ending.state in ("failed", "cancelled"):
        for name, item in list(run.state.items.items()):
            if item.state in UNFINISHED:
                cause = f"the run {ending.state}: {ending.reason}"
                await run.record(ItemMoved(source=item.state, target=ItemState.ABANDONED, cause=cause), item=name)
        for question in list(run.state.questions):
            await questions.withdraw(run, question, f"the run {ending.state}")
    await tidy(run)
    await run.record(ending)
