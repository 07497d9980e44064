"""OpenTelemetry: a run's events as spans of one trace, at their true times, each sent once whoever goes on with the run."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from aurea.adapters.telemetry.follower import Telemetry
from aurea.adapters.telemetry.switch import is_on, obstacle, telemetry
from aurea.domain import events as ev
from aurea.domain.errors import Transient
from aurea.domain.messages import Usage
from aurea.ledger.book import Book
from aurea.ledger.chain import digest
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import call
from aurea.testing.store import MemoryEventStore

RUN, ITEM = "run-1", "storage"
REPLY = call("write_file", path="notes.py", content="the secret plan").model_dump_json()
RESULT = "wrote notes.py, the secret result"


class Home:
    """A run whose events are recorded one second apart."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.store = MemoryEventStore()
        self.book = Book(self.store, self.clock)
        self.add(created(), planned())
        self.add(started())

    def add(self, *drafts: ev.Draft, bodies: dict[str, str] | None = None) -> datetime:
        self.clock.advance(1.0)
        return self.book.append(RUN, list(drafts), bodies)[-1].ts

    def agent(self, fact: Any, bodies: dict[str, str] | None = None) -> datetime:
        return self.add(ev.Draft(fact=fact, actor="agent", item=ITEM, attempt=1), bodies=bodies)

    def ask(
        self, step: int = 1, *, model: str = "gpt-5", provider: str = "openai", conversation: str = "coder"
    ) -> datetime:
        return self.agent(
            ev.ModelAsked(
                conversation=conversation, role="coder", step=step, provider=provider, model=model, fingerprint="f"
            )
        )  # fmt: skip

    def answer(self, step: int = 1, *, model: str = "gpt-5-2026", conversation: str = "coder") -> datetime:
        fact = ev.ModelAnswered(
            conversation=conversation, role="coder", step=step, provider="openai", model=model, body=digest(REPLY),
            usage=Usage(input_tokens=70, output_tokens=5, cached_tokens=40), usd=0.25, priced=True, seconds=1.0,
            finish="tool_calls", tools=("write_file",),
        )  # fmt: skip
        return self.agent(fact, {fact.body: REPLY})

    def tool(self, outcome: str = "ok", step: int = 1) -> tuple[datetime, datetime]:
        began = ev.ToolStarted(conversation="coder", step=step, call="c1", tool="write_file", arguments=digest(REPLY))
        ended = ev.ToolEnded.model_validate(
            {"conversation": "coder", "step": step, "call": "c1", "tool": "write_file", "outcome": outcome,
             "body": digest(RESULT)}
        )  # fmt: skip
        return self.agent(began, {began.arguments: REPLY}), self.agent(ended, {ended.body: RESULT})

    def fail(self, kind: str = "overloaded", *, retryable: bool = True) -> datetime:
        return self.agent(
            ev.ModelFailed(conversation="coder", step=1, attempt=1, kind=kind, message="busy", retryable=retryable)
        )

    def over(self, outcome: str = "submitted") -> datetime:
        fact = ev.AttemptEnded.model_validate({"outcome": outcome})
        return self.add(ev.Draft(fact=fact, item=ITEM, attempt=1))

    def end(self, state: str = "succeeded") -> datetime:
        return self.add(ev.Draft(fact=ev.RunEnded.model_validate({"state": state})))

    async def watched(self, do: Callable[[], None], *, content: bool = False) -> list[ReadableSpan]:
        """The spans of what `do` records, as one process sends them."""
        kept = InMemorySpanExporter()
        sent = Telemetry(RUN, kept, content=content)
        sent.follow(self.book)
        await asyncio.to_thread(do)
        await sent.close()
        return list(kept.get_finished_spans())


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.book.close()


def named(spans: Sequence[ReadableSpan]) -> dict[str, ReadableSpan]:
    found = {span.name: span for span in spans}
    assert len(found) == len(spans)
    return found


