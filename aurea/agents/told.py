"""What the agent of a conversation was told, as the ledger keeps it."""

from __future__ import annotations

from aurea.agents import roles
from aurea.agents.parts import Prompt
from aurea.domain.messages import Address
from aurea.ports import Ledger


def prompt_of(ledger: Ledger, at: Address) -> Prompt | None:
    """The prompt of the conversation at `at`; None where it has none of its own, as a guardian's questions."""
    state = ledger.state(at.run)
    body = state.prompts.get((at.item, at.attempt, at.conversation))
    if body is None and at.item is not None and at.conversation == at.role:
        body = state.attempt(at.item, at.attempt).prompt
    return Prompt.stored(ledger.body(body), roles.prompt(at.role)) if body is not None else None


def task_parts(ledger: Ledger, at: Address) -> dict[str, str] | None:
    """The parts of its task, by name."""
    prompt = prompt_of(ledger, at)
    return {part.name: part.text for part in prompt.parts} if prompt is not None else None
