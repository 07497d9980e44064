"""What every model client does, asked of a cassette, of the scripted fake, and of the OpenAI wire.

The wire talks to aimock, a server that nobody here wrote: `npm ci` in `tests/contracts/wire` installs it. Without node
or without that package those cases are skipped.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from aurea.domain.errors import AureaError, Blocked, Transient
from aurea.domain.messages import AssistantMessage, ModelReply, ToolCall, ToolMessage, ToolSpec, Usage, UserMessage
from aurea.ledger.book import Book
from aurea.models.cassette import Answer, RecordedCall, read_cassette, write_answer, write_header
from aurea.models.faults import ModelFault
from aurea.models.providers import endpoint
from aurea.models.replay import ReplayClient
from aurea.models.retry import RetryClient
from aurea.models.waiting import Waiting
from aurea.models.wires.openai import OpenAIWire
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import ScriptedModel, asking
from aurea.testing.store import MemoryEventStore

WIRE = Path(__file__).parent / "wire"
TOOLS = (
    ToolSpec(
        name="read_file",
        description="Read a file.",
        parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    ),
    ToolSpec(name="git_status", description="What changed.", parameters={"type": "object", "properties": {}}),
)


def replied(text: str = "", *calls: tuple[str, Any], finish: Any = None, usage: Usage | None = None) -> ModelReply:
    asked = tuple(ToolCall(id="", name=name, arguments=arguments) for name, arguments in calls)
    ends = finish or ("tool_calls" if asked else "stop")
    return ModelReply(text=text, calls=asked, finish=ends, usage=usage or Usage())


# What is answered in each conversation, step by step. aimock's own copy is wire/fixtures/chat.json.
ANSWERS: dict[str, tuple[ModelReply, ...]] = {
    "text": (replied("Four notes.", usage=Usage(input_tokens=21, output_tokens=4)),),
    "tool": (replied("", ("read_file", {"path": "README.md"})), replied("It says: # Notes")),
    "parallel": (replied("", ("read_file", {"path": "a"}), ("read_file", {"path": "b"}), ("git_status", {})),),
    "both": (replied("Reading.", ("read_file", {"path": "a"})),),
    "malformed": (replied("", ("read_file", '{"path": "a')),),
    "length": (replied("Once upon a", finish="length"),),
    "empty": (replied(""),),
}


class Client(Protocol):
    async def complete(self, request: Any) -> ModelReply: ...

    async def close(self) -> None: ...


@pytest.fixture(scope="module")
def aimock() -> Iterator[str]:
    """The address of a running aimock."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the OpenAI wire was not held against aimock")
    program = WIRE / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    if not program.exists():
        pytest.skip("aimock is not installed: run `npm ci` in tests/contracts/wire")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [node, str(program), "-p", port, "-f", str(WIRE / "fixtures"), "--log-level", "warn"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _until_it_listens(server, int(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=10)


def _until_it_listens(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(f"aimock ended at once: {server.communicate()[0].decode()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("aimock does not listen")


def wire(address: str) -> OpenAIWire:
    return OpenAIWire(endpoint("openai", {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": "sk-test"}))


@pytest.fixture(params=["replay", "scripted", "openai"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """Each of the clients, with the same answers."""
    if request.param == "openai":
        return wire(request.getfixturevalue("aimock"))
    if request.param == "scripted":
        model = ScriptedModel()
        for conversation, answers in ANSWERS.items():
            model.script(conversation, answers)
        return model
    path = tmp_path / "cassette.yaml"
    text = write_header("run-1")
    for conversation, answers in ANSWERS.items():
        for step, answer in enumerate(answers, 1):
            calls = tuple(RecordedCall(name=call.name, arguments=call.arguments) for call in answer.calls)
            text += write_answer(
                Answer(
                    role="coder", conversation=conversation, step=step, text=answer.text, calls=calls,
                    finish=answer.finish, usage=answer.usage,
                )
            )  # fmt: skip
    path.write_text(text)
    return ReplayClient(read_cassette(path), SimulatedClock())


def ask(conversation: str, **more: Any) -> Any:
    return asking(f"case {conversation}", conversation=conversation, tools=TOOLS, **more)


def shape(reply: ModelReply) -> tuple[str, list[tuple[str, Any]], str]:
    return (reply.text, [(call.name, call.arguments) for call in reply.calls], reply.finish)


@pytest.mark.parametrize("conversation", ANSWERS)
async def test_answers(client: Client, conversation: str) -> None:
    reply = await client.complete(ask(conversation))

    assert shape(reply) == shape(ANSWERS[conversation][0])
    await client.close()


async def test_what_was_used_is_told(client: Client) -> None:
    assert (await client.complete(ask("text"))).usage == Usage(input_tokens=21, output_tokens=4)
    await client.close()


async def test_calls_have_ids_of_their_own(client: Client) -> None:
    ids = [call.id for call in (await client.complete(ask("parallel"))).calls]

    assert all(ids)
    assert len(set(ids)) == 3
    await client.close()


async def test_a_tool_is_called_and_its_result_is_answered(client: Client) -> None:
    first = await client.complete(ask("tool"))
    (wanted,) = first.calls
    told = (
        UserMessage(text="case tool"),
        AssistantMessage(text=first.text, calls=first.calls),
        ToolMessage(call=wanted.id, name=wanted.name, text="# Notes"),
    )
    second = await client.complete(ask("tool", step=2, messages=told))

    assert shape(second) == shape(ANSWERS["tool"][1])
    await client.close()


async def test_conversations_at_the_same_time_do_not_mix(client: Client) -> None:
    names = [name for name in ANSWERS if name != "tool"]
    replies = await asyncio.gather(*(client.complete(ask(name)) for name in names))

    assert [shape(reply) for reply in replies] == [shape(ANSWERS[name][0]) for name in names]
    await client.close()


async def test_a_cancelled_call_harms_no_other(client: Client) -> None:
    task = asyncio.create_task(client.complete(ask("both")))
    await asyncio.sleep(0)
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    # A client that waits for nothing has answered by then; every other must let itself be cancelled.
    assert isinstance(ended, asyncio.CancelledError) or isinstance(client, ReplayClient)

    assert shape(await client.complete(ask("text"))) == shape(ANSWERS["text"][0])
    await client.close()


async def test_a_question_without_an_answer_is_an_error_of_ours(client: Client) -> None:
    with pytest.raises(AureaError) as caught:
        await client.complete(ask("nobody-knows"))

    assert isinstance(caught.value, Blocked)
    await client.close()


# --- what only a server can do ----------------------------------------------------------------------------------


class Retried:
    """The wire with tries, and what it waited for."""

    def __init__(self, address: str) -> None:
        self.clock = SimulatedClock()
        self.book = Book(MemoryEventStore(), self.clock)
        self.book.append("run-1", [created()])
        self.wire = wire(address)
        self.client = RetryClient(
            self.wire, ledger=self.book, run="run-1", clock=self.clock, waiting=Waiting(), dice=random.Random(1)
        )

    async def close(self) -> None:
        await self.wire.close()
        self.book.close()


async def test_the_wait_that_a_server_asks_for_is_obeyed(aimock: str) -> None:
    retried = Retried(aimock)

    assert (await retried.client.complete(asking("fault rate"))).text == "now"
    assert len(retried.clock.slept) == 1
    assert 7.0 <= retried.clock.slept[0] <= 7.7
    await retried.close()


async def test_a_busy_server_is_tried_three_times_and_sees_each_of_them(aimock: str) -> None:
    retried = Retried(aimock)

    assert (await retried.client.complete(asking("fault busy", step=5))).text == "now"
    seen = [entry for entry in journal(aimock) if "fault busy" in json.dumps(entry["body"])]
    assert [entry["headers"]["x-aurea-try"] for entry in seen] == ["1", "2", "3"]
    assert {entry["headers"]["x-aurea-step"] for entry in seen} == {"5"}
    assert {entry["headers"]["x-stainless-retry-count"] for entry in seen} == {"0"}
    await retried.close()


def journal(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{address}/__aimock/journal") as answer:
        entries: list[dict[str, Any]] = json.load(answer)
    return entries


@pytest.mark.parametrize(
    ("text", "kind", "retryable"),
    [
        ("fault context", "context_too_long", False),
        ("fault key", "authentication", False),
        ("fault quota", "quota", False),
        ("fault model", "not_found", False),
        ("fault garbage", "malformed", True),
        ("fault hangup", "connection", True),
        ("fault slow", "timeout", True),
    ],
)
async def test_faults(aimock: str, text: str, kind: str, retryable: bool) -> None:
    client = wire(aimock)
    with pytest.raises(ModelFault) as caught:
        await client.complete(asking(text, timeout_s=0.4))

    assert caught.value.kind == kind
    assert isinstance(caught.value, Transient) == retryable
    assert "sk-test" not in str(caught.value)
    await client.close()
