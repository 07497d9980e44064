"""The provider `mlx` against the real `mlx_lm.server`, with a model that we train ourselves: see `tiny_model.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aurea.adapters.clock import SystemClock
from aurea.adapters.sql import SqlEventStore
from aurea.agents.engine import LoopEngine
from aurea.domain.errors import AureaError
from aurea.domain.messages import ModelRef, ModelReply, ToolSpec
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.hearing import Kind, heard_by
from aurea.models.providers import PROVIDERS, Endpoint
from aurea.models.registry import build_client
from aurea.models.wires import Wire, wire_at
from aurea.ports import Assignment, CommandLine
from aurea.testing.agents import FolderWorkspace
from aurea.testing.commands import ScriptedRunner
from aurea.testing.drafts import ITEM, created, planned, started
from aurea.testing.models import asking
from tiny_model import COUNT, GREETING, NAME, NOTE, REPORT, missing, serving, trained

pytestmark = pytest.mark.xdist_group("mlx")  # they share a server, whose model is trained once

TOOLS = tuple(
    ToolSpec(name=call["name"], description="A tool.", parameters={"type": "object", "properties": {}})
    for call in (NOTE, REPORT)
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if reason := missing():
        pytest.skip(reason)
    with serving(trained()) as url:
        yield url


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
async def wire(server: str, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    made = wire_at(Endpoint(PROVIDERS["mlx"], server), stream=request.param)
    yield made
    await made.close()


async def ask(wire: Wire, text: str, model: str = NAME, **more: object) -> ModelReply:
    return await wire.complete(asking(text, model=f"mlx:{model}", **more))


class Listener:
    """Keeps what it hears; `first` is set at the first word."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.first = asyncio.Event()

    def hear(self, kind: Kind, text: str) -> None:
        self.words.append(text)
        self.first.set()

    def sign(self) -> None:
        pass


async def test_a_text_and_what_it_took(wire: Wire) -> None:
    reply = await ask(wire, "Say hello.")
    assert (reply.text, reply.finish, reply.calls) == (GREETING, "stop", ())
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 8)


async def test_a_tool_call(wire: Wire) -> None:
    reply = await ask(wire, "Write the note.", tools=TOOLS)
    assert [(call.name, call.arguments) for call in reply.calls] == [(NOTE["name"], NOTE["arguments"])]
    assert reply.finish == "tool_calls" and reply.text == ""


async def test_an_answer_ends_at_its_limit(wire: Wire) -> None:
    reply = await ask(wire, "Count.", options={"max_tokens": 10})
    assert (reply.text, reply.finish) == (" ".join(map(str, range(1, 11))), "length")
    assert reply.usage.output_tokens == 10


async def test_what_was_asked_before_is_cached(wire: Wire) -> None:
    await ask(wire, "Count.")
    again = await ask(wire, "Count.")
    assert again.text == COUNT
    assert 0 < again.usage.cached_tokens < again.usage.input_tokens


async def test_a_model_that_it_does_not_have(wire: Wire) -> None:
    with pytest.raises(AureaError) as raised:
        await ask(wire, "Count.", model="nobody/none")
    assert getattr(raised.value, "kind", None) == "not_found"


async def test_pieces_are_heard_as_they_come(server: str) -> None:
    wire, listener = wire_at(Endpoint(PROVIDERS["mlx"], server), stream=True), Listener()
    with heard_by(listener):
        reply = await ask(wire, "Count.")
    assert len(listener.words) > 20 and "".join(listener.words) == reply.text == COUNT
    await wire.close()


async def test_a_call_that_is_cancelled_in_the_middle_harms_nobody(server: str) -> None:
    wire, listener = wire_at(Endpoint(PROVIDERS["mlx"], server), stream=True), Listener()
    with heard_by(listener):
        call = asyncio.create_task(ask(wire, "Count."))
    await listener.first.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(listener.words) < 40
    assert (await ask(wire, "Say hello.")).text == GREETING
    await wire.close()


async def test_a_loop_of_two_steps(server: str, tmp_path: Path) -> None:
    run, clock, model = "run-1", SystemClock(), ModelRef(provider="mlx", name=NAME)
    book = Book(SqlEventStore(f"sqlite:///{tmp_path / 'ledger.db'}"), clock)
    book.append(run, [created(), planned(), started()])
    spec = Spec.model_validate({"project": "p", "objective": "o", "checks": [], "unproven": True})
    client = build_client(run=run, ledger=book, clock=clock, spec=spec, environ={"MLX_BASE_URL": server})
    engine = LoopEngine(
        run=run, ledger=book, client=client, commands=ScriptedRunner(no_command), clock=clock,
        model_for=lambda role, named: model, folder=tmp_path / "run",
    )  # fmt: skip
    workspace = FolderWorkspace(tmp_path / "workspace")
    assignment = Assignment(
        item=ITEM, attempt=1, role="coder", conversation="coder", system="You write.", task="Write the note.",
        timeout_s=60.0, workspace=workspace, env={},
    )  # fmt: skip
    outcome = await engine.run(assignment)
    await client.close()
    answered = [event.fact for event in book.events(run) if event.type == "model.answered"]
    book.close()
    assert (outcome.ended, outcome.turns, outcome.tool_calls) == ("result", 2, 1)
    assert outcome.result is not None and REPORT["arguments"].items() <= outcome.result.items()
    assert (workspace.tree / "note.txt").read_text() == NOTE["arguments"]["content"]
    assert [fact.usd for fact in answered] == [0.0, 0.0]
    assert answered[1].usage.cached_tokens > 5, "the second request begins as the first one did, and goes on"


def no_command(command: CommandLine) -> None:
    raise AssertionError(f"nobody asked for {command}")
