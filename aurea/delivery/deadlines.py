"""Deadlines of questions: where nobody has answered in time, the stated default is the answer, or it is about the past.

Whatever process looks next gives it. As with any other answer the first one counts: the ledger refuses the second.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from aurea.delivery import questions
from aurea.delivery.context import Run
from aurea.domain.caps import today
from aurea.domain.errors import AureaError
from aurea.domain.events import Draft, QuestionAnswered
from aurea.domain.state import OpenQuestion, RunState

POLICY = "policy"


def overdue(state: RunState, now: datetime) -> list[OpenQuestion]:
    """The open questions that nobody has answered in time."""
    return [asked for asked in list(state.questions.values()) if asked.deadline is not None and asked.deadline <= now]


def default_answer(asked: OpenQuestion) -> Draft:
    """What is recorded at the deadline of a question."""
    assert asked.deadline is not None
    reason = f"nobody answered by {asked.deadline.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    answer = QuestionAnswered(question=asked.question.id, choice=asked.default, reason=reason, door="deadline")
    return Draft(fact=answer, actor=POLICY, item=asked.question.item)


async def keep(run: Run) -> None:
    """Answer what is overdue in the run at work. What cannot be recorded now is so at the next look, or needs not be."""
    for asked in overdue(run.state, run.clock.now()):
        with suppress(AureaError):  # somebody answered at this moment, or the ledger is away
            await run.ledger.record(run.id, [default_answer(asked)])
    with suppress(AureaError):
        await turn_day(run)


async def turn_day(run: Run) -> None:
    """Close the questions for the money of a day that is over: the next one has its own."""
    now = today(run.clock.now())
    for name, asked in list(run.state.questions.items()):
        cap = asked.question.cap
        if cap is not None and cap.scope == "day" and cap.name < now:
            await questions.withdraw(run, name, f"the day {now} (UTC) has money of its own")
