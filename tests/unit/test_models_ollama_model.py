"""The Ollama wire and what is particular about a model of one's own: its context, its loading, its slowness, its address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aurea.adapters.clock import SystemClock
from aurea.domain.errors import Transient, UsageError
from aurea.domain.messages import ModelReply
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.faults import ModelFault
from aurea.models.prices import estimate_tokens
from aurea.models.providers import check_ready, endpoint, ollama_url
from aurea.models.registry import build_client
from aurea.models.wires import LoadingWire, open_wire
from aurea.models.wires.ollama import OllamaWire
from aurea.models.wires.ollama_format import context_for, words
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.store import MemoryEventStore
from ollama_server import OllamaServer, ask, ollama_server

OPTIONS = {"num_ctx": 16384, "num_thread": 4, "num_batch": 256, "num_gpu": 0, "num_predict": 99, "temperature": 0.2}


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with ollama_server() as server:
        yield server


@pytest.fixture
async def client(server: OllamaServer) -> AsyncIterator[OllamaWire]:
    client = OllamaWire(endpoint("ollama", {"OLLAMA_HOST": server.url}))
    yield client
    await client.close()


@pytest.mark.parametrize(
    ("letters", "answer", "wanted"),
    [(10, 100, 8192), (10, 16_384, 32_768), (70_000, 100, 32_768), (170_000, 16_384, 65_536), (10, -1, 32_768)],
)
def test_the_context_has_room_for_the_conversation_and_its_answer(letters: int, answer: int, wanted: int) -> None:
    request = ask("x" * letters)

    assert context_for(request, answer) == wanted
    assert wanted >= estimate_tokens(request.messages) + max(answer, 0)


async def test_the_context_grows_in_large_steps_and_never_shrinks(server: OllamaServer, client: OllamaWire) -> None:
    for letters in (10, 9_000, 40_000, 10):
        request = ask("x" * letters, max_output_tokens=1000)
        await client.prepare(request)
        await client.complete(request)

    contexts = [body["options"]["num_ctx"] for body in server.bodies()]
    assert contexts == [8192, 8192, 16_384, 16_384]
    assert [body["options"]["num_ctx"] for body in server.bodies("/api/generate")] == [8192, 16_384]


LONG = "a word of the prompt, " * 400  # 2000 words


async def test_a_prompt_that_the_server_cut_is_no_answer(server: OllamaServer, client: OllamaWire) -> None:
    server.says({"content": "ok"}, prompt_eval_count=1400)
    request = ask(LONG)
    assert words(request) == 2000

    with pytest.raises(ModelFault, match="read 1400 tokens of at least 2000") as caught:
        await client.complete(request)

    assert caught.value.kind == "context_too_long"
    assert "num_ctx" in caught.value.remedy
    # A server that leaves out of its count what it had in its cache has not cut what has room in its context.
    server.contexts = {"qwen3:8b": 32_768}
    await client.prepare(request)
    assert (await client.complete(request)).usage.input_tokens == 1400
    server.says({"content": "ok"}, prompt_eval_count=11)  # nor has one that does not count
    assert (await client.complete(ask(LONG, model="ollama:other"))).text == "ok"


async def test_a_context_that_the_server_did_not_give_is_told_before_it_is_asked(
    server: OllamaServer, client: OllamaWire
) -> None:
    server.contexts = {"qwen3:8b": 1024}
    await client.prepare(ask(LONG))
    with pytest.raises(ModelFault, match="gives it 1024 tokens") as caught:
        await client.complete(ask(LONG))

    assert caught.value.kind == "context_too_long"
    assert server.bodies() == []


async def test_a_slow_answer_may_take_long_while_it_is_seen_to_come(server: OllamaServer, client: OllamaWire) -> None:
    server.says(*[{"content": "word "}] * 8)
    server.waits = [0.3, *[0.1] * 8]

    began = asyncio.get_running_loop().time()
    reply = await client.complete(ask(timeout_s=0.2))

    assert reply.text == "word " * 8
    assert asyncio.get_running_loop().time() - began > 1


@pytest.mark.parametrize(
    ("waits", "left", "said"),
    [([9.0], None, "no sign"), ([0.0, 9.0], None, "no sign"), ([0.1] * 9, 0.3, "0.3 s are over"), ([9.0], 0.1, "0.1")],
)
async def test_an_answer_that_does_not_come_is_given_up(
    server: OllamaServer, client: OllamaWire, waits: list[float], left: float | None, said: str
) -> None:
    server.says(*[{"content": "word "}] * 9)
    server.waits = waits

    with pytest.raises(ModelFault, match=said) as caught:
        await client.complete(ask(timeout_s=0.2, remaining_s=left))

    assert (caught.value.kind, isinstance(caught.value, Transient)) == ("timeout", True)


async def test_a_call_that_is_cancelled_hangs_up(server: OllamaServer, client: OllamaWire) -> None:
    server.says({"content": "a"}, {"content": "b"})
    server.waits = [0.0, 9.0]
    task = asyncio.create_task(client.complete(ask()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.waits = []

    assert (await client.complete(ask())).text == "ab"


async def test_a_model_is_loaded_once_for_all_who_need_it(server: OllamaServer, client: OllamaWire) -> None:
    server.load_s = 0.1
    options = {**OPTIONS, "keep_alive": "1h", "format": "json"}
    await asyncio.gather(*(client.prepare(ask(step=n, options=options)) for n in range(1, 9)))

    assert server.bodies("/api/generate") == [
        {
            "model": "qwen3:8b",
            "stream": False,
            "options": {"num_ctx": 16384, "num_batch": 256, "num_gpu": 0, "num_thread": 4},
            "keep_alive": "1h",
        }
    ]
    await client.prepare(ask(options={**options, "temperature": 1.0}))
    assert len(server.bodies("/api/generate")) == 1
    await client.prepare(ask(options={**options, "num_ctx": 32768}))
    await client.prepare(ask(options=options, model="ollama:llama3"))
    assert len(server.bodies("/api/generate")) == 3


async def test_a_model_that_is_not_to_stay_is_not_loaded_in_advance(server: OllamaServer, client: OllamaWire) -> None:
    await client.prepare(ask(options={"keep_alive": 0}))  # it would be unloaded again
    assert server.asked == []
    server.contexts = None
    await client.prepare(ask())  # whoever does not tell of its models is asked for answers alone

    assert server.bodies("/api/generate") == []


@pytest.mark.parametrize(("status", "times"), [("404 Not Found", 1), ("500 Internal Server Error", 3)])
async def test_a_server_that_cannot_load_in_advance_is_asked_all_the_same(
    server: OllamaServer, client: OllamaWire, status: str, times: int
) -> None:
    server.load_status = status
    for _ in range(3):
        await client.prepare(ask())

    assert (await client.complete(ask())).text == "ok"
    assert len(server.bodies("/api/generate")) == times


async def test_a_model_that_does_not_load_is_given_up(
    server: OllamaServer, client: OllamaWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aurea.models.wires.ollama.LOAD_S", 0.1)
    server.load_s = 9
    with pytest.raises(ModelFault, match=r"not loaded after 0\.1 s") as caught:
        await client.prepare(ask())

    assert caught.value.kind == "timeout"


class Home:
    """The whole client of a run, on a real clock."""

    def __init__(self, url: str) -> None:
        self.book = Book(MemoryEventStore(), SimulatedClock())
        self.book.append("run-1", [created()])
        spec = Spec.model_validate({"project": "n", "objective": "n", "checks": [], "unproven": True, "budget_usd": 1})
        self.client = build_client(
            run="run-1", ledger=self.book, clock=SystemClock(), spec=spec, environ={"OLLAMA_HOST": url}
        )

    async def complete(self, **more: Any) -> ModelReply:
        return await self.client.complete(ask(**more))

    async def close(self) -> None:
        await self.client.close()
        self.book.close()


async def test_loading_is_no_part_of_a_call_s_time(server: OllamaServer) -> None:
    server.load_s = 1.5
    home = Home(server.url)

    reply = await home.complete(timeout_s=0.5)

    events = list(home.book.events("run-1"))
    answered = events[-1].document()["payload"]
    await home.close()
    assert reply.text == "ok"
    assert [event.type for event in events][1:] == ["model.asked", "model.answered"]  # nothing failed, nothing was paid
    assert answered["seconds"] < 1.4
    assert (answered["usd"], answered["priced"]) == (0.0, True)
    assert answered["usage"]["input_tokens"] == 21


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("gpu", "http://gpu:11434"),
        ("gpu:8080", "http://gpu:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("http://gpu", "http://gpu:80"),
        ("https://gpu", "https://gpu:443"),
        ("https://gpu:8443/ollama/", "https://gpu:8443/ollama"),
        ("gpu/ollama", "http://gpu:11434/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:11434"),
        ("[::]:8080", "http://[::1]:8080"),
        (' "gpu" ', "http://gpu:11434"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_every_form_of_an_address(said: str, url: str) -> None:
    assert endpoint("ollama", {"OLLAMA_HOST": said}).url == url
    check_ready("ollama", {"OLLAMA_HOST": said})


@pytest.mark.parametrize("said", ["gpu:port", "ftp://gpu", "http://[::1"])
def test_what_is_no_address_is_said(said: str) -> None:
    with pytest.raises(UsageError, match="OLLAMA_HOST"):
        ollama_url(said)


async def test_a_path_in_front_and_no_proxy_for_this_machine(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("OLLAMA_API_KEY", "of-the-vendor")
    client = open_wire("ollama", {"OLLAMA_HOST": server.url})
    assert isinstance(client, LoadingWire)

    assert (await client.complete(ask())).text == "ok"
    assert server.asked[0][1]["authorization"] == "Bearer of-the-vendor"
    await client.close()
