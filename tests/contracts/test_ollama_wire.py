"""What Ollama's wire does beyond the common cases, against aimock: answers that come piece by piece, and loading in advance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aimock import journal
from aurea.domain.errors import Transient
from aurea.models.faults import ModelFault
from aurea.models.providers import endpoint
from aurea.models.wires.ollama import OllamaWire
from ollama_server import ask


@pytest.fixture
async def client(aimock: str) -> AsyncIterator[OllamaWire]:
    client = OllamaWire(endpoint("ollama", {"OLLAMA_HOST": aimock}))
    yield client
    await client.close()


async def test_an_answer_that_takes_longer_than_a_call_may_comes_to_its_end(client: OllamaWire) -> None:
    reply = await client.complete(ask("case slow stream", timeout_s=0.5))

    assert reply.text == "one two three four five six"


async def test_an_answer_that_is_cut_off_is_no_answer(client: OllamaWire) -> None:
    with pytest.raises(ModelFault) as caught:
        await client.complete(ask("fault cut off"))

    assert (caught.value.kind, caught.value.maybe_billed) == ("connection", True)
    assert isinstance(caught.value, Transient)


async def test_a_call_that_is_cancelled_in_the_middle_of_its_answer_harms_no_other(client: OllamaWire) -> None:
    task = asyncio.create_task(client.complete(ask("case slow stream")))
    await asyncio.sleep(0.4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await client.complete(ask("case text"))).text == "Four notes."


async def test_whoever_loads_no_models_is_asked_for_answers_alone(aimock: str, client: OllamaWire) -> None:
    request: Any = ask("case both", step=3)
    await client.prepare(request)
    assert (await client.complete(request)).text == "Reading."

    assert {entry["path"] for entry in journal(aimock, "case both")} == {"/api/chat"}


async def test_a_server_that_is_down() -> None:
    client = OllamaWire(endpoint("ollama", {"OLLAMA_HOST": "http://127.0.0.1:9"}))
    with pytest.raises(Transient, match="could not be reached"):
        await client.complete(ask("case text"))
    await client.close()
