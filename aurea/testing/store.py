"""An event store in memory, held to the same contract as the real ones."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from aurea.ports import Row


class MemoryEventStore:
    """Rows in a list. Thread-safe, transactional, gone with the process; `fail_with` makes the next commit fail."""

    def __init__(self, rows: Iterable[Row] = (), bodies: Mapping[str, str] | None = None) -> None:
        self.fail_with: Exception | None = None
        self._rows = list(rows)
        self._bodies = dict(bodies or {})
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """A write transaction: all of it, or nothing when the block raises."""
        with self._lock:
            transaction = _Transaction(self._rows)
            yield transaction
            if self.fail_with is not None:
                fault, self.fail_with = self.fail_with, None
                raise fault
            self._rows += transaction.rows
            self._bodies = transaction.bodies | self._bodies

    def rows(self, run: str | None = None, after: int = 0) -> Iterator[Row]:
        """Rows in order, of one run or of all."""
        with self._lock:
            found = [row for row in self._rows if row.seq > after and run in (None, row.run)]
        return iter(found)

    def rows_of(self, types: Collection[str], since: str, after: int) -> list[Row]:
        """Rows of these types of all runs that were recorded at `since` or later and stand behind `after`, in order."""
        return [row for row in self.rows(after=after) if row.type in types and row.ts >= since]

    def bodies(self) -> Iterator[tuple[str, str]]:
        """All texts with their digests."""
        with self._lock:
            return iter(sorted(self._bodies.items()))

    def first(self) -> str:
        """The hash of the first row."""
        with self._lock:
            return self._rows[0].hash if self._rows else ""

    def runs(self) -> list[str]:
        """Ids of all runs, newest first."""
        with self._lock:
            return list(dict.fromkeys(row.run for row in self._rows))[::-1]

    def body(self, digest: str) -> str | None:
        """The text kept under `digest`, or None."""
        return self._bodies.get(digest)

    def close(self) -> None:
        """Nothing to let go of."""


class _Transaction:
    def __init__(self, committed: Sequence[Row]) -> None:
        self._committed = committed
        self.rows: list[Row] = []
        self.bodies: dict[str, str] = {}

    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last committed row."""
        return (self._committed[-1].seq, self._committed[-1].hash) if self._committed else (0, "")

    def rows_after(self, seq: int, runs: Sequence[str]) -> list[Row]:
        """Rows of these runs behind `seq`."""
        return [row for row in self._committed if row.seq > seq and row.run in runs]

    def insert(self, rows: Sequence[Row], bodies: Mapping[str, str]) -> None:
        """Add rows and texts."""
        self.rows += rows
        self.bodies.update(bodies)
