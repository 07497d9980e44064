"""What each vendor says where it does not answer, and the fault that follows: its kind, the wait, the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from aurea.domain.errors import Blocked, Transient
from aurea.models.faults import BLOCKED, TRANSIENT, ModelFault
from aurea.testing.models import asking
from raw_server import RawServer
from talk import KEY
from wire_formats import asked, content, output, parts, wire_of


def claude(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def gemini(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": details}}


def gpt(code: str | None, message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def router(code: int, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


def zhipu(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


DAILY = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDay"}]}
SOON = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "14s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
EXHAUSTED = "You exceeded your current quota, please check your plan and billing details."

SAID: list[tuple[str, int, Any, str]] = [
    ("anthropic", 429, claude("rate_limit_error", "This request would exceed your rate limit"), "rate_limit"),
    ("anthropic", 529, claude("overloaded_error", "Overloaded"), "overloaded"),
    ("anthropic", 500, claude("api_error", "Internal server error"), "server"),
    ("anthropic", 401, claude("authentication_error", "invalid x-api-key"), "authentication"),
    ("anthropic", 403, claude("permission_error", "Your API key has no permission"), "authentication"),
    ("anthropic", 404, claude("not_found_error", "model: claude-none"), "not_found"),
    ("anthropic", 413, claude("request_too_large", "Request exceeds the maximum size"), "context_too_long"),
    ("anthropic", 400, claude("invalid_request_error", "prompt is too long: 210000 tokens > 200000"), "context_too_long"),
    ("anthropic", 400, claude("invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 2"),
     "context_too_long"),
    ("anthropic", 400, claude("invalid_request_error", "Your credit balance is too low to access the API"), "quota"),
    ("anthropic", 400, claude("invalid_request_error", "You have reached your specified API usage limits."), "quota"),
    ("anthropic", 400, claude("invalid_request_error", "Output blocked by content filtering policy"), "refused"),
    ("anthropic", 400, claude("invalid_request_error", "temperature: range is 0..1"), "rejected"),
    ("google", 429, gemini(429, "RESOURCE_EXHAUSTED", EXHAUSTED, SOON), "rate_limit"),
    ("google", 429, gemini(429, "RESOURCE_EXHAUSTED", EXHAUSTED, DAILY), "quota"),
    ("google", 503, gemini(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "overloaded"),
    ("google", 500, gemini(500, "INTERNAL", "An internal error has occurred."), "server"),
    ("google", 504, gemini(504, "DEADLINE_EXCEEDED", "The request timed out."), "server"),
    ("google", 400, gemini(400, "INVALID_ARGUMENT", "API key not valid.", BAD_KEY), "authentication"),
    ("google", 400, gemini(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), "authentication"),
    ("google", 403, gemini(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers"), "authentication"),
    ("google", 404, gemini(404, "NOT_FOUND", "models/gemini-none is not found for API version v1beta"), "not_found"),
    ("google", 400, gemini(400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of "
                                                    "tokens allowed (1048576)."), "context_too_long"),
    ("google", 400, gemini(400, "INVALID_ARGUMENT", "Unknown name \"topX\""), "rejected"),
    ("responses", 400, gpt("context_length_exceeded", "Your input exceeds the context window"), "context_too_long"),
    ("responses", 429, gpt("insufficient_quota", EXHAUSTED, "insufficient_quota"), "quota"),
    ("responses", 429, gpt("rate_limit_exceeded", "Rate limit reached for gpt-5-mini"), "rate_limit"),
    ("responses", 400, gpt("invalid_prompt", "Your prompt was flagged as potentially violating our usage policy."),
     "refused"),
    ("responses", 404, gpt("model_not_found", "The model `x` does not exist"), "not_found"),
    ("responses", 401, gpt("invalid_api_key", f"Incorrect API key provided: {KEY}"), "authentication"),
    ("responses", 503, gpt("server_is_overloaded", "Our servers are currently overloaded"), "overloaded"),
    ("openrouter", 402, router(402, "Insufficient credits. Add more using the page of credits"), "quota"),
    ("openrouter", 403, router(403, "Key limit exceeded (total limit)"), "quota"),
    ("openrouter", 403, router(403, "Input flagged", metadata={"reasons": ["x"], "flagged_input": "y"}), "refused"),
    ("openrouter", 400, router(400, "acme/none is not a valid model ID"), "not_found"),
    ("openrouter", 400, router(400, "This endpoint's maximum context length is 8192 tokens."), "context_too_long"),
    ("openrouter", 502, router(502, "Provider returned error"), "server"),
    ("openrouter", 200, router(429, "Rate limited upstream"), "rate_limit"),
    ("openrouter", 200, {"choices": [{"error": {"code": 502, "message": "Upstream failed"}, "message": {}}]}, "server"),
    ("glm", 429, zhipu("1113", "Insufficient balance or no resource package. Please recharge."), "quota"),
    ("glm", 429, zhipu("1302", "High concurrency usage of this API, please reduce concurrency"), "rate_limit"),
    ("glm", 400, zhipu("1211", "Unknown Model, please check the model code."), "not_found"),
    ("glm", 400, zhipu("1261", "Prompt exceeds max length"), "context_too_long"),
    ("glm", 400, zhipu("1301", "System detected potentially unsafe or sensitive content in input."), "refused"),
    ("glm", 401, zhipu("1000", "Authentication Failed"), "authentication"),
    ("mlx", 404, {"error": "Model not found"}, "not_found"),
    ("mlx", 400, {"error": {"message": "the request exceeds the available context size", "code": 400}},
     "context_too_long"),
]  # fmt: skip

# Answers that are none, and answers that were filtered.
BENT: list[tuple[str, Any, str]] = [
    *[(name, answer, "malformed") for name in ("anthropic", "google", "responses") for answer in ("<html>", [], {})],
    ("anthropic", content(), "empty"),
    ("anthropic", {"type": "message", "content": None}, "malformed"),
    ("anthropic", {"type": "message", "content": [{"type": "hologram"}]}, "malformed"),
    ("anthropic", content(stop_reason="refusal"), "refused"),
    ("google", {"candidates": [], "promptFeedback": {"blockReason": "SAFETY"}}, "refused"),
    ("google", parts(finishReason="SAFETY"), "refused"),
    ("google", parts(), "empty"),
    ("google", {"candidates": [{"content": "text"}]}, "malformed"),
    ("responses", output(status="failed", error={"code": "server_error", "message": "boom"}), "server"),
    ("responses", output(), "empty"),
    ("responses", {"output": [{"type": "message"}]}, "malformed"),
]


@pytest.mark.parametrize(("format_", "status", "answer", "kind"), SAID)
async def test_what_vendors_say_has_a_kind(
    server: RawServer, format_: str, status: int, answer: Any, kind: str
) -> None:
    server.status, server.answer = f"{status} Said", answer
    fault = await failing(format_, server)

    assert fault.kind == kind, str(fault)
    assert isinstance(fault, Transient) == (kind in TRANSIENT)
    assert isinstance(fault, Blocked) == (kind in BLOCKED)
    assert "secret" not in str(fault)
    assert f"at {server.url}" in str(fault)


@pytest.mark.parametrize(("format_", "answer", "kind"), BENT)
async def test_an_answer_of_any_shape_is_taken_or_told(server: RawServer, format_: str, answer: Any, kind: str) -> None:
    server.answer = answer
    if kind != "empty":
        assert (await failing(format_, server)).kind == kind
        return
    wire = wire_of(format_, server)
    reply = await wire.complete(asked(format_))
    await wire.close()
    assert (reply.text, reply.calls) == ("", ())


@pytest.mark.parametrize("format_", ["anthropic", "google", "responses", "openrouter"])
async def test_the_wait_that_a_vendor_asks_for_is_told(server: RawServer, format_: str) -> None:
    server.status, server.answer, server.more_headers = "429 Slow", gpt(None, "slow down"), {"retry-after": "7"}
    fault = await failing(format_, server)
    assert isinstance(fault, Transient)
    assert (fault.kind, fault.retry_after) == ("rate_limit", 7.0)


async def test_google_tells_the_wait_in_its_body(server: RawServer) -> None:
    server.status, server.answer = "429 Slow", gemini(429, "RESOURCE_EXHAUSTED", EXHAUSTED, SOON)
    fault = await failing("google", server)
    assert isinstance(fault, Transient)
    assert fault.retry_after == 14.0


@pytest.mark.parametrize("format_", ["anthropic", "google", "responses", "glm"])
async def test_a_server_that_is_not_there_was_not_paid(format_: str) -> None:
    wire = wire_of(format_, "http://user:pass@127.0.0.1:9")
    with pytest.raises(ModelFault) as caught:
        await wire.complete(asking(model=str(asked(format_).model), options=asked(format_).model.options))
    await wire.close()
    assert (caught.value.kind, caught.value.maybe_billed) == ("connection", False)
    assert "pass" not in str(caught.value)


async def failing(format_: str, server: RawServer) -> ModelFault:
    wire = wire_of(format_, server)
    with pytest.raises(ModelFault) as caught:
        await wire.complete(asked(format_))
    await wire.close()
    return caught.value
