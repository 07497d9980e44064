"""The Ollama wire against a server that sends what it is told: exact bodies, answers of every shape, what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aurea.adapters.clock import SystemClock
from aurea.domain.errors import Transient, UsageError
from aurea.domain.messages import (
    AssistantMessage,
    ModelReply,
    SystemMessage,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.faults import ModelFault
from aurea.models.prices import estimate_tokens
from aurea.models.providers import PROVIDERS, Endpoint, check_ready, endpoint, ollama_url
from aurea.models.registry import build_client
from aurea.models.wires import LoadingWire, open_wire
from aurea.models.wires.ollama import OllamaWire
from aurea.models.wires.ollama_format import context_for, words
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import asking
from aurea.testing.store import MemoryEventStore

DONE: dict[str, Any] = {"done": True, "done_reason": "stop", "prompt_eval_count": 21, "eval_count": 4}
NOT_FOUND = "404 Not Found"


class Server:
    """Answers `/api/chat` with `pieces` after `waits` seconds each, and keeps what was asked, by path."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.headers = ""
        self.pieces: list[Any] = []
        self.waits: list[float] = []
        self.load_s = 0.0
        self.load_status = "200 OK"
        self.contexts: dict[str, int] = {}
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.cut = False
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                lines = head.split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
                path = lines[0].split()[1]
                self.asked.append((path, headers, body))
                await self._answer(path, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/api/generate":
            await asyncio.sleep(self.load_s)
            await self._whole(writer, self.load_status, {"done": True, "done_reason": "load"})
        elif path == "/api/ps":
            models = [{"name": name, "model": name, "context_length": n} for name, n in self.contexts.items()]
            await self._whole(writer, "200 OK", {"models": models})
        elif self.status != "200 OK":
            await self._whole(writer, self.status, self.pieces[0])
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n")
            for n, piece in enumerate(self.pieces):
                await asyncio.sleep(self.waits[n] if n < len(self.waits) else 0)
                data = (piece if isinstance(piece, str) else json.dumps(piece)).encode() + b"\n"
                writer.write(b"%x\r\n%s\r\n" % (len(data), data))
                await writer.drain()
            if self.cut:
                raise ConnectionError
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def _whole(self, writer: asyncio.StreamWriter, status: str, answer: Any) -> None:
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{self.headers}content-length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        await writer.drain()

    def says(self, *messages: dict[str, Any], **end: Any) -> None:
        pieces = [{"model": "qwen3:8b", "message": {"role": "assistant", **one}, "done": False} for one in messages]
        self.pieces = [*pieces, {"model": "qwen3:8b", "message": {"role": "assistant", "content": ""}, **DONE, **end}]

    def bodies(self, path: str = "/api/chat") -> list[dict[str, Any]]:
        return [body for asked, _, body in self.asked if asked == path]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    server.says({"content": "ok"})
    yield server
    listening.close()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[OllamaWire]:
    client = OllamaWire(endpoint("ollama", {"OLLAMA_HOST": server.url}))
    yield client
    await client.close()


def ask(*words: Any, **more: Any) -> Any:
    return asking(*words, model=more.pop("model", "ollama:qwen3:8b"), **more)


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}], "default": None, "title": "N"}
    },
    "additionalProperties": False,
}
TALK = (
    SystemMessage(text="You count."),
    UserMessage(text="Count."),
    AssistantMessage(
        text="Both.",
        calls=(ToolCall(id="a", name="count", arguments={"n": 3}), ToolCall(id="b", name="count", arguments="{n")),
    ),
    ToolMessage(call="a", name="count", text="three"),
    ToolMessage(call="b", name="count", text="no JSON"),
)
OPTIONS = {
    "num_ctx": 16384,
    "num_thread": 4,
    "num_batch": 256,
    "num_gpu": 0,
    "num_predict": 99,
    "temperature": 0.2,
    "top_p": 0.9,
    "top_k": 40,
    "seed": 7,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
}


async def test_the_request_body_is_what_was_meant_and_nothing_else(server: Server, client: OllamaWire) -> None:
    beside = {"keep_alive": "30m", "think": False, "format": {"type": "object"}}
    tool = ToolSpec(name="count", description="Counts.", parameters=SCHEMA)
    await client.complete(ask(messages=TALK, tools=(tool,), options={**OPTIONS, **beside}, max_output_tokens=777))

    assert server.bodies() == [
        {
            "model": "qwen3:8b",
            "messages": [
                {"role": "system", "content": "You count."},
                {"role": "user", "content": "Count."},
                {
                    "role": "assistant",
                    "content": "Both.",
                    "tool_calls": [
                        {"id": "a", "function": {"name": "count", "arguments": {"n": 3}}},
                        {"id": "b", "function": {"name": "count", "arguments": {"invalid_arguments": "{n"}}},
                    ],
                },
                {"role": "tool", "content": "three", "tool_name": "count", "tool_call_id": "a"},
                {"role": "tool", "content": "no JSON", "tool_name": "count", "tool_call_id": "b"},
            ],
            "stream": True,
            "truncate": False,
            "shift": False,
            "options": OPTIONS,
            "tools": [
                {"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": SCHEMA}}
            ],
            **beside,
        }
    ]


