"""What every model client does, asked of a cassette, of the scripted fake, and of the wires in every format.

The wires talk to aimock, a server that nobody here wrote: `npm ci` in `tests/contracts/wire` installs it. Without node
or without that package those cases are skipped.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aimock import WAYS, base, named, wire
from aurea.domain.errors import AureaError, Blocked
from aurea.domain.messages import ModelReply, ToolCall, ToolMessage, ToolSpec, Usage, UserMessage
from aurea.ledger.book import Book
from aurea.models.cassette import Answer, RecordedCall, read_cassette, write_answer, write_header
from aurea.models.replay import ReplayClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import ScriptedModel, asking
from aurea.testing.store import MemoryEventStore

# aimock says of calls that they are the reason why a Gemini answer ended, which the real one does not.
pytestmark = pytest.mark.filterwarnings("ignore:FUNCTION_CALL is not a valid FinishReason")
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


class Asked:
    """A client and how it is asked; `format` is that of its server."""

    def __init__(self, client: Any, way: str = "") -> None:
        self.client = client
        self.format = base(way)

    async def __call__(self, conversation: str, **more: Any) -> ModelReply:
        named_model = named(self.format) if self.format else {}
        asked = asking(f"case {conversation}", conversation=conversation, tools=TOOLS, **named_model, **more)
        reply: ModelReply = await self.client.complete(asked)
        return reply

    async def close(self) -> None:
        await self.client.close()


@pytest.fixture(params=["replay", "scripted", *WAYS])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    """Each of the clients, with the same answers."""
    if request.param in WAYS:
        return Asked(wire(request.param, request.getfixturevalue("aimock")), request.param)
    if request.param == "scripted":
        model = ScriptedModel()
        for conversation, answers in ANSWERS.items():
            model.script(conversation, answers)
        return Asked(model)
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
    book = Book(MemoryEventStore(), SimulatedClock())
    book.append("run-1", [created()])
    request.addfinalizer(book.close)
    return Asked(ReplayClient(read_cassette(path), SimulatedClock(), "run-1", book, lambda address: None))


def shape(reply: ModelReply) -> tuple[str, list[tuple[str, Any]], str]:
    return (reply.text, [(call.name, call.arguments) for call in reply.calls], reply.finish)


@pytest.mark.parametrize("conversation", ANSWERS)
async def test_answers(client: Asked, conversation: str) -> None:
    if conversation == "malformed" and client.format in ("anthropic", "google", "ollama"):
        pytest.skip("the arguments of these formats are objects, and aimock sends an empty one")
    if conversation == "length" and client.format == "ollama":
        pytest.skip("aimock ends every answer of Ollama alike")
    reply = await client(conversation)

    assert shape(reply) == shape(ANSWERS[conversation][0])
    await client.close()


async def test_what_was_used_is_told(client: Asked) -> None:
    if client.format == "ollama":
        pytest.skip("aimock counts no tokens for Ollama; what is made of counts is in test_models_ollama.py")
    assert (await client("text")).usage == Usage(input_tokens=21, output_tokens=4)
    await client.close()


async def test_calls_have_ids_of_their_own(client: Asked) -> None:
    ids = [call.id for call in (await client("parallel")).calls]

    assert all(ids)
    assert len(set(ids)) == 3
    await client.close()


async def test_a_tool_is_called_and_its_result_is_answered(client: Asked) -> None:
    first = await client("tool")
    (wanted,) = first.calls
    told = (
        UserMessage(text="case tool"),
        first.message,
        ToolMessage(call=wanted.id, name=wanted.name, text="# Notes"),
    )
    second = await client("tool", step=2, messages=told)

    assert shape(second) == shape(ANSWERS["tool"][1])
    await client.close()


async def test_conversations_at_the_same_time_do_not_mix(client: Asked) -> None:
    names = [name for name in ANSWERS if name not in ("tool", "malformed", "length")]
    replies = await asyncio.gather(*(client(name) for name in names))

    assert [shape(reply) for reply in replies] == [shape(ANSWERS[name][0]) for name in names]
    await client.close()


async def test_a_cancelled_call_harms_no_other(client: Asked) -> None:
    task = asyncio.create_task(client("both"))
    await asyncio.sleep(0)
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    # A client that waits for nothing has answered by then; every other must let itself be cancelled.
    assert isinstance(ended, asyncio.CancelledError) or isinstance(client.client, ReplayClient)

    assert shape(await client("text")) == shape(ANSWERS["text"][0])
    await client.close()


async def test_a_question_without_an_answer_is_an_error_of_ours(client: Asked) -> None:
    with pytest.raises(AureaError) as caught:
        await client("nobody-knows")

    assert isinstance(caught.value, Blocked)
    await client.close()
