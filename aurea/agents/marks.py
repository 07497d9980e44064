"""What is recorded once of a step of a conversation, and is known again when the conversation is taken up again."""

from __future__ import annotations

from typing import TypeVar

from aurea.domain.agent_facts import (
    ConversationCompacted,
    GuardianLooked,
    LimitLifted,
    LimitReached,
    ModelRepaired,
    PartialHandedIn,
)
from aurea.domain.events import Draft
from aurea.domain.lifecycle import Actor
from aurea.ports import Assignment, Ledger

Mark = TypeVar("Mark", ModelRepaired, ConversationCompacted, GuardianLooked, LimitReached, PartialHandedIn)


class Marks:
    """The marks of one conversation."""

    def __init__(self, run: str, ledger: Ledger, assignment: Assignment) -> None:
        self._run = run
        self._ledger = ledger
        self._at = assignment
        self.conversation = assignment.conversation

    def find(self, step: int, kind: type[Mark]) -> Mark | None:
        """The latest mark of that kind at a step."""
        place = (self._at.item, self._at.attempt, self._at.conversation, step)
        found = self._ledger.state(self._run).marks.get((place, kind.model_fields["type"].default))
        return found if isinstance(found, kind) else None

    async def put(self, mark: Mark | LimitLifted) -> None:
        """Record a mark."""
        draft = Draft(fact=mark, actor=Actor.AGENT, item=self._at.item, attempt=self._at.attempt)
        await self._ledger.record(self._run, [draft])

    async def once(self, mark: Mark) -> None:
        """Record a mark unless its step has one of its kind."""
        if self.find(mark.step, type(mark)) is None:
            await self.put(mark)
