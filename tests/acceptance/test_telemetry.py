"""A run's spans as a collector receives them from the real command, through a kill and a resume."""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from waiting import until

proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

SPEC = {
    "project": "calc", "objective": "Subtraction.", "provider": "openai", "model": "local", "repo": ".",
    "checks": [{"name": "tests", "run": ["sh", "check.sh"]}], "reviewers": [{}],
    "items": [{"id": "minus", "goal": "Write minus.py.", "criteria": ["it is there"]}],
}  # fmt: skip
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {"path": "calc.py"}),
    ("write_file", {"path": "minus.py", "content": "SECRET = 'of the code'\n"}),
    ("submit_report", {"summary": "done", "approach": "plainly"}),
]
REVIEW = {"decision": "approve", "criteria": [], "findings": [], "summary": "good"}


def script(asked: Any) -> list[tuple[str, dict[str, Any]]]:
    return [("submit_review", REVIEW)] if asked.conversation.startswith("reviewer") else [STEPS[asked.step - 1]]


class Collector:
    """Takes OTLP over HTTP and keeps every span as (resource, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[dict[str, Any], Any]] = []
        self.raw = b""
        self.url = ""

    def take(self, data: bytes) -> None:
        self.raw += data
        request = proto.ExportTraceServiceRequest.FromString(data)
        for one in request.resource_spans:
            about = {pair.key: pair.value.string_value for pair in one.resource.attributes}
            self.spans += [(about, span) for scope in one.scope_spans for span in scope.spans]

    def named(self, name: str) -> list[Any]:
        return [span for _, span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            kept.take(gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind)
    return found


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_run_that_is_killed_and_goes_on_is_one_trace_without_a_text_in_it(
    aurea: Any, models: Any, repo: Path, collector: Collector, git: Callable[..., str]
) -> None:
    models.script = script
    models.delay = 0.3
    (repo / "spec.json").write_text(json.dumps(SPEC))
    env = {
        "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }  # fmt: skip
    going = aurea.start("run", "spec.json", "--run-id", "traced", cwd=repo, **env)
    until(lambda: collector.named("execute_tool read_file"))
    os.killpg(going.pid, signal.SIGKILL)
    going.communicate()
    done = aurea("resume", "traced", cwd=repo, timeout=200, **env)
    assert done.returncode == 0, done.stderr
    assert "telemetry" not in done.stderr

    spans = {span.span_id: span for _, span in collector.spans}
    assert len(spans) == len(collector.spans), "nothing is sent twice"
    assert len({span.trace_id for span in spans.values()}) == 1, "and nothing of Prefect's is in it"
    (run,) = collector.named("invoke_workflow calc")
    (coder,) = collector.named("invoke_agent coder")
    (reviewer,) = collector.named("invoke_agent reviewer")
    assert {span.span_id for span in spans.values() if not span.parent_span_id} == {run.span_id}
    assert coder.parent_span_id == reviewer.parent_span_id == run.span_id
    inside = [span for span in spans.values() if span.parent_span_id == coder.span_id]
    answered = [span for span in inside if span.name == "chat local" and span.status.code != 2]
    assert [attributes(span)["aurea.step"] for span in sorted(answered, key=lambda s: s.start_time_unix_nano)] == [
        1,
        2,
        3,
    ]
    assert {span.name for span in inside} == {
        "chat local", "execute_tool read_file", "execute_tool write_file", "execute_tool submit_report",
    }  # fmt: skip
    assert all(coder.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano for span in inside)
    assert run.start_time_unix_nano < coder.start_time_unix_nano < coder.end_time_unix_nano <= run.end_time_unix_nano
    assert attributes(answered[0])["gen_ai.usage.input_tokens"] == 100
    about = collector.spans[0][0]
    assert (about["service.name"], about["deployment.environment.name"]) == ("aurea", "test")
    assert b"of the code" not in collector.raw
    assert b"Write minus.py" not in collector.raw
