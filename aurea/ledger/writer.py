"""The one thread of a process that writes to the ledger: gathers what is waiting, checks it, commits, tells of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aurea.domain.errors import Permanent, Transient
from aurea.domain.events import Draft, Event, timestamp
from aurea.domain.state import RunState
from aurea.ledger import chain
from aurea.ledger.patience import Patience
from aurea.ports import Clock, EventStore, Row, StoreTransaction
from aurea.settings import LEDGER_WAIT_S

T = TypeVar("T")

_BATCH = 512


class Reply(Protocol):
    """Where the outcome of a job goes: a future."""

    def set_result(self, result: list[Event], /) -> None:
        """It is durable."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """It was refused, or could not be stored."""
        ...


@dataclass(eq=False)
class Job:
    """Drafts of one run that are to be recorded together or not at all."""

    run: str
    drafts: Sequence[Draft]
    bodies: Mapping[str, str]
    reply: Reply


@dataclass(eq=False)
class Errand:
    """Something else to do on the writer's thread, between two batches."""

    work: Callable[[], Any]
    done: Future[Any] = field(default_factory=Future)


Outcome = tuple[Reply, "list[Event] | Exception"]


@dataclass
class Batch:
    """What one transaction is going to hold, and what becomes of each job in it."""

    seq: int
    hash: str
    rows: list[Row] = field(default_factory=list)
    bodies: dict[str, str] = field(default_factory=dict)
    foreign: list[Event] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


Publish = Callable[[Sequence[Event], Sequence[Outcome]], None]