async def test_what_the_role_leaves_open_is_filled_in(server: Server, client: OllamaWire) -> None:
    await client.complete(ask(max_output_tokens=777))
    await client.complete(ask(options={"max_tokens": 500}))

    assert [body["options"] for body in server.bodies()] == [
        {"num_predict": 777, "num_ctx": 8192},
        {"num_predict": 500, "num_ctx": 8192},
    ]
    assert "tools" not in server.bodies()[0]


@pytest.mark.parametrize("name", ["messages", "truncate", "shift", "stream", "options"])
async def test_options_may_not_replace_what_is_asked(name: str, client: OllamaWire) -> None:
    with pytest.raises(UsageError, match=f"may not set {name}"):
        await client.complete(ask(options={name: []}))


@pytest.mark.parametrize(
    ("letters", "answer", "wanted"),
    [(10, 100, 8192), (10, 16_384, 32_768), (70_000, 100, 32_768), (170_000, 16_384, 65_536), (10, -1, 32_768)],
)
def test_the_context_has_room_for_the_conversation_and_its_answer(letters: int, answer: int, wanted: int) -> None:
    request = ask("x" * letters)

    assert context_for(request, answer) == wanted
    assert wanted >= estimate_tokens(request.messages) + max(answer, 0)


async def test_the_context_grows_in_large_steps_and_never_shrinks(server: Server, client: OllamaWire) -> None:
    for letters in (10, 9_000, 40_000, 10):
        request = ask("x" * letters, max_output_tokens=1000)
        await client.prepare(request)
        await client.complete(request)

    contexts = [body["options"]["num_ctx"] for body in server.bodies()]
    assert contexts == [8192, 8192, 16_384, 16_384]
    assert [body["options"]["num_ctx"] for body in server.bodies("/api/generate")] == [8192, 16_384]


async def test_the_place_of_a_call_is_in_its_headers_and_not_in_those_of_loading(
    server: Server, client: OllamaWire
) -> None:
    request = ask(item="storage", attempt=2, step=7, try_number=3)
    await client.prepare(request)
    await client.complete(request)

    sent = [{n: v for n, v in headers.items() if n.startswith("x-aurea-")} for _, headers, _ in server.asked]
    assert sent == [
        {},
        {},
        {
            "x-aurea-run": "run-1",
            "x-aurea-item": "storage",
            "x-aurea-attempt": "2",
            "x-aurea-role": "coder",
            "x-aurea-conversation": "coder",
            "x-aurea-step": "7",
            "x-aurea-try": "3",
        },
    ]


@pytest.mark.parametrize(
    ("url", "wanted", "sent"),
    [
        ("https://ollama.com", True, False),
        ("https://ollama.com", "always", True),
        ("http://127.0.0.1:1", False, False),
        ("http://gpu.example.org:11434", True, True),
    ],
)
async def test_the_vendor_learns_of_the_place_only_where_that_is_wanted(
    url: str, wanted: bool | str, sent: bool
) -> None:
    client = OllamaWire(Endpoint(PROVIDERS["ollama"], url), headers=wanted)

    assert client._place == sent
    await client.close()


async def test_text_usage_and_model(server: Server, client: OllamaWire) -> None:
    server.says({"content": "hel"}, {"content": "lo"}, prompt_eval_count=100, eval_count=7, prompt_eval_cached_count=60)

    reply = await client.complete(ask())

    assert (reply.text, reply.finish, reply.model) == ("hello", "stop", "qwen3:8b")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (100, 7, 60)


async def test_a_server_that_counts_nothing_is_counted_for(server: Server, client: OllamaWire) -> None:
    server.says({"content": "hello " * 100}, prompt_eval_count=0, eval_count=0)

    usage = (await client.complete(ask("why? " * 700))).usage

    assert usage.input_tokens >= 1000
    assert usage.output_tokens >= 100


def call(name: str, arguments: Any, id_: str | None = None) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **({"id": id_} if id_ else {})}


async def test_parallel_calls_in_pieces_with_and_without_ids(server: Server, client: OllamaWire) -> None:
    server.says(
        {"content": "Both. ", "tool_calls": [call("count", {"n": 1}, "x")]},
        {"content": "", "tool_calls": [call("count", {}), call("count", '{"n": 2}', "x"), call("count", "{n")]},
    )

    reply = await client.complete(ask(step=4))

    assert (reply.text, reply.finish) == ("Both. ", "tool_calls")
    assert [(one.id, one.arguments) for one in reply.calls] == [
        ("x", {"n": 1}),
        ("call-4-2", {}),
        ("x-2", {"n": 2}),
        ("call-4-4", "{n"),
    ]


