"""The flow `human_gate`: one question to a person, as a paused run with a typed form."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.gates import wait_for_decision


@flow(name="human_gate", persist_result=False)
async def human_gate(run: str, question: str) -> State[Any]:
    """Ask a person and wait; the paused runs of this flow are the queue of open questions.

    Args:
        run: the id of the run that asks
        question: the id of the question, as `aurea inbox` shows it
    """
    return await wait_for_decision(run, question)