class Writer:
    """Owns the writing thread, and folds of its own that run ahead of the commit while a batch is being checked.

    `publish` is called on this thread after every commit, with the new events in order (those of other processes
    included) and the outcome of each job. The folds of a batch that could not be committed are dropped and read anew.

    A store that does not answer is tried again for `patience_s`, while everybody who records waits; what cannot be
    recorded by then is answered with `LedgerAway`. Where the connection broke before the end of a commit was seen, the
    ledger itself says whether it was done: nothing is recorded twice.
    """

    def __init__(self, store: EventStore, clock: Clock, publish: Publish, patience_s: float = LEDGER_WAIT_S) -> None:
        self._store = store
        self._clock = clock
        self._publish = publish
        self._hurry = threading.Event()
        self._patience = Patience(patience_s, self._hurry, loud=True)
        self._queue: queue.SimpleQueue[Job | Errand | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._folds: dict[str, RunState] = {}
        self._told: dict[str, int] = {}
        self._seen = (0, "")

    # --- from any thread -----------------------------------------------------------------------------------------

    @property
    def here(self) -> bool:
        """Whether the caller is on the writer's thread, that is, in a listener."""
        return threading.current_thread() is self._thread

    @property
    def away(self) -> bool:
        """Whether the store did not answer when it was last written to, so that work may have to wait long."""
        return self._patience.tried

    @property
    def given_up(self) -> bool:
        """Whether the store stayed away for longer than it is waited for."""
        return self._patience.given_up

    def submit(self, work: Job | Errand) -> None:
        """Queue work; its reply will be given. `Permanent` once the writer is closed."""
        with self._gate:
            if self._closed:
                raise Permanent("the ledger is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aurea-ledger", daemon=True)
                self._thread.start()
            self._queue.put(work)

    def do(self, work: Callable[[], T]) -> T:
        """Do `work` on the writer's thread, wait for it, and hand back what it returned or raised."""
        if self.here:
            return work()
        errand = Errand(work)
        self.submit(errand)
        result: T = errand.done.result()
        return result

    def close(self) -> None:
        """Write what is queued, then end the thread. Further work is refused, and a store that is away not waited for."""
        self._hurry.set()
        with self._gate:
            first, self._closed = not self._closed, True
            if first and self._thread is not None:
                self._queue.put(None)
        if self._thread is not None and not self.here:
            self._thread.join()

    # --- on the writer's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        work = self._queue.get()
        while work is not None:
            if isinstance(work, Errand):
                _finish(work)
                work = self._queue.get()
            else:
                jobs, work = self._gather(work)
                self._write(jobs)
                work = work or self._queue.get()

    def _gather(self, first: Job) -> tuple[list[Job], Job | Errand | None]:
        """The jobs that are waiting, and the work behind them if it had to be taken out to be seen."""
        jobs = [first]
        while len(jobs) < _BATCH:
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return jobs, None
            if not isinstance(work, Job):
                # The sentinel goes back: nothing can be queued behind it.
                if work is None:
                    self._queue.put(None)
                return jobs, work
            jobs.append(work)
        return jobs, None

    def _write(self, jobs: Sequence[Job]) -> None:
        """Group commit: one transaction for all jobs; a refused one leaves the others unharmed."""
        doubtful: Batch | None = None  # may be committed or not: the connection broke before that was seen
        while True:
            batch = Batch(0, "")
            try:
                with self._store.transaction() as transaction:
                    if doubtful is not None and _holds(transaction, doubtful):
                        batch = doubtful
                    else:
                        self._fill(batch, transaction, jobs)
                        doubtful = batch if batch.rows else None
            except Transient as fault:
                self._forget(jobs, batch)
                if self._patience.wait(fault):
                    continue
                self._tell((), (), [(job.reply, self._patience.lost(fault)) for job in jobs])
            except Exception as fault:
                self._forget(jobs, batch)
                self._tell((), (), [(job.reply, fault) for job in jobs])
            else:
                self._patience.rewarded()
                self._seen = (batch.seq, batch.hash)
                self._tell(batch.foreign, batch.events, batch.outcomes)
            return

    def _fill(self, batch: Batch, transaction: StoreTransaction, jobs: Sequence[Job]) -> None:
        """Take in what others wrote, then the jobs, and hand their rows to the transaction."""
        batch.seq, batch.hash = transaction.head()
        self._catch_up(transaction, batch)
        for job in jobs:
            self._admit(job, batch)
        if batch.rows or batch.bodies:
            transaction.insert(batch.rows, batch.bodies)

    def _forget(self, jobs: Sequence[Job], batch: Batch) -> None:
        """A batch failed: the folds that ran ahead of it go, what it learnt of other processes is told."""
        for job in jobs:
            self._folds.pop(job.run, None)
        if batch.foreign:
            self._tell(batch.foreign, (), ())
            batch.foreign = []

    def _admit(self, job: Job, batch: Batch) -> None:
        """Take a job into the batch, or refuse it as a whole."""
        rows: list[Row] = []
        events: list[Event] = []
        seq, tip = batch.seq, batch.hash
        try:
            fold = self._folds.get(job.run) or self._fold(job.run, batch.foreign)
            ts = timestamp(self._clock.now())
            for draft in job.drafts:
                fold.check(draft)
                row = chain.row_of(draft, run=job.run, seq=seq + 1, prev_hash=tip, ts=ts)
                # What is folded is what was written, not what it was written from.
                event = chain.event_of(row)
                fold.apply(event)
                rows.append(row)
                events.append(event)
                seq, tip = row.seq, row.hash
        except Transient:
            raise
        except Exception as fault:
            batch.outcomes.append((job.reply, fault))
            self._folds.pop(job.run, None)
            if any(event.run == job.run for event in batch.events):
                self._fold(job.run, batch.foreign, batch.events)
            return
        batch.seq, batch.hash = seq, tip
        batch.rows += rows
        batch.events += events
        batch.bodies.update(job.bodies)
        batch.outcomes.append((job.reply, events))

    def _fold(self, run: str, news: list[Event], ahead: Iterable[Event] = ()) -> RunState:
        """Read a run's fold from the store and put `ahead`, which is not committed yet, on top.

        What had not been told yet of a run that was open before is added to `news`.
        """
        fold = self._folds[run] = RunState(run)
        for row in self._store.rows(run):
            event = chain.event_of(row)
            fold.apply(event)
            if event.seq > self._told.get(run, event.seq):
                self._note(event, news)
        self._told.setdefault(run, fold.last_seq)
        for event in ahead:
            if event.run == run:
                fold.apply(event)
        return fold

    def _catch_up(self, transaction: StoreTransaction, batch: Batch) -> None:
        """Take in what other processes wrote to the runs that are open here."""
        seen = self._seen[0]
        if (batch.seq, batch.hash) == self._seen:
            return
        if batch.seq <= seen:
            raise Permanent(
                f"the ledger ends at row {batch.seq}, but row {seen} had been written: its end was cut or changed",
                remedy="`aurea verify` names the place; restore the ledger from a backup",
            )
        if not self._folds:
            return
        after = max(seen, min(fold.last_seq for fold in self._folds.values()))
        for row in transaction.rows_after(after, sorted(self._folds)):
            self._take(row, batch.foreign)

    def _take(self, row: Row, news: list[Event]) -> None:
        """Put a row of another process on its fold, unless it is there already."""
        fold = self._folds[row.run]
        if row.seq > fold.last_seq:
            event = chain.event_of(row)
            fold.apply(event)
            self._note(event, news)

    def _note(self, event: Event, news: list[Event]) -> None:
        self._told[event.run] = event.seq
        news.append(event)

    def _tell(self, foreign: Sequence[Event], own: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for event in own:
            self._told[event.run] = event.seq
        self._publish([*sorted(foreign, key=lambda event: event.seq), *own], outcomes)

    # --- errands: called through `do` ----------------------------------------------------------------------------

    def open(self, run: str) -> RunState:
        """A fold of a run for others to read, complete up to here; what follows is told. `Permanent`: no such run."""
        events = [chain.event_of(row) for row in self._store.rows(run)]
        if not events:
            raise Permanent(f"there is no run {run!r} in the ledger", remedy="`aurea list` shows the runs there are")
        mine, theirs = RunState(run), RunState(run)
        told = self._told.get(run, events[-1].seq)
        for event in events:
            mine.apply(event)
            theirs.apply(event)
        self._folds[run] = mine
        self._told[run] = events[-1].seq
        self._tell([event for event in events if event.seq > told], (), ())
        return theirs

    def refresh(self, run: str) -> None:
        """Take in and tell what other processes have recorded of a run since."""
        news: list[Event] = []
        fold = self._folds.get(run)
        try:
            if fold is None:
                self._fold(run, news)
            else:
                for row in self._store.rows(run, after=fold.last_seq):
                    self._take(row, news)
        except Transient:
            self._folds.pop(run, None)
            raise
        finally:
            if news:
                self._tell(news, (), ())


def _holds(transaction: StoreTransaction, batch: Batch) -> bool:
    """Whether the rows of a batch, which are stored together or not at all, are in the ledger."""
    last = batch.rows[-1]
    return any(row.hash == last.hash for row in transaction.rows_after(last.seq - 1, [last.run]))


def _finish(errand: Errand) -> None:
    try:
        errand.done.set_result(errand.work())
    except Exception as fault:
        errand.done.set_exception(fault)