@pytest.mark.parametrize(
    ("message", "end", "text", "ends"),
    [
        ({"content": ""}, {}, "", "stop"),
        ({}, {}, "", "stop"),
        ({"content": "cut"}, {"done_reason": "length"}, "cut", "length"),
        ({"content": "odd"}, {"done_reason": "unload"}, "odd", "other"),
        ({"content": "plain"}, {"done_reason": None}, "plain", "stop"),
        ({"content": "so", "thinking": "hm"}, {}, "so", "stop"),
        ({"content": "<think>\nhm\n</think>\n\nso"}, {}, "so", "stop"),
        ({"content": "<think>hm, and then"}, {"done_reason": "length"}, "", "length"),
        ({"content": "a <think> in the middle"}, {}, "a <think> in the middle", "stop"),
    ],
)
async def test_answers(
    server: Server, client: OllamaWire, message: dict[str, Any], end: dict[str, Any], text: str, ends: str
) -> None:
    server.says(message, **end)

    reply = await client.complete(ask())

    assert (reply.text, reply.finish) == (text, ends)


async def test_calls_that_were_cut_off_are_told_as_such(server: Server, client: OllamaWire) -> None:
    server.says({"content": "", "tool_calls": [call("count", {})]}, done_reason="length")

    assert (await client.complete(ask())).finish == "length"


LONG = "a word of the prompt, " * 400  # 2000 words


async def test_a_prompt_that_the_server_cut_is_no_answer(server: Server, client: OllamaWire) -> None:
    server.says({"content": "ok"}, prompt_eval_count=1400)
    request = ask(LONG)
    assert words(request) == 2000

    with pytest.raises(ModelFault, match="read 1400 tokens of at least 2000") as caught:
        await client.complete(request)

    assert caught.value.kind == "context_too_long"
    assert "num_ctx" in caught.value.remedy
    # A server that leaves out of its count what it had in its cache has not cut what has room in its context.
    server.contexts["qwen3:8b"] = 32_768
    await client.prepare(request)
    assert (await client.complete(request)).usage.input_tokens == 1400
    server.says({"content": "ok"}, prompt_eval_count=11)  # nor has one that does not count
    assert (await client.complete(ask(LONG, model="ollama:other"))).text == "ok"


async def test_a_context_that_the_server_did_not_give_is_told_before_it_is_asked(
    server: Server, client: OllamaWire
) -> None:
    server.contexts["qwen3:8b"] = 1024
    await client.prepare(ask(LONG))
    with pytest.raises(ModelFault, match="gives it 1024 tokens") as caught:
        await client.complete(ask(LONG))

    assert caught.value.kind == "context_too_long"
    assert server.bodies() == []


KEY = "sk-other-9876543210abc"
OVER = {"error": "prompt too long; exceeded max context length by 1200 tokens"}


@pytest.mark.parametrize(
    ("status", "answer", "kind", "remedy"),
    [
        (NOT_FOUND, {"error": 'model "qwen3:8b" not found, try pulling it first'}, "not_found", "ollama pull qwen3:8b"),
        (NOT_FOUND, {"error": {"message": "the model is not there"}}, "not_found", "ollama pull qwen3:8b"),
        (NOT_FOUND, "404 page not found", "not_found", "mend its address"),
        ("503 Service Unavailable", {"error": "server busy, please try again."}, "overloaded", ""),
        ("429 Too Many Requests", {"error": "slow down"}, "rate_limit", ""),
        ("429 Too Many Requests", {"error": "you have reached your weekly usage limit"}, "quota", "top it up"),
        ("401 Unauthorized", {"error": f"unauthorized {KEY}"}, "authentication", "key"),
        ("400 Bad Request", OVER, "context_too_long", "num_ctx"),
        ("500 Internal Server Error", OVER, "context_too_long", "num_ctx"),
        ("400 Bad Request", {"error": "the request exceeds the available context size"}, "context_too_long", "num_ctx"),
        ("400 Bad Request", {"error": "the context window was exceeded"}, "context_too_long", "num_ctx"),
        ("400 Bad Request", {"error": {"code": "context_length_exceeded"}}, "context_too_long", "num_ctx"),
        ("400 Bad Request", {"error": '"gemma:2b" does not support tools'}, "rejected", "can call tools"),
        ("400 Bad Request", {"error": '"qwen2.5" does not support thinking'}, "rejected", "think"),
        ("400 Bad Request", {"error": "invalid option"}, "rejected", "options"),
        ("500 Internal Server Error", {"error": "model requires more system memory (9 GiB)"}, "server", "smaller"),
        ("500 Internal Server Error", {"error": "failed to load model with context 4096"}, "server", ""),
        ("502 Bad Gateway", "<html>", "server", ""),
        ("200 OK", "<html>hello</html>", "malformed", ""),
        ("200 OK", [], "malformed", ""),
        ("200 OK", {"error": "an error was encountered while running the model"}, "server", ""),
        ("200 OK", OVER, "context_too_long", "num_ctx"),
    ],
)
async def test_failures_have_a_kind_a_remedy_and_the_server_s_own_words(
    server: Server, client: OllamaWire, status: str, answer: Any, kind: str, remedy: str
) -> None:
    server.status, server.pieces = status, [answer]

    with pytest.raises(ModelFault) as caught:
        await client.complete(ask())

    assert caught.value.kind == kind
    assert f"ollama model 'qwen3:8b' at {server.url}" in str(caught.value)
    assert remedy in caught.value.remedy
    assert KEY not in str(caught.value)
    if isinstance(answer, dict) and isinstance(answer["error"], str) and KEY not in answer["error"]:
        assert answer["error"] in str(caught.value)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)])
