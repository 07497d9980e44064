"""Raising questions to a person: what is asked, why, and which item waits for the answer."""

from __future__ import annotations

import hashlib

from aurea.delivery.context import Run
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
    remedy = fault.remedy if isinstance(fault, AureaError) else ""
    kind: QuestionKind = "budget" if isinstance(fault, BudgetReached) else "blocked"
    already = [
        o.question for o in run.state.questions.values() if o.question.kind == kind and o.question.title == message
    ]
    if not already and not (kind == "budget" and _open(run, "budget")):
        name = question_id(run.id, kind, message, str(len(run.state.answers)))
        await run.record(_asked(run, name, kind, message, remedy or "the run cannot go on without it"))
    if item is not None and (state := run.item_state(item)) in (ItemState.ACTIVE, ItemState.AWAITING_QA):
        await run.record(ItemMoved(source=state, target=ItemState.WAITING_HUMAN, cause=message), item=item)


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


def _asked(run: Run, name: str, kind: QuestionKind, title: str, why: str, item: str | None = None) -> QuestionAsked:
    """A question with what follows where nobody answers it in time, and when."""
    until = deadline(run.clock.now(), run.spec.answer_within_s)
    question = Question(id=name, kind=kind, item=item, title=title, why=why, default=DEFAULTS[kind], deadline=until)
    return QuestionAsked(question=question)


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"


def _open(run: Run, kind: str) -> bool:
    return any(asked.question.kind == kind for asked in run.state.questions.values())
