"""A model that speaks slowly is heard while it speaks: events, `tail --item` and `show --item`, before it has answered."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from streams import streamed
from waiting import until

WORDS = "one two three four five "
RUN = "speaks-1"


class Speaker:
    """Streams words until `enough` is set, then calls the tools of a step; `bodies` is what it was asked."""

    def __init__(self) -> None:
        self.enough = threading.Event()
        self.bodies: list[dict[str, Any]] = []
        self.url = ""

    def answer(self, body: dict[str, Any]) -> Iterator[str]:
        self.bodies.append(body)
        begun = any(message["role"] == "tool" for message in body["messages"])
        name, arguments = ("submit_report", {"summary": "done", "approach": "slowly"})
        if not begun:
            name, arguments = "write_file", {"path": "a.txt", "content": "a\n"}
            while not self.enough.is_set():
                for word in WORDS.split(" ")[:-1]:
                    yield self.event({"content": f"{word} "})
                time.sleep(0.1)
        call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
        usage = {"prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90}
        yield streamed("chat", {"id": "x", "created": 1, "model": "local", "choices": [choice], "usage": usage})

    def event(self, delta: dict[str, Any]) -> str:
        chunk = {"id": "x", "created": 1, "model": "local", "choices": [{"index": 0, "delta": delta}]}
        return f"data: {json.dumps(chunk)}\n\n"


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    spoken = Speaker()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for piece in spoken.answer(body):
                self.wfile.write(piece.encode())
                self.wfile.flush()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    spoken.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield spoken
    spoken.enough.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_who_watches_reads_what_an_agent_says_before_it_has_said_all(
    aurea: Any, speaker: Speaker, repo: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({
        "project": "calc", "objective": "more", "provider": "openai", "model": "local", "repo": str(repo), "stream": True,
        "checks": [{"name": "tests", "run": ["sh", "check.sh"]}], "reviewers": [], "budget_usd": "none",
        "items": [{"id": "a", "goal": "write a.txt", "criteria": ["it is there"]}],
    }))  # fmt: skip
    run = aurea.start("run", str(spec), "--run-id", RUN, "--json", OPENAI_API_KEY="k", OPENAI_BASE_URL=speaker.url)

    def events() -> list[dict[str, Any]]:
        told = aurea("tail", RUN, "--item", "a", "--json")
        return [json.loads(line) for line in told.stdout.splitlines()] if told.returncode == 0 else []

    live = Path(aurea.env["AUREA_HOME"]) / "runs" / RUN / "events.jsonl"
    until(lambda: live.exists() and '"model.said"' in live.read_text(), 90)
    assert [event["type"] for event in events() if event["type"].startswith("model.")][:2] == [
        "model.asked",
        "model.said",
    ]
    assert not any(event["type"] == "model.answered" for event in events())
    assert WORDS.strip() in aurea("tail", RUN, "--item", "a").stdout
    shown = aurea("show", RUN, "--item", "a").stdout
    assert "step 1 is being answered" in shown
    assert WORDS.strip() in shown

    speaker.enough.set()
    out, _ = run.communicate(timeout=90)
    document = json.loads(out)
    assert document["state"] == "succeeded"
    kinds = [event["type"] for event in events()]
    assert kinds.index("model.said") < kinds.index("model.answered")
    assert "is being answered" not in aurea("show", RUN, "--item", "a").stdout
    assert document["items"][0]["attempts"][0]["cost"]["output_tokens"] == 80
    assert all(body["stream"] is True and body["stream_options"] == {"include_usage": True} for body in speaker.bodies)
    assert len(speaker.bodies) == 2
