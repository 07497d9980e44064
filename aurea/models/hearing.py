"""Who listens to a model call while it is under way: wires tell what they hear, whoever made the call says to whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

# What the model says, what it thinks aloud, the name of a tool that it begins to call, and that call's arguments.
Kind = Literal["text", "reasoning", "tool", "arguments"]


class Ear(Protocol):
    """Listens to one call."""

    def hear(self, kind: Kind, text: str) -> None:
        """The next piece of an answer that is being given."""
        ...

    def sign(self) -> None:
        """Something came: the server is still at work."""
        ...


class Deaf:
    """Listens to nothing."""

    def hear(self, kind: Kind, text: str) -> None:
        """Forget it."""

    def sign(self) -> None:
        """Let it pass."""


_ear: ContextVar[Ear] = ContextVar("aurea_ear", default=Deaf())  # noqa: B039 (it holds nothing)


def ear() -> Ear:
    """Who listens to the call that is made here."""
    return _ear.get()


@contextmanager
def heard_by(listener: Ear) -> Iterator[None]:
    """The calls that are made inside are heard by `listener`.

    A context variable, since between those who make a call and the wire stand the layers, which see one call and one
    answer, and below the wire a vendor's library, which hands nothing through.
    """
    token = _ear.set(listener)
    try:
        yield
    finally:
        _ear.reset(token)
