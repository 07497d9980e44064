"""The Ollama wire against a server that sends what it is told: exact bodies, answers of every shape, what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aurea.domain.errors import Transient, UsageError
from aurea.domain.messages import AssistantMessage, ToolSpec, UserMessage
from aurea.models.faults import ModelFault
from aurea.models.providers import PROVIDERS, Endpoint, endpoint
from aurea.models.wires.ollama import OllamaWire
from ollama_server import OllamaServer, ask, ollama_server
from talk import SCHEMA, TALK

NOT_FOUND = "404 Not Found"


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with ollama_server() as server:
        yield server


@pytest.fixture
async def client(server: OllamaServer) -> AsyncIterator[OllamaWire]:
    client = OllamaWire(endpoint("ollama", {"OLLAMA_HOST": server.url}))
    yield client
    await client.close()


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


async def test_the_request_body_is_what_was_meant_and_nothing_else(server: OllamaServer, client: OllamaWire) -> None:
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


async def test_what_the_role_leaves_open_is_filled_in(server: OllamaServer, client: OllamaWire) -> None:
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


async def test_the_place_of_a_call_is_in_its_headers_and_not_in_those_of_loading(
    server: OllamaServer, client: OllamaWire
) -> None:
    request = ask(item="storage", attempt=2, step=7, try_number=3)
    await client.prepare(request)
    await client.complete(request)

    sent = [{n: v for n, v in headers.items() if n.startswith("x-aurea-")} for _, headers, _ in server.asked]
    assert sent == [
        {},
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


async def test_text_usage_and_model(server: OllamaServer, client: OllamaWire) -> None:
    server.says({"content": "hel"}, {"content": "lo"}, prompt_eval_count=100, eval_count=7, prompt_eval_cached_count=60)

    reply = await client.complete(ask())

    assert (reply.text, reply.finish, reply.model) == ("hello", "stop", "qwen3:8b")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (100, 7, 60)


async def test_a_server_that_counts_nothing_is_counted_for(server: OllamaServer, client: OllamaWire) -> None:
    server.says({"content": "hello " * 100}, prompt_eval_count=0, eval_count=0)

    usage = (await client.complete(ask("why? " * 700))).usage

    assert usage.input_tokens >= 1000
    assert usage.output_tokens >= 100


def call(name: str, arguments: Any, id_: str | None = None) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **({"id": id_} if id_ else {})}


async def test_parallel_calls_in_pieces_with_and_without_ids(server: OllamaServer, client: OllamaWire) -> None:
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
    server: OllamaServer, client: OllamaWire, message: dict[str, Any], end: dict[str, Any], text: str, ends: str
) -> None:
    server.says(message, **end)

    reply = await client.complete(ask())

    assert (reply.text, reply.finish) == (text, ends)


async def test_what_a_model_thought_goes_back_with_the_conversation(server: OllamaServer, client: OllamaWire) -> None:
    server.says({"content": "", "thinking": "First I "}, {"content": "Go.", "thinking": "count."})

    said = (await client.complete(ask())).message
    others = AssistantMessage(text="Mine.", opaque={"of": "anthropic", "parts": []})
    await client.complete(ask(messages=(UserMessage(text="Count."), said, others, UserMessage(text="On."))))

    assert server.bodies()[-1]["messages"][1:3] == [
        {"role": "assistant", "content": "Go.", "thinking": "First I count."},
        {"role": "assistant", "content": "Mine."},
    ]


async def test_calls_that_were_cut_off_are_told_as_such(server: OllamaServer, client: OllamaWire) -> None:
    server.says({"content": "", "tool_calls": [call("count", {})]}, done_reason="length")

    assert (await client.complete(ask())).finish == "length"


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
    server: OllamaServer, client: OllamaWire, status: str, answer: Any, kind: str, remedy: str
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
    server: OllamaServer, client: OllamaWire, said: str, seconds: float | None
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


async def test_an_answer_that_breaks_off(server: OllamaServer, client: OllamaWire) -> None:
    server.pieces.pop()  # its end
    for server.cut in (False, True):
        with pytest.raises(ModelFault) as caught:
            await client.complete(ask())
        assert (caught.value.kind, caught.value.maybe_billed) == ("connection", True)
