"""Where in a run something was said: which step of which conversation, of which attempt at which item."""

from __future__ import annotations

from typing import Protocol

from aurea.domain import events as ev

Place = tuple[str | None, int, str, int]
ToolPlace = tuple[str | None, int, str, int, str]


class Spoken(Protocol):
    """A fact that stands at one step of one conversation."""

    @property
    def conversation(self) -> str:
        """The conversation's name within its attempt."""
        ...

    @property
    def step(self) -> int:
        """From 1 on."""
        ...


def place_of(event: ev.Event, fact: Spoken) -> Place:
    """The place of an event's fact. An attempt is 0 where there is none."""
    return (event.item, event.attempt or 0, fact.conversation, fact.step)