def at(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000


async def test_a_run_is_one_trace_of_agents_with_their_calls_and_tools(home: Home) -> None:
    times: dict[str, Any] = {}

    def do() -> None:
        times["asked"], times["answered"] = home.ask(), home.answer()
        times["tool"] = home.tool()
        times["over"], times["end"] = home.over(), home.end()

    spans = named(await home.watched(do))
    assert list(spans) == ["chat gpt-5", "execute_tool write_file", "invoke_agent coder", "invoke_workflow notes"]
    chat, tool, agent, run = spans.values()
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert run.parent is None
    assert agent.parent.span_id == run.context.span_id
    assert chat.parent.span_id == tool.parent.span_id == agent.context.span_id
    assert (chat.start_time, chat.end_time) == (at(times["asked"]), at(times["answered"]))
    assert (tool.start_time, tool.end_time) == tuple(map(at, times["tool"]))
    assert (agent.start_time, agent.end_time) == (at(times["asked"]), at(times["over"]))
    first = next(home.book.events(RUN))
    assert (run.start_time, run.end_time) == (at(first.ts), at(times["end"]))
    assert (chat.kind, agent.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    assert dict(chat.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "run-1/storage/1/coder",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "gpt-5-2026",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 70,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "aurea.run": RUN,
        "aurea.item": ITEM,
        "aurea.attempt": 1,
        "aurea.conversation": "coder",
        "aurea.step": 1,
        "aurea.cost.usd": 0.25,
        "aurea.cached": False,
    }
    assert tool.attributes["gen_ai.tool.name"] == "write_file"
    assert agent.attributes["gen_ai.agent.name"] == "coder"
    assert run.resource.attributes["service.name"] == "aurea"
    assert not any(span.status.status_code is StatusCode.ERROR for span in spans.values())
    assert "secret" not in "".join(span.to_json() for span in spans.values())


async def test_what_fails_says_so_and_a_model_that_takes_over_has_a_span_of_its_own(home: Home) -> None:
    def do() -> None:
        home.ask()
        home.fail()
        home.ask(model="claude", provider="google")
        home.answer(model="claude")
        home.tool("refused")
        home.over("exhausted")
        home.end("failed")

    spans = named(await home.watched(do))
    failed, fallen, tool = spans["chat gpt-5"], spans["chat claude"], spans["execute_tool write_file"]
    assert failed.attributes["error.type"] == "overloaded"
    assert [event.attributes["error.type"] for event in failed.events] == ["overloaded"]
    assert fallen.status.status_code is not StatusCode.ERROR
    assert fallen.attributes["gen_ai.provider.name"] == "gcp.gemini"
    assert failed.context.span_id != fallen.context.span_id
    assert tool.attributes["error.type"] == "refused"
    assert spans["invoke_agent coder"].attributes["error.type"] == "exhausted"
    assert spans["invoke_workflow notes"].attributes["error.type"] == "failed"


async def test_a_resumed_run_goes_on_in_its_trace_and_sends_nothing_twice(home: Home) -> None:
    before = await home.watched(lambda: (home.ask(), home.answer(), home.ask(2)))  # type: ignore[arg-type]
    asked = [event.ts for event in home.book.events(RUN) if event.type == "model.asked"]
    tools: list[Any] = []

    def goes_on() -> None:
        home.add(ev.Draft(fact=ev.RunResumed()))
        home.ask(2)  # it was cut off, so it is asked again
        home.answer(2)
        tools.append(home.tool(step=2))
        home.over()
        home.end()

    after = await home.watched(goes_on)
    assert [span.name for span in before] == ["chat gpt-5"]
    assert [span.name for span in after] == [
        "chat gpt-5", "chat gpt-5", "execute_tool write_file", "invoke_agent coder", "invoke_workflow notes",
    ]  # fmt: skip
    assert after[0].attributes["error.type"] == "interrupted"
    assert len({span.context.span_id for span in (*before, *after)}) == 6
    assert {span.context.trace_id for span in after} == {before[0].context.trace_id}
    agent = after[3]
    assert before[0].parent.span_id == agent.context.span_id
    assert agent.start_time == at(asked[0]), "it began in the process before"
    assert await home.watched(lambda: None) == []


async def test_a_run_that_waits_is_not_over(home: Home) -> None:
    assert [s.name for s in await home.watched(lambda: (home.ask(), home.answer(), home.end("waiting")))] == [  # type: ignore[arg-type]
        "chat gpt-5"
    ]
    spans = await home.watched(lambda: (home.add(ev.Draft(fact=ev.RunResumed())), home.end("cancelled")))  # type: ignore[arg-type]
    assert [span.name for span in spans] == ["invoke_agent coder", "invoke_workflow notes"]
    assert [span.attributes["error.type"] for span in spans] == ["cancelled", "cancelled"]


async def test_texts_are_sent_where_the_caller_says_so_and_no_longer_than_needed(home: Home) -> None:
    long = RESULT + "x" * 9_000

    def do() -> None:
        home.ask()
        home.answer()
        home.tool()
        ended = ev.ToolEnded(conversation="coder", step=1, call="c2", tool="read_file", outcome="ok", body=digest(long))
        home.agent(ended, {ended.body: long})

    spans = named(await home.watched(do, content=True))
    said = json.loads(str(spans["chat gpt-5"].attributes["gen_ai.output.messages"]))
    assert said[0]["parts"][0]["name"] == "write_file"
    assert "the secret plan" in said[0]["parts"][0]["arguments"]
    assert spans["execute_tool write_file"].attributes["gen_ai.tool.call.result"] == RESULT
    assert len(str(spans["execute_tool read_file"].attributes["gen_ai.tool.call.result"])) == 4_001


class Stuck(SpanExporter):
    """A collector that takes what it is sent and never answers."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.end.wait(60)
        return SpanExportResult.FAILURE


async def test_a_collector_that_hangs_holds_up_no_end(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    stuck = Stuck()
    sent = Telemetry(RUN, stuck)
    sent.follow(home.book)
    await asyncio.to_thread(lambda: (home.ask(), home.answer(), home.end()))
    await asyncio.wait_for(sent.close(), 30)
    stuck.end.set()
    assert "the last spans could not be sent" in caplog.text


class Away(SpanExporter):
    """A collector that is not there."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise ConnectionError("nobody")


async def test_a_collector_that_is_away_is_told_of_once(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    sent = Telemetry(RUN, Away())
    sent.follow(home.book)
    await asyncio.to_thread(lambda: (home.ask(), home.answer(), home.end()))
    await sent.close()
    assert [record.getMessage() for record in caplog.records] == [
        "telemetry: 3 spans could not be sent to the exporter"
    ]


async def test_nothing_is_gathered_when_the_ledger_cannot_be_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise Transient("the database is away")

    monkeypatch.setattr(home.book, "events", away)
    sent = Telemetry(RUN, InMemorySpanExporter())
    sent.follow(home.book)
    assert sent._thread is not None
    await asyncio.to_thread(sent._thread.join, 30)
    await asyncio.to_thread(home.ask)
    assert sent._arrived.empty()
    await sent.close()


async def test_the_tracing_of_the_process_is_left_alone(home: Home) -> None:
    before = trace.get_tracer_provider()
    await home.watched(lambda: (home.ask(), home.answer()))  # type: ignore[arg-type]
    assert trace.get_tracer_provider() is before


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_it_is_on_where_an_exporter_is_configured(environ: dict[str, str], on: bool) -> None:
    assert is_on(environ) is on
    assert (telemetry(environ, RUN) is not None) is on


def test_what_stands_in_the_way_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert obstacle(ENDPOINT) is None
    assert "OTEL_TRACES_EXPORTER=zipkin" in str(obstacle({"OTEL_TRACES_EXPORTER": "zipkin"}))
    assert "grpc" in str(obstacle({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}))
    monkeypatch.setattr("aurea.adapters.telemetry.switch.find_spec", lambda name: None)
    assert telemetry(ENDPOINT, RUN) is None
    assert "pip install 'aurea[otel]'" in caplog.text


def test_nothing_of_it_is_loaded_where_it_is_off(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from aurea.adapters.telemetry.switch import telemetry; assert telemetry({}, 'r') is None; "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
