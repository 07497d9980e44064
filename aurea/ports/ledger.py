"""The ledger, and the table of rows behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aurea.domain.events import Draft, Event
from aurea.domain.state import RunState


@dataclass(frozen=True)
class Row:
    """One row of `ledger_events` as it is stored: payload as canonical JSON text, or None once it was purged."""

    seq: int
    run: str
    item: str | None
    attempt: int | None
    actor: str
    type: str
    payload: str | None
    salt: str
    payload_hash: str
    ts: str
    prev_hash: str
    hash: str


class StoreTransaction(Protocol):
    """One write transaction that sees the latest committed head and keeps others from moving it."""

    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last row; `(0, "")` in an empty ledger."""
        ...

    def rows_after(self, seq: int, runs: Sequence[str]) -> list[Row]:
        """Rows of these runs behind `seq`, in order."""
        ...

    def insert(self, rows: Sequence[Row], bodies: Mapping[str, str]) -> None:
        """Add rows and the texts they refer to by digest (a text that is there already is left)."""
        ...


class EventStore(Protocol):
    """The table behind the ledger. Knows rows, not what they mean."""

    def transaction(self) -> AbstractContextManager[StoreTransaction]:
        """A write transaction; committed and durable when the block ends well, rolled back otherwise."""
        ...

    def rows(self, run: str | None = None, after: int = 0) -> Iterator[Row]:
        """Rows in order, of one run or of all."""
        ...

    def rows_of(self, types: Collection[str], since: str, after: int) -> list[Row]:
        """Rows of these types of all runs that were recorded at `since` or later and stand behind `after`, in order."""
        ...

    def first(self) -> str:
        """The hash of the first row, which no other ledger has; empty in an empty one."""
        ...

    def runs(self) -> list[str]:
        """Ids of all runs, newest first."""
        ...

    def body(self, digest: str) -> str | None:
        """The text kept under `digest`, or None."""
        ...

    def bodies(self) -> Iterator[tuple[str, str]]:
        """All texts with the digests they are kept under."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class Ledger(Protocol):
    """The append-only record of all runs. Thread-safe: every method may be called from any thread."""

    def state(self, run: str) -> RunState:
        """The fold of a run, kept up to date by every append of this process; `Permanent` where the run is unknown."""
        ...

    def append(self, run: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        """Record drafts, all or none, and return once they are durable. Refuses what the state forbids."""
        ...

    async def record(self, run: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        """`append` without blocking the event loop."""
        ...

    def refresh(self, run: str) -> RunState:
        """Take in what other processes recorded, then `state`."""
        ...

    def events(self, run: str, after: int = 0) -> Iterator[Event]:
        """The events of a run behind `after`, in order."""
        ...

    def across(self, types: Collection[str], since: datetime, after: int = 0) -> list[Event]:
        """Events of these types of all runs that were recorded at `since` or later and stand behind `after`, in order."""
        ...

    def body(self, digest: str) -> str:
        """The text kept under `digest`; `Permanent` where it was purged or never stored."""
        ...

    def runs(self) -> list[str]:
        """Ids of all runs, newest first."""
        ...

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call `listener` with every batch of new events, in order; returns how to end that.

        New is what this process has made durable, and what it notices of other processes in runs that are open here.
        Listeners are quick, stand in no order among themselves, and are called on a thread of the ledger's own.
        """
        ...

    def close(self) -> None:
        """Write what is queued and let go of the store."""
        ...
