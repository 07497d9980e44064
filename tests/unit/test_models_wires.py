"""Every wire against a server that sends what it is told: exact requests, and what a provider wants to have back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aurea.domain.errors import UsageError
from aurea.domain.messages import AssistantMessage, ModelReply, ToolMessage, Usage
from aurea.models.fingerprint import fingerprint
from aurea.models.prices import Prices, estimate_tokens
from aurea.models.providers import PROVIDERS
from aurea.testing.models import asking
from raw_server import RawServer
from talk import KEY, TALK
from wire_formats import ANSWERS, BODIES, FORMATS, MARK, asked, plain, wire_of


@pytest.mark.parametrize("format_", FORMATS)
async def test_the_request_is_what_was_meant_and_nothing_else(server: RawServer, format_: str) -> None:
    server.answer = plain(format_)
    wire = wire_of(format_, server)
    reply = await wire.complete(asked(format_, options={"temperature": 0.2}, max_output_tokens=777))
    await wire.close()

    assert reply.text == "ok"
    assert server.path.endswith(FORMATS[format_][3])
    assert server.body == BODIES[format_]
    assert server.headers["x-aurea-run"] == "run-1"
    assert "aurea/" in server.headers["user-agent"]
    assert KEY in server.headers.get("authorization", "") + server.headers.get("x-goog-api-key", "")


@pytest.mark.parametrize("format_", ANSWERS)
async def test_what_the_provider_wants_back_comes_back_in_its_place(server: RawServer, format_: str) -> None:
    server.answer, place, wanted = ANSWERS[format_]
    wire = wire_of(format_, server)
    request = asked(format_)
    first = await wire.complete(request)
    assert (first.text, first.finish, first.model) == ("So be it.", "tool_calls", "m-1")
    assert [(call.id, call.arguments) for call in first.calls] == [("x", {"n": 4}), ("y", {"n": 5})]

    kept = ModelReply.model_validate_json(first.model_dump_json())  # as the journal has it
    answers = tuple(ToolMessage(call=call.id, name=call.name, text="yes") for call in kept.calls)
    await wire.complete(request.model_copy(update={"messages": (*TALK, kept.message, *answers)}))
    await wire.close()

    assert place(server.body) == wanted


@pytest.mark.parametrize("format_", ANSWERS)
async def test_tokens_of_the_cache_are_counted_and_priced(server: RawServer, format_: str) -> None:
    server.answer = ANSWERS[format_][0]
    wire = wire_of(format_, server)
    usage = (await wire.complete(asked(format_))).usage
    await wire.close()

    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (160, 5, 100)
    assert usage.cache_write_tokens == (50 if format_ == "anthropic" else 0)
    assert usage.usd == (0.00123 if format_ == "openrouter" else None)
    price = Prices(lambda _: False).of(asked(format_).model)
    assert price is not None
    if format_ == "anthropic":  # per million: 3 plain, 0.30 read, 3.75 written, 15 out
        assert price.cost(usage) == pytest.approx((10 * 3 + 100 * 0.3 + 50 * 3.75 + 5 * 15) / 1e6)
    elif format_ == "openrouter":
        assert price.cost(usage) == 0.00123


async def test_what_another_provider_kept_is_not_sent(server: RawServer) -> None:
    server.answer = ANSWERS["anthropic"][0]
    claude = wire_of("anthropic", server)
    reply = await claude.complete(asked("anthropic"))
    await claude.close()
    for format_ in ("google", "responses", "chat", "openrouter"):
        server.answer = plain(format_)
        wire = wire_of(format_, server)
        await wire.complete(asked(format_, messages=(*TALK, reply.message, *answered(reply))))
        await wire.close()
        sent = json.dumps(server.body)
        assert "So be it." in sent
        assert "SIG" not in sent
        assert "hm" not in sent


def answered(reply: ModelReply) -> tuple[ToolMessage, ...]:
    return tuple(ToolMessage(call=call.id, name=call.name, text="yes") for call in reply.calls)


async def test_where_a_message_was_changed_its_thinking_still_comes_first(server: RawServer) -> None:
    server.answer = ANSWERS["anthropic"][0]
    wire = wire_of("anthropic", server)
    reply = await wire.complete(asked("anthropic"))
    changed = reply.message.model_copy(update={"calls": reply.calls[:1]})
    await wire.complete(asked("anthropic", messages=(*TALK, changed, *answered(reply)[:1])))
    await wire.close()

    sent = server.body["messages"][-2]["content"]
    assert [block["type"] for block in sent] == ["thinking", "redacted_thinking", "thinking", "text", "tool_use"]


def test_messages_without_opaque_parts_are_written_as_ever() -> None:
    message = AssistantMessage(text="x")
    reply = ModelReply(text="x", usage=Usage(input_tokens=1))
    assert set(json.loads(message.model_dump_json())) == {"role", "text", "calls"}
    assert set(json.loads(reply.model_dump_json())) == {"text", "calls", "usage", "finish", "model"}
    assert set(reply.model_dump(mode="json")["usage"]) == {"input_tokens", "output_tokens", "cached_tokens"}

    kept = message.model_copy(update={"opaque": {"of": "google", "parts": []}})
    assert AssistantMessage.model_validate_json(kept.model_dump_json()) == kept
    assert fingerprint(asking(messages=(message,))) == fingerprint(asking(messages=(kept,)))
    assert estimate_tokens([kept]) > estimate_tokens([message])


async def test_marks_of_the_prompt_cache_can_be_replaced_and_left_out(server: RawServer) -> None:
    server.answer = plain("anthropic")
    wire = wire_of("anthropic", server)
    hour = {"type": "ephemeral", "ttl": "1h"}
    await wire.complete(asked("anthropic", options={"cache_control": hour}))
    assert server.body["cache_control"] == hour
    assert json.dumps(server.body).count("cache_control") == 1
    await wire.complete(asked("anthropic", options={"cache_control": None}))
    assert "cache_control" not in json.dumps(server.body)
    await wire.close()


async def test_what_a_conversation_begins_with_stays_the_same_to_the_byte(server: RawServer) -> None:
    server.answer = plain("anthropic")
    wire = wire_of("anthropic", server)
    bodies = []
    for end in (2, 5):
        await wire.complete(asked("anthropic", messages=TALK[:end], step=end))
        bodies.append({**server.body, "messages": [unmarked(message) for message in server.body["messages"]]})
    await wire.close()

    first, second = bodies
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert {**first, "messages": None} == {**second, "messages": None}


def unmarked(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "content": [{k: v for k, v in block.items() if k not in MARK} for block in message["content"]]}


@pytest.mark.parametrize("format_", ["chat", "responses"])
async def test_calls_of_a_role_share_the_key_of_a_prompt_cache_at_the_vendor(format_: str) -> None:
    def key(wire: Any, **more: Any) -> Any:
        used = wire._responses if format_ == "responses" else wire
        return used.settings(asking(**more)).get("openai_prompt_cache_key")

    vendor, other = (wire_of(format_, url) for url in ("https://api.openai.com/v1", "http://127.0.0.1:1/v1"))
    assert key(vendor, step=1) == key(vendor, step=9, item="other")
    assert len(key(vendor)) == 32
    assert key(vendor, options={"prompt_cache_key": "mine"}) is None
    assert key(other) is None
    await vendor.close()
    await other.close()


async def test_options_of_google_go_where_the_api_has_them(server: RawServer) -> None:
    server.answer = plain("google")
    wire = wire_of("google", server)
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    options = {"topK": 4, "thinkingConfig": {"thinkingLevel": "low"}, "safetySettings": safety, "maxOutputTokens": 99}
    await wire.complete(asked("google", options=options))
    await wire.close()

    assert server.body["safetySettings"] == safety
    assert server.body["generationConfig"] == {
        "maxOutputTokens": 99, "responseModalities": ["TEXT"], "topK": 4, "thinkingConfig": {"thinkingLevel": "low"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("format_", "options", "told"),
    [
        ("anthropic", {"system": "x"}, "may not set system"),
        ("google", {"contents": []}, "may not set contents"),
        ("responses", {"previous_response_id": "x"}, "may not set previous_response_id"),
        ("glm", {"messages": []}, "may not set messages"),
        ("glm", {"api": "responses"}, "has no api 'responses'"),
        ("chat", {"api": "completions"}, "has no api 'completions'"),
    ],
)
async def test_options_may_not_replace_what_is_asked(format_: str, options: dict[str, Any], told: str) -> None:
    wire = wire_of(format_, "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=told):
        await wire.complete(asked(format_, options=options))
    await wire.close()


@pytest.mark.parametrize("format_", ["anthropic", "google", "openrouter", "glm", "responses"])
async def test_a_vendor_learns_of_the_place_only_where_that_is_wanted(format_: str) -> None:
    url = PROVIDERS[FORMATS[format_][0]].url
    for wanted, sent in ((True, False), ("always", True)):
        wire = wire_of(format_, url, headers=wanted)
        assert ("X-Aurea-Run" in wire.extra_headers(asked(format_))) == sent
        await wire.close()