async def test_the_wait_that_a_server_asks_for(
    server: Server, client: OllamaWire, said: str, seconds: float | None
) -> None:
    server.status, server.pieces, server.headers = "429 Too Many Requests", [{"error": ""}], f"retry-after: {said}\r\n"

    with pytest.raises(Transient) as caught:
        await client.complete(ask())

    assert caught.value.retry_after == seconds


async def test_a_server_that_is_not_there() -> None:
    client = OllamaWire(endpoint("ollama", {"OLLAMA_HOST": "127.0.0.1:9"}))
    await client.prepare(ask())
    with pytest.raises(ModelFault, match="could not be reached") as caught:
        await client.complete(ask())

    assert (caught.value.kind, caught.value.maybe_billed) == ("connection", False)
    assert "ollama serve" in caught.value.remedy
    assert "OLLAMA_HOST" in caught.value.remedy
    await client.close()


async def test_an_answer_that_breaks_off(server: Server, client: OllamaWire) -> None:
    server.pieces.pop()  # its end
    for server.cut in (False, True):
        with pytest.raises(ModelFault) as caught:
            await client.complete(ask())
        assert (caught.value.kind, caught.value.maybe_billed) == ("connection", True)


# --- time -----------------------------------------------------------------------------------------------------------


async def test_a_slow_answer_may_take_long_while_it_is_seen_to_come(server: Server, client: OllamaWire) -> None:
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
    server: Server, client: OllamaWire, waits: list[float], left: float | None, said: str
) -> None:
    server.says(*[{"content": "word "}] * 9)
    server.waits = waits

    with pytest.raises(ModelFault, match=said) as caught:
        await client.complete(ask(timeout_s=0.2, remaining_s=left))

    assert (caught.value.kind, isinstance(caught.value, Transient)) == ("timeout", True)


async def test_a_call_that_is_cancelled_hangs_up(server: Server, client: OllamaWire) -> None:
    server.says({"content": "a"}, {"content": "b"})
    server.waits = [0.0, 9.0]
    task = asyncio.create_task(client.complete(ask()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.waits = []

    assert (await client.complete(ask())).text == "ab"


async def test_a_model_is_loaded_once_for_all_who_need_it(server: Server, client: OllamaWire) -> None:
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


async def test_a_model_that_is_not_to_stay_is_not_loaded_in_advance(server: Server, client: OllamaWire) -> None:
    await client.prepare(ask(options={"keep_alive": 0}))  # it would be unloaded again

    assert server.asked == []


@pytest.mark.parametrize(("status", "times"), [(NOT_FOUND, 1), ("500 Internal Server Error", 3)])
async def test_a_server_that_cannot_load_in_advance_is_asked_all_the_same(
    server: Server, client: OllamaWire, status: str, times: int
) -> None:
    server.load_status = status
    for _ in range(3):
        await client.prepare(ask())

    assert (await client.complete(ask())).text == "ok"
    assert len(server.bodies("/api/generate")) == times


async def test_a_model_that_does_not_load_is_given_up(
    server: Server, client: OllamaWire, monkeypatch: pytest.MonkeyPatch
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


async def test_loading_is_no_part_of_a_call_s_time(server: Server) -> None:
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


# --- where it is ------------------------------------------------------------------------------------------------------


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


async def test_a_path_in_front_and_no_proxy_for_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("OLLAMA_API_KEY", "of-the-vendor")
    client = open_wire("ollama", {"OLLAMA_HOST": server.url})
    assert isinstance(client, LoadingWire)

    assert (await client.complete(ask())).text == "ok"
    assert server.asked[0][1]["authorization"] == "Bearer of-the-vendor"
    await client.close()
