"""The life of an attempt: begun on the current tip with what was learnt, closed by a verdict, followed by another."""

from __future__ import annotations

from aurea.agents import briefs
from aurea.agents.parts import Part
from aurea.delivery import baseline, lessons, prompts, questions, surroundings, verdict, workspaces
from aurea.delivery.context import Run
from aurea.delivery.desk import question
from aurea.domain.events import AttemptStarted, EscalationRaised, ItemMoved, VerdictGiven
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.state import Attempt


def current(run: Run, item: str) -> Attempt:
    """The latest attempt of an item that has been begun."""
    attempt = run.state.item(item).current
    assert attempt is not None, f"{item} has no attempt"
    return attempt


async def begin(run: Run, item: str) -> None:
    """Move a ready item to active: with a new attempt on the current tip, or with one that a fault had interrupted."""
    entry = run.state.item(item)
    if entry.current is not None and entry.current.state == "active":
        again = ItemMoved(
            source=ItemState.READY, target=ItemState.ACTIVE, cause=f"attempt {entry.current.number} goes on"
        )
        await run.record(again, item=item)
        return
    number = len(entry.attempts) + 1
    body, prompt = prompts.sealed(entry.spec.role, await _brief(run, item))
    await run.record(
        AttemptStarted(
            base=run.state.tip, role=entry.spec.role, model=str(run.model_for(entry.spec.role)), prompt=body
        ),
        ItemMoved(source=ItemState.READY, target=ItemState.ACTIVE, cause=f"attempt {number} begins"),
        item=item,
        attempt=number,
        bodies={body: prompt},
    )


async def close(run: Run, item: str) -> None:
    """Give the verdict on the current attempt, move the item by it, and remove the attempt's workspace."""
    attempt = current(run, item)
    given = verdict.decide(run.spec, run.state, item)
    await workspaces.remove(run, item, attempt)
    run.diffs.pop(attempt.ended.sha if attempt.ended and attempt.ended.sha else "", None)
    said = VerdictGiven(verdict=given)
    actor = Actor.GATE if given.by == "gate" else Actor.REVIEWER
    if given.decision == "escalate":
        await run.record(said, actor=actor, item=item, attempt=attempt.number)
        await questions.escalate(
            run, item, ItemState.AWAITING_QA, "; ".join(given.reasons) or "a reviewer asks for a person"
        )
        return
    target = ItemState.MERGING if given.decision == "approve" else ItemState.FAILED
    cause = "; ".join(given.reasons)[:500] or given.decision
    move = ItemMoved(source=ItemState.AWAITING_QA, target=target, cause=cause)
    await run.record(said, move, actor=actor, item=item, attempt=attempt.number)


def over(run: Run, item: str) -> str | None:
    """Why `item` is not attempted again without a person; None where it is."""
    entry = run.state.item(item)
    if entry.spent >= run.spec.max_attempts:
        return f"{entry.spent} of {run.spec.max_attempts} attempts are spent"
    if entry.returned_by_reviews > run.spec.review_loops:
        return f"reviews sent it back {entry.returned_by_reviews} times, {run.spec.review_loops} are allowed"
    return None


async def again_or_ask(run: Run, item: str) -> None:
    """After a failed attempt: another one with its lessons, or a person when the attempts are spent.

    A person, too, where its agent asked for another plan and the planner gave none.
    """
    entry = run.state.item(item)
    if (raised := _unheard(run, item)) is not None:
        title = question(raised, entry.spec.name)
        await questions.escalate(run, item, ItemState.FAILED, raised.text, title=title)
        return
    why = over(run, item)
    if why is None:
        cause = f"goes on with what attempt {len(entry.attempts)} taught"
        moves = [ItemMoved(source=ItemState.FAILED, target=ItemState.READY, cause=cause)]
        if needed := run.state.unlanded(item):  # which its agent had proposed, and waits for
            waits = f"waits for {', '.join(needed)}"
            moves.append(ItemMoved(source=ItemState.READY, target=ItemState.BLOCKED, cause=waits))
        await run.record(*moves, item=item)
        return
    last = entry.current.reason if entry.current else None
    await questions.escalate(run, item, ItemState.FAILED, f"{why}; the last one: {last}" if last else why)


def _unheard(run: Run, item: str) -> EscalationRaised | None:
    """What the agent of the latest attempt asked for, where the planner was to give it and did not."""
    last = current(run, item)
    raised = run.state.escalation(item, last.number) if last.escalated and last.refused is None else None
    refused = any(rejected.round == run.state.reopened.get(item) for rejected in run.state.rejections)
    return raised if refused else None


async def _brief(run: Run, item: str) -> tuple[Part, ...]:
    """What an attempt is shown. Stored, so that a resumed attempt is told exactly the same."""
    entry = run.state.item(item)
    previous = entry.current
    return briefs.coder_brief(
        objective=run.spec.objective,
        item=entry.spec,
        neighbours=[other.spec for other in run.state.items.values() if other.spec.id != item],
        landed=[name for name, other in run.state.items.items() if other.state is ItemState.COMPLETE],
        checks=run.spec.checks or (),
        red_baseline=baseline.red(run),
        attempt=len(entry.attempts) + 1,
        hints=entry.hints,
        lessons=lessons.lessons(run.state, item),
        previous_diff=await _previous_diff(run, previous),
        known=await prompts.known(run),
        around=await surroundings.of_item(run, item),
    )


async def _previous_diff(run: Run, attempt: Attempt | None) -> str:
    if attempt is None or attempt.ended is None or attempt.ended.sha is None:
        return ""
    return await run.repository.diff(attempt.base, attempt.ended.sha, limit=12_000)
