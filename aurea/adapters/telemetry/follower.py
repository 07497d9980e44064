"""Sends the spans of a run while it goes on: on a thread of its own, at nobody's cost but its own."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from aurea import __version__
from aurea.adapters.telemetry.spans import Span, Spans
from aurea.domain.errors import AureaError
from aurea.domain.events import Event
from aurea.ports import Ledger

PATIENCE_S = 2.0  # that the end of a run waits for its last spans
_KINDS = {"client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_LOUD = ("opentelemetry.", "urllib3.", "requests.")

_log = logging.getLogger(__name__)


class Telemetry:
    """Follows one run's events and sends its spans through `exporter`. Belongs to the process that works on the run.

    What was recorded before is taken in and not sent: the process before did that. Ids follow from the run and the place
    of a span in it, so the spans of several processes make one trace. `service` is the name of it all, empty where
    OpenTelemetry's variables give one.
    """

    def __init__(self, run: str, exporter: SpanExporter, *, content: bool = False, service: str = "aurea") -> None:
        self._run = run
        self._content = content
        self._service = service
        self._exporter = _Counting(exporter)
        self._arrived: queue.SimpleQueue[Sequence[Event] | None] = queue.SimpleQueue()
        self._sent_to = 0  # up to which event the process before had the spans to send
        self._seen = 0
        self._unsubscribe: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None

    def follow(self, ledger: Ledger) -> None:
        """Begin, behind what is recorded now."""
        self._sent_to = ledger.state(self._run).last_seq
        self._unsubscribe = ledger.subscribe(self._arrived.put)
        self._thread = threading.Thread(target=self._work, args=(ledger,), name="telemetry", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Send what is left, for two seconds at most."""
        self._unsubscribe()
        if self._thread is None:
            return
        self._arrived.put(None)
        await asyncio.to_thread(self._thread.join, PATIENCE_S)
        late = self._thread.is_alive()
        if late or self._exporter.lost:
            _log.warning("telemetry: %s", self._exporter.told(late=late))

    def _work(self, ledger: Ledger) -> None:
        self._exporter.quiet.here()
        try:
            spans = Spans(self._run, ledger.body if self._content else None)
            sender = _Sender(self._run, self._exporter, self._service)
            self._take(spans, sender, ledger.events(self._run))
            while (arrived := self._arrived.get()) is not None:
                self._take(spans, sender, arrived)
            self._take(spans, sender, ledger.events(self._run, after=self._seen))
            sender.close()
        except AureaError as fault:  # the ledger is away: then there are worse things to tell
            _log.debug("no more telemetry: %s", fault)
        finally:  # nobody takes what still arrives
            self._unsubscribe()

    def _take(self, spans: Spans, sender: _Sender, events: Any) -> None:
        for event in events:
            if event.run != self._run or event.seq <= self._seen:
                continue
            self._seen = event.seq
            for span in spans.take(event):
                if event.seq > self._sent_to:
                    sender.send(span)


class _Sender:
    """A tracer provider of our own, which is never made the process's, so nothing else in it sends its spans here."""

    def __init__(self, run: str, exporter: SpanExporter, service: str) -> None:
        self._run = run
        about = {SERVICE_VERSION: __version__, **({SERVICE_NAME: service} if service else {})}
        self._ids = _Ids(_number(16, "trace", run))
        self._provider = TracerProvider(resource=Resource.create(about), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("aurea", __version__)
        sampler = self._provider.sampler
        self._sampled = sampler.should_sample(None, self._ids.trace, "run").decision is not Decision.DROP

    def send(self, span: Span) -> None:
        """Hand a span to the exporter's queue."""
        if not self._sampled:
            return
        self._ids.next = _number(8, self._run, span.key)
        made = self._tracer.start_span(
            span.name,
            context=self._context(span.parent),
            kind=_KINDS[span.kind],
            attributes=span.attributes | ({"error.type": span.error} if span.error else {}),
            start_time=_nanoseconds(span.began),
        )
        for moment, attributes in span.tries:
            made.add_event("aurea.try_failed", attributes, _nanoseconds(moment))
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(_nanoseconds(max(span.began, span.ended)))

    def close(self) -> None:
        """Send what is queued, and let go."""
        self._provider.shutdown()

    def _context(self, parent: str | None) -> Any:
        if parent is None:
            return None
        place = SpanContext(self._ids.trace, _number(8, self._run, parent), True, TraceFlags(TraceFlags.SAMPLED))
        return set_span_in_context(NonRecordingSpan(place))


class _Ids(IdGenerator):
    """Gives ids that follow from what they are of."""

    def __init__(self, trace: int) -> None:
        self.trace = trace
        self.next = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.next


class _Counting(SpanExporter):
    """Counts the spans that did not arrive."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.lost = 0
        self.quiet = _quiet()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.quiet.here()
        try:
            result = self._inner.export(spans)
        except Exception:
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def told(self, *, late: bool) -> str:
        """What is missing, in words."""
        where = getattr(self._inner, "_endpoint", "the exporter")
        some = f"{self.lost} spans" if self.lost else "the last spans"
        return f"{some} could not be sent to {where}" + (f" within {PATIENCE_S:g} s" if late and not self.lost else "")


class _Quiet(logging.Filter):
    """Keeps OpenTelemetry's own words about our exporter off the screen: we say once what did not arrive."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: set[int] = set()
        for name in list(logging.root.manager.loggerDict):  # filters are not inherited
            if name.startswith(_LOUD):
                logging.getLogger(name).addFilter(self)

    def here(self) -> None:
        """From now on they are not heard from this thread."""
        self._threads.add(threading.get_ident())

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread not in self._threads


@cache
def _quiet() -> _Quiet:
    return _Quiet()


def otlp() -> SpanExporter:
    """The exporter over HTTP, as OpenTelemetry's variables describe it."""
    return OTLPSpanExporter()


def _number(size: int, *of: str) -> int:
    """An id that is the same for the same words, and never 0."""
    return int.from_bytes(hashlib.sha256("\0".join(of).encode()).digest()[:size], "big") or 1


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
