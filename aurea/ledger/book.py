"""The ledger as the rest of Aurea sees it: record, read the state of a run, follow what is recorded."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from aurea.domain.errors import Permanent, Transient
from aurea.domain.events import Draft, Event, timestamp
from aurea.domain.state import RunState
from aurea.ledger import chain
from aurea.ledger.patience import READ_S, Patience
from aurea.ledger.writer import Job, Outcome, Reply, Writer
from aurea.ports import Clock, EventStore, Row
from aurea.settings import LEDGER_WAIT_S

T = TypeVar("T")
Listener = Callable[[Sequence[Event]], None]

_log = logging.getLogger(__name__)


class Book:
    """The ledger over an event store. Every method may be called from any thread.

    **When a state changes.** The event loop that records first is the *home loop*. As long as it runs, the states that
    `state` hands out change on its thread only, and only while it gives turns: code on the home loop never sees one
    change between two of its own awaits, and has seen what it recorded when `record` returns. Another thread may look
    at single values, and iterates over copies (`list(state.items.values())`); what it appended appears in the state
    with the home loop's next turn. Without a home loop states change before `append` returns.

    **Listeners** are called on the writer's thread, in the order of the ledger, after the commit and before `append`
    and `record` return; they should be quick, and may not append. They also get what other processes recorded to runs
    that are open here. What a listener raises is logged and harms nobody else.

    **A cancelled `record`** may still be recorded: what was queued is written.

    **A database that is away** is waited for: by what records for `write_s` seconds, then `LedgerAway`; by what reads
    for `read_s`, since that may hold up an event loop, then `Transient`.
    """

    def __init__(
        self, store: EventStore, clock: Clock, *, write_s: float = LEDGER_WAIT_S, read_s: float = READ_S
    ) -> None:
        self._store = store
        self._writer = Writer(store, clock, self._publish, write_s)
        self._read_s = read_s
        self._closing = threading.Event()
        # Guards `_folds`, `_news` and `_home`; held for microseconds only.
        self._lock = threading.RLock()
        self._folds: dict[str, RunState] = {}
        self._news: deque[tuple[Sequence[Event], Sequence[Outcome]]] = deque()
        self._home: asyncio.AbstractEventLoop | None = None
        self._listeners: tuple[Listener, ...] = ()

    # --- reading -------------------------------------------------------------------------------------------------

    def state(self, run: str) -> RunState:
        """The fold of a run, kept up to date by every append of this process; `Permanent` where the run is unknown."""
        if self._news and not self._at_home():
            self._advance()
        fold = self._folds.get(run)
        return fold if fold is not None else self._patiently(lambda: self._writer.do(lambda: self._open(run)))

    def refresh(self, run: str) -> RunState:
        """Take in what other processes recorded, then `state`; as last known of an open run while the store is away."""
        if run in self._folds and not self._writer.away:
            try:
                self._patiently(lambda: self._writer.do(lambda: self._writer.refresh(run)))
            except Transient as fault:
                _log.debug("nothing new of run %s: %s", run, fault.message)
            if _running() is self._home:
                self._advance()
        return self.state(run)

    def events(self, run: str, after: int = 0) -> Iterator[Event]:
        """The events of a run behind `after`, in order."""
        return map(chain.event_of, self._rows(run, after))

    def across(self, types: Collection[str], since: datetime, after: int = 0) -> list[Event]:
        """Events of these types of all runs that were recorded at `since` or later and stand behind `after`, in order."""
        rows = self._patiently(lambda: self._store.rows_of(types, timestamp(since), after))
        return [chain.event_of(row) for row in rows if row.payload is not None]

    def body(self, digest: str) -> str:
        """The text kept under `digest`; `Permanent` where it was purged, changed or never stored."""
        text = self._patiently(lambda: self._store.body(digest))
        if text is None:
            raise Permanent(f"the ledger holds no text {digest!r}")
        if chain.digest(text) != digest:
            raise Permanent(f"the text {digest!r} was changed in the ledger", remedy="see what `aurea verify` says")
        return text

    def runs(self) -> list[str]:
        """Ids of all runs, newest first."""
        return self._patiently(self._store.runs)

    def first(self) -> str:
        """The hash of the first row, which no other ledger has; empty in an empty one."""
        return self._patiently(self._store.first)

    def _rows(self, run: str, after: int) -> Iterator[Row]:
        patience = self._patience()
        while True:
            try:
                for row in self._store.rows(run, after):
                    after = row.seq
                    yield row
                return
            except Transient as fault:
                if not patience.wait(fault):
                    raise

    def _patiently(self, read: Callable[[], T]) -> T:
        patience = self._patience()
        while True:
            try:
                return read()
            except Transient as fault:
                if not patience.wait(fault):
                    raise

    def _patience(self) -> Patience:
        """That of a reader; none where the writer's was in vain, so that a run that is given up ends soon."""
        return Patience(0.0 if self._writer.given_up else self._read_s, self._closing)

    # --- recording -----------------------------------------------------------------------------------------------

    def append(self, run: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        """Record drafts, all or none, and return once they are durable. Refuses what the state forbids.

        `IllegalMove` or `Permanent`: refused, nothing stored. `Blocked`: the store could not take it. `LedgerAway`: it may
        have been stored or not, which the ledger will say when it is back.
        """
        if self._writer.here:
            raise RuntimeError("a listener may not append to the ledger that it listens to")
        reply: Future[list[Event]] = Future()
        self._writer.submit(Job(run, tuple(drafts), _named(bodies), reply))
        events = reply.result()
        if _running() is self._home:
            self._advance()
        return events

    async def record(self, run: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        """`append` without blocking the event loop."""
        loop = asyncio.get_running_loop()
        if self._home is not loop:
            self._settle_on(loop)
        waiter = _Waiter(loop, loop.create_future())
        self._writer.submit(Job(run, tuple(drafts), _named(bodies), waiter))
        return await waiter.future

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every batch of new events; returns how to end that."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return unsubscribe

    def close(self) -> None:
        """Write what is queued and let go of the store."""
        self._closing.set()
        self._writer.close()
        if self._news and not self._at_home():
            self._advance()
        self._store.close()

    # --- from the writer's thread to the readers ------------------------------------------------------------------

    def _open(self, run: str) -> RunState:
        with self._lock:
            if run not in self._folds:
                self._folds[run] = self._writer.open(run)
            return self._folds[run]

    def _publish(self, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        """On the writer's thread, after a commit: tell listeners, let the states follow, answer those who wait."""
        for listener in self._listeners if events else ():
            try:
                listener(events)
            except Exception:
                _log.exception("a listener of the ledger failed at events %d to %d", events[0].seq, events[-1].seq)
        with self._lock:
            # Who waits on the home loop is answered there, after the states; nobody else depends on that loop's life.
            home = self._home
            at_home = [each for each in outcomes if isinstance(each[0], _Waiter) and each[0].loop is home]
            self._news.append((events, at_home))
            if not self._wake_home():
                self._advance()
        for reply, outcome in outcomes:
            if not (isinstance(reply, _Waiter) and reply.loop is home):
                _answer(reply, outcome)

    def _wake_home(self) -> bool:
        """Whether a home loop runs, and so will advance the states on its own thread."""
        if self._home is None or not self._home.is_running():
            return False
        try:
            self._home.call_soon_threadsafe(self._advance)
        except RuntimeError:  # closed since we looked
            return False
        return True

    def _advance(self) -> None:
        """Bring the states up to what is durable, and answer the coroutines that waited for it."""
        with self._lock:
            news = list(self._news)
            self._news.clear()
            for events, _ in news:
                for event in events:
                    fold = self._folds.get(event.run)
                    if fold is not None and event.seq > fold.last_seq:
                        fold.apply(event)
        for _, outcomes in news:
            for reply, outcome in outcomes:
                _answer(reply, outcome)

    def _settle_on(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if not self._at_home():
                self._home = loop

    def _at_home(self) -> bool:
        return self._home is not None and self._home.is_running()


@dataclass(frozen=True, eq=False)
class _Waiter:
    """A coroutine on `loop` that waits for its `record`."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Event]]

    def set_result(self, result: list[Event], /) -> None:
        self._wake(self.future.set_result, result)

    def set_exception(self, exception: BaseException, /) -> None:
        self._wake(self.future.set_exception, exception)

    def _wake(self, settle: Callable[..., None], outcome: object) -> None:
        def once() -> None:
            if not self.future.done():
                settle(outcome)

        if _running() is self.loop:
            once()
            return
        try:
            self.loop.call_soon_threadsafe(once)
        except RuntimeError:
            # Its loop is closed: nobody waits any more, and what was recorded is recorded.
            return


def _answer(reply: Reply, outcome: list[Event] | Exception) -> None:
    if isinstance(outcome, Exception):
        reply.set_exception(outcome)
    else:
        reply.set_result(outcome)


def _named(bodies: Mapping[str, str] | None) -> Mapping[str, str]:
    """The bodies, each under the digest that is truly its own."""
    for name, text in (bodies or {}).items():
        if chain.digest(text) != name:
            raise Permanent(f"a text was to be kept under {name!r}, which is not its digest")
    return dict(bodies or {})


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
