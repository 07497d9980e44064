"""Raising questions to a person: what is asked, why, and which item waits for the answer."""

from __future__ import annotations

import hashlib
from typing import Any

from aurea.delivery.context import Run
from aurea.domain.caps import RUN, limit_of
from aurea.domain.effective import effective_spec
from aurea.domain.errors import AureaError, BudgetReached, Permanent
from aurea.domain.events import ItemMoved, QuestionAnswered, QuestionAsked, QuestionWithdrawn
from aurea.domain.evidence import DEFAULTS, Question, QuestionKind, deadline
from aurea.domain.lifecycle import ItemState


def question_id(run: str, *parts: str) -> str:
    """The same question of the same run has the same id, so that a restarted run does not ask it twice."""
    return "q-" + hashlib.sha256("\0".join((run, *parts)).encode()).hexdigest()[:10]


async def ask_about(run: Run, item: str | None, fault: BaseException) -> None:
    """Ask what to do about a fault that is nobody's change, once per fault, and let `item` wait for the answer."""
    message = fault.message if isinstance(fault, AureaError) else str(fault)
    if isinstance(fault, BudgetReached):
        asked = await _ask_for_money(run, item, fault)
    else:
        remedy = fault.remedy if isinstance(fault, AureaError) else ""
        asked = await _ask_to_mend(run, message, remedy)
    if item is not None and (state := run.item_state(item)) in (ItemState.ACTIVE, ItemState.AWAITING_QA):
        waits = ItemMoved(source=state, target=ItemState.WAITING_HUMAN, cause=message, question=asked)
        await run.record(waits, item=item)


async def _ask_to_mend(run: Run, message: str, remedy: str) -> str:
    """The question about something that is missing, asked now unless it is open."""
    for name, asked in run.state.questions.items():
        if asked.question.kind == "blocked" and asked.question.title == message:
            return name
    name = question_id(run.id, "blocked", message, str(len(run.state.answers)))
    await run.record(_asked(run, name, "blocked", message, remedy or "the run cannot go on without it"))
    return name


async def _ask_for_money(run: Run, item: str | None, fault: BudgetReached) -> str | None:
    """The question about the cap that was reached, asked now unless it is open; None where it was raised meanwhile."""
    cap = fault.cap or RUN
    for name, asked in run.state.questions.items():
        if asked.question.kind == "budget" and (asked.question.cap or RUN) == cap:
            return name
    limit = limit_of(effective_spec(run.state), cap)
    if item is not None and (limit is None or limit > fault.limit_usd):
        return None
    name = question_id(run.id, "budget", fault.message, str(len(run.state.answers)))
    about = cap.name if cap.scope == "item" and cap.name in run.state.items else None
    why = [*_so_far(run, item), f"To go on: {fault.remedy.replace('RUN', run.id)}, or answer here."]
    if cap.scope == "day":
        why.append(f"From 00:00 UTC on `aurea resume {run.id}` goes on without an answer.")
    question = _asked(run, name, "budget", fault.message, "\n".join(why), about, cap=cap, role=fault.role or None)
    await run.record(question, item=about)
    return name


def _so_far(run: Run, item: str | None) -> list[str]:
    """What agents handed in when the money was used up, of the work that this is about."""
    if item is None:
        return []
    attempts = len(run.state.item(item).attempts)
    partials = [p for (i, n, _), p in run.state.partials.items() if (i, n) == (item, attempts)]
    return [f"So far, {partial.conversation} of {item}: {partial.told}." for partial in partials]


async def escalate(
    run: Run, item: str, source: ItemState, why: str, *, title: str | None = None, cause: str | None = None
) -> None:
    """Ask a person about `item`, which then waits in `waiting_human`; usually what should happen after its attempts."""
    entry = run.state.item(item)
    name = question_id(run.id, "escalation", item, str(len(run.state.answers)))
    title = title or f"{entry.spec.name}: what should happen after {_attempts(len(entry.attempts))}?"
    waits = ItemMoved(source=source, target=ItemState.WAITING_HUMAN, cause=(cause or why)[:500])
    await run.record(waits, _asked(run, name, "escalation", title, why, item), item=item)


async def approval(
    run: Run, kind: QuestionKind, title: str, why: str, *about: str, item: str | None = None
) -> QuestionAnswered | None:
    """The answer to the question whether `about` is approved; asked now where it was not, and None until it is answered."""
    name = question_id(run.id, kind, *about)
    if name in run.state.answers:
        return run.state.answers[name]
    if name not in run.state.questions:
        await run.record(_asked(run, name, kind, title, why, item), item=item)
    return None


async def withdraw(run: Run, question: str, reason: str) -> None:
    """Close a question without an answer, since what it was about is over. One answered at this moment stays answered."""
    try:
        await run.record(
            QuestionWithdrawn(question=question, reason=reason), item=run.state.asked_questions[question].item
        )
    except Permanent:
        if question in run.state.questions:
            raise


def _asked(
    run: Run, name: str, kind: QuestionKind, title: str, why: str, item: str | None = None, **more: Any
) -> QuestionAsked:
    """A question with what follows where nobody answers it in time, and when."""
    until = deadline(run.clock.now(), run.spec.answer_within_s)
    default = DEFAULTS[kind]
    return QuestionAsked(
        question=Question(id=name, kind=kind, item=item, title=title, why=why, default=default, deadline=until, **more)
    )


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"
