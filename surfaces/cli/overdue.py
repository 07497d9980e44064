"""The deadlines of questions, applied by every command that looks at a run."""

from __future__ import annotations

from contextlib import suppress

from aurea.delivery.deadlines import default_answer, overdue
from aurea.domain.errors import Permanent
from aurea.domain.state import RunState
from aurea.home import Home
from surfaces.cli import context


def look(home: Home, run: str) -> RunState:
    """The state of a run, after its questions that nobody answered in time have got their stated defaults."""
    for asked in overdue(home.state(run), home.clock.now()):
        from surfaces.server.gates import answering, close_gate, resume_suspended

        with answering(home.settings.home, asked.question.id) as first:
            if not first:
                continue  # whoever takes the run up records the answer that a person gave in Prefect
            with suppress(Permanent):  # answered at this moment
                home.ledger.append(run, [default_answer(asked)])
                context.say(f"aurea: nobody answered {asked.question.id} of run {run} in time: {asked.default}")
        state = home.state(run)
        if given := state.answers.get(asked.question.id):
            close_gate(home.settings.home, asked.question.id, given.choice)
        if state.ended is not None and state.ended.state == "waiting":  # one that was paused stays so
            resume_suspended(home.settings.home, run)
    return home.state(run)
