"""The OpenAI wire against a server that sends what it is told: exact requests, and answers of every shape."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aurea.domain.errors import UsageError
from aurea.domain.messages import ToolSpec
from aurea.models.faults import ModelFault
from aurea.models.providers import PROVIDERS, Endpoint, endpoint
from aurea.models.wires.openai import OpenAIWire
from aurea.testing.models import asking
from raw_server import RawServer
from talk import KEY, SCHEMA, TALK


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[OpenAIWire]:
    client = OpenAIWire(endpoint("openai", {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": KEY}))
    yield client
    await client.close()


async def test_the_request_body_is_what_was_meant_and_nothing_else(server: RawServer, client: OpenAIWire) -> None:
    server.says({"content": "ok"})
    await client.complete(
        asking(
            messages=TALK,
            tools=(ToolSpec(name="count", description="Counts.", parameters=SCHEMA),),
            options={"temperature": 0.2, "reasoning_effort": "low", "num_ctx": 8192},
            max_output_tokens=777,
        )
    )

    def said(id_: str, arguments: str) -> dict[str, Any]:
        return {"id": id_, "type": "function", "function": {"name": "count", "arguments": arguments}}

    assert server.body == {
        "model": "gpt-5-mini",
        "stream": False,
        "messages": [
            {"role": "system", "content": "You count."},
            {"role": "user", "content": "Count."},
            {
                "role": "assistant",
                "content": "Both.",
                "tool_calls": [said("a", '{"n":3}'), said("b", '{"invalid_arguments":"{n"}')],
            },
            {"role": "tool", "tool_call_id": "a", "content": "three"},
            {"role": "tool", "tool_call_id": "b", "content": "no JSON"},
        ],
        "max_completion_tokens": 777,
        "tool_choice": "auto",
        "tools": [{"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": SCHEMA}}],
        "temperature": 0.2,
        "reasoning_effort": "low",
        "num_ctx": 8192,
    }


async def test_an_older_server_is_told_its_limit_by_the_name_it_knows(server: RawServer, client: OpenAIWire) -> None:
    server.says({"content": "ok"})
    await client.complete(asking(options={"max_tokens": 99}))

    assert server.body["max_tokens"] == 99
    assert "max_completion_tokens" not in server.body


async def test_options_may_not_replace_what_is_asked(server: RawServer, client: OpenAIWire) -> None:
    with pytest.raises(UsageError, match="may not set messages"):
        await client.complete(asking(options={"messages": []}))


async def test_the_place_of_a_call_is_in_its_headers(server: RawServer, client: OpenAIWire) -> None:
    server.says({"content": "ok"})
    await client.complete(asking(item="storage", attempt=2, step=7, try_number=3))

    sent = {name: value for name, value in server.headers.items() if name.startswith("x-aurea-")}
    assert sent == {
        "x-aurea-run": "run-1",
        "x-aurea-item": "storage",
        "x-aurea-attempt": "2",
        "x-aurea-role": "coder",
        "x-aurea-conversation": "coder",
        "x-aurea-step": "7",
        "x-aurea-try": "3",
    }
    await client.complete(asking())
    assert server.headers["x-aurea-item"] == "-"
    assert server.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("url", "wanted", "sent"),
    [
        ("https://api.openai.com/v1", True, False),
        ("https://eu.api.openai.com/v1", True, False),
        ("https://api.openai.com/v1", "always", True),
        ("http://127.0.0.1:1/v1", False, False),
        ("https://proxy.example.org/v1", True, True),
        ("https://notopenai.com/v1", True, True),
    ],
)
async def test_the_vendor_learns_of_the_place_only_where_that_is_wanted(
    url: str, wanted: bool | str, sent: bool
) -> None:
    client = OpenAIWire(Endpoint(PROVIDERS["openai"], url, KEY), headers=wanted)

    assert ("X-Aurea-Run" in client.extra_headers(asking())) == sent
    await client.close()


async def test_a_local_server_needs_no_key(server: RawServer) -> None:
    server.says({"content": "ok"})
    client = OpenAIWire(endpoint("openai", {"OPENAI_BASE_URL": f"{server.url}/v1"}))

    assert (await client.complete(asking())).text == "ok"
    await client.close()


async def test_text_usage_and_model(server: RawServer, client: OpenAIWire) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}
    server.says({"role": "assistant", "content": "hello"}, usage=usage, model="gpt-5-mini-2025")

    reply = await client.complete(asking())

    assert (reply.text, reply.finish, reply.model) == ("hello", "stop", "gpt-5-mini-2025")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (100, 7, 60)


async def test_a_server_that_counts_nothing_is_counted_for(server: RawServer, client: OpenAIWire) -> None:
    server.says({"content": "hello " * 100})

    usage = (await client.complete(asking("why? " * 700))).usage

    assert usage.input_tokens >= 1000
    assert usage.output_tokens >= 100


def calls(*wanted: tuple[str | None, Any]) -> dict[str, Any]:
    return {
        "content": None,
        "tool_calls": [
            {"id": id_, "type": "function", "function": {"name": "count", "arguments": a}} for id_, a in wanted
        ],
    }


async def test_parallel_calls_with_bad_arguments_and_without_ids(server: RawServer, client: OpenAIWire) -> None:
    server.says(calls(("x", '{"n": 1}'), (None, '{"n": tru'), ("x", ""), ("", {"n": 2}), ("y", "[1]")), "stop")

    reply = await client.complete(asking(step=4))

    assert reply.finish == "tool_calls"
    assert [(call.id, call.arguments) for call in reply.calls] == [
        ("x", {"n": 1}),
        ("call-4-2", '{"n": tru'),
        ("x-2", {}),
        ("call-4-4", {"n": 2}),
        ("y", "[1]"),
    ]


async def test_an_id_that_the_conversation_has_used_is_not_used_again(server: RawServer, client: OpenAIWire) -> None:
    server.says(calls(("a", "{}")), "tool_calls")

    assert [call.id for call in (await client.complete(asking(messages=TALK))).calls] == ["a-2"]


@pytest.mark.parametrize(
    ("message", "finish", "text", "ends"),
    [
        ({"content": ""}, "stop", "", "stop"),
        ({"content": None}, None, "", "stop"),
        ({}, "stop", "", "stop"),
        ({"content": [{"type": "text", "text": "in parts"}]}, "stop", "in parts", "stop"),
        ({"content": "<think>hm</think>so", "reasoning_content": "hm"}, "stop", "so", "stop"),
        ({"content": "cut"}, "length", "cut", "length"),
        ({"content": "odd"}, "guardrail", "odd", "other"),
        ({"content": None, "refusal": "I will not."}, "stop", "I will not.", "refused"),
    ],
)
async def test_answers_of_plain_servers(
    server: RawServer, client: OpenAIWire, message: dict[str, Any], finish: str | None, text: str, ends: str
) -> None:
    server.says(message, finish)

    reply = await client.complete(asking())

    assert (reply.text, reply.finish) == (text, ends)


async def test_calls_that_were_cut_off_are_told_as_such(server: RawServer, client: OpenAIWire) -> None:
    server.says(calls(("a", '{"n"')), "length")

    reply = await client.complete(asking())

    assert (reply.finish, reply.calls[0].arguments) == ("length", '{"n"')


ERROR = {"error": {"message": f"Wrong key {KEY} or sk-other-9876543210abc", "type": "t", "code": None}}
QUOTA = {"error": {"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"}}
LONG = {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        ("401 Unauthorized", ERROR, "authentication"),
        ("403 Forbidden", ERROR, "authentication"),
        ("404 Not Found", ERROR, "not_found"),
        ("429 Too Many Requests", ERROR, "rate_limit"),
        ("429 Too Many Requests", QUOTA, "quota"),
        ("402 Payment Required", ERROR, "quota"),
        ("400 Bad Request", LONG, "context_too_long"),
        ("413 Content Too Large", "too large", "context_too_long"),
        ("400 Bad Request", ERROR, "rejected"),
        ("422 Unprocessable", {"detail": "no"}, "rejected"),
        ("400 Bad Request", {"error": {"message": "m", "code": "content_filter"}}, "refused"),
        ("408 Request Timeout", "", "timeout"),
        ("500 Internal Server Error", ERROR, "server"),
        ("502 Bad Gateway", "<html>", "server"),
        ("503 Service Unavailable", "busy", "overloaded"),
        ("529 Overloaded", ERROR, "overloaded"),
        ("200 OK", "<html>hello</html>", "malformed"),
        ("200 OK", {"choices": []}, "malformed"),
        ("200 OK", {"error": {"message": "boom"}}, "malformed"),
        ("200 OK", [], "malformed"),
    ],
)
async def test_failures_have_a_kind_and_name_the_server_but_never_a_key(
    server: RawServer, client: OpenAIWire, status: str, answer: Any, kind: str
) -> None:
    server.status, server.answer = status, answer

    with pytest.raises(ModelFault) as caught:
        await client.complete(asking())

    assert caught.value.kind == kind
    assert f"openai model 'gpt-5-mini' at {server.url}/v1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "9876543210abc" not in str(caught.value)


async def test_a_server_that_is_not_there(server: RawServer) -> None:
    client = OpenAIWire(endpoint("openai", {"OPENAI_BASE_URL": "http://user:pass@127.0.0.1:9/v1"}))
    with pytest.raises(ModelFault) as caught:
        await client.complete(asking())

    assert (caught.value.kind, caught.value.maybe_billed) == ("connection", False)
    assert "pass" not in str(caught.value)
    await client.close()
