"""A connection to PostgreSQL whose server may be silent for so long and no longer; its driver alone would wait for ever."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")


class Heard(psycopg.Connection[Any]):
    """Given up when the server has said nothing for `answer_s` seconds while something was asked.

    A server process that hangs, or a machine that is stopped, keeps its side of the connection alive: neither the
    operating system nor any limit of the server's own notices. The connection is closed then, so that what was asked
    counts as not heard of and another connection is made.
    """

    answer_s: float

    def wait(self, gen: Generator[Any, Any, T], *words: Any, **named: Any) -> T:
        """What psycopg waits for."""
        try:
            return super().wait(self._listening(gen), *words, **named)
        except _Silent as fault:
            self.pgconn.finish()
            raise psycopg.OperationalError(str(fault)) from None

    def _listening(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.answer_s:
                    raise _Silent(f"the server has said nothing for {self.answer_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            value: T = end.value
            return value


def heard_within(answer_s: float) -> type[Heard]:
    """Connections whose server may be silent for that long."""

    class Within(Heard):
        pass

    Within.answer_s = answer_s
    return Within


class _Silent(Exception):
    """The server does not answer any more."""
