"""Answers that come in pieces: the same reply as a whole one makes, in every format, and what ends one half-way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.errors import Transient
from aurea.domain.events import BudgetReserved, BudgetSettled
from aurea.domain.messages import ModelReply
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.faults import ModelFault
from aurea.models.hearing import heard_by
from aurea.models.providers import PROVIDERS, Endpoint
from aurea.models.registry import build_client
from aurea.models.wires.base import VendorWire
from aurea.models.wires.gather import ChatGatherer
from aurea.models.wires.sse import events
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.store import MemoryEventStore
from raw_server import RawServer
from streams import pieces, streamed
from talk import KEY
from wire_formats import ANSWERS, FORMATS, asked, content, output, parts, plain, wire_of

EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
USED = {"prompt_tokens": 160, "completion_tokens": 5}


class Heard:
    """What was heard of a call."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.signs = 0

    def hear(self, kind: str, text: str) -> None:
        self.said.append((kind, text))

    def sign(self) -> None:
        self.signs += 1

    def all(self, kind: str) -> str:
        return "".join(text for heard, text in self.said if heard == kind)


def answer(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {
        "id": "c", "created": 1, "model": "m-1", **more,
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
    }  # fmt: skip


def said_in(**more: Any) -> dict[str, Any]:
    message = {
        "type": "message", "id": "m", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Once upon a \u2028 time\x85", "annotations": []}],
    }  # fmt: skip
    return output(message, **more)


# By format: answers that differ in what a stream could lose.
CASES: list[tuple[str, str, dict[str, Any]]] = [
    *((format_, "all of it", document) for format_, (document, _, _) in ANSWERS.items()),
    *((format_, "words", plain(format_)) for format_ in FORMATS),
    ("chat", "cut", answer({"content": "Once"}, "length", usage=USED)),
    ("chat", "refusal", answer({"content": None, "refusal": "I will not."}, usage=USED)),
    ("chat", "filtered", answer({"content": "So"}, "content_filter", usage=USED)),
    ("chat", "nothing counted", answer({"content": "So \u2028 \x85 be it."})),
    ("chat", "arguments that are none", answer({"tool_calls": [
        {"id": "x", "type": "function", "function": {"name": "count", "arguments": '{"n'}},
    ]}, "tool_calls")),
    ("glm", "thinks", answer({"content": "So.", "reasoning_content": "hm, hm"}, usage=USED)),
    ("openrouter", "details", answer({
        "content": "So.", "reasoning": "hm, hm",
        "reasoning_details": [
            {"type": "reasoning.text", "index": 0, "text": "hm, hm", "format": "x"},
            {"type": "reasoning.encrypted", "index": 1, "data": "ENCRYPTED"},
        ],
    }, usage={**USED, "cost": 0.002})),
    ("anthropic", "cut", content({"type": "text", "text": "Once upon"}, stop_reason="max_tokens")),
    ("anthropic", "no arguments", content({"type": "tool_use", "id": "x", "name": "count", "input": {}})),
    ("google", "cut", parts({"text": "Once upon a time"}, finishReason="MAX_TOKENS")),
    ("google", "a signed text", parts({"text": "hm", "thought": True}, {"text": "So be it.", "thoughtSignature": "U0lH"})),
    ("responses", "cut", said_in(status="incomplete", incomplete_details={"reason": "max_output_tokens"})),
]  # fmt: skip


async def reply_of(server: RawServer, format_: str, heard: Heard, **more: Any) -> ModelReply:
    wire = wire_of(format_, server, stream=True)
    try:
        with heard_by(heard):
            return await wire.complete(asked(format_, **more))
    finally:
        await wire.close()


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("format_", "case", "document"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_a_stream_makes_the_reply_of_the_whole_answer(
    server: RawServer, format_: str, case: str, document: dict[str, Any], size: int
) -> None:
    server.answer = document
    whole = wire_of(format_, server, stream=False)
    wanted = await whole.complete(asked(format_))
    await whole.close()

    server.answer, server.more_headers = streamed(format_, document, size), EVENTS
    heard = Heard()
    got = await reply_of(server, format_, heard)

    assert got == wanted
    assert heard.signs
    assert heard.all("text") == got.text
    assert [text for kind, text in heard.said if kind == "tool"] == [call.name for call in got.calls]
    asks = server.path if format_ == "google" else server.body
    assert "streamGenerateContent" in asks if format_ == "google" else asks["stream"] is True


@pytest.mark.parametrize("format_", ["glm", "openrouter", "anthropic", "google"])
async def test_thoughts_are_heard_once(server: RawServer, format_: str) -> None:
    server.answer, server.more_headers = streamed(format_, ANSWERS[format_][0]), EVENTS
    heard = Heard()
    await reply_of(server, format_, heard)

    assert heard.all("reasoning") == ("hmhm again" if format_ == "anthropic" else "hm")


@given(st.lists(st.text(max_size=8), max_size=6), st.integers(1, 7), st.sampled_from(["\n", "\r\n"]))
def test_events_are_the_same_wherever_the_network_cuts_them(texts: list[str], size: int, end: str) -> None:
    lines = [f"event: x{end}data: {json.dumps(text, ensure_ascii=False)}{end}: note{end}{end}" for text in texts]
    data = "".join(lines).encode("utf-8", "surrogatepass")

    async def arriving() -> AsyncIterator[bytes]:
        for at in range(0, len(data), size):
            yield data[at : at + size]

    found: list[str] = []

    async def read() -> None:
        async for event in events(arriving()):
            found.append(json.loads(event.decode("utf-8", "surrogatepass")))

    run(read())
    assert found == texts


def run(coroutine: Any) -> None:
    """Step through a coroutine that waits for nothing: property tests have no event loop."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


@given(st.lists(st.tuples(st.sampled_from(["index", "none", "all first"]), st.integers(1, 5)), min_size=1, max_size=1))
def test_calls_are_told_apart_however_a_server_counts_them(way: list[tuple[str, int]]) -> None:
    (counted, size), heard = way[0], Heard()
    gatherer = ChatGatherer(heard)
    for n in range(3):
        place = {"index": n} if counted == "index" else {} if counted == "none" else {"index": 0}
        first = {**place, "id": f"c{n}", "function": {"name": "count", "arguments": ""}}
        gatherer.add({"choices": [{"delta": {"tool_calls": [first]}}]})
        for piece in pieces(f'{{"n": {n}}}', size):
            gatherer.add({"choices": [{"delta": {"tool_calls": [{**place, "function": {"arguments": piece}}]}}]})
    calls = gatherer.document()["choices"][0]["message"]["tool_calls"]

    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [
        (f"c{n}", f'{{"n": {n}}}') for n in range(3)
    ]


ERRORS = {
    "anthropic": ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded"),
    "google": ({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}, "overloaded"),
    "responses": ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}, "rate_limit"),
    "chat": ({"error": {"message": "The server had an error", "type": "server_error"}}, "server"),
    "openrouter": ({"error": {"code": 502, "message": "Provider returned error"}, "choices": []}, "server"),
    "glm": ({"error": {"code": "1302", "message": "Rate limit reached", "type": "rate_limit_error"}}, "rate_limit"),
}


def begun(format_: str) -> str:
    """The first half of a stream."""
    found = streamed(format_, ANSWERS.get(format_, (plain(format_),))[0]).split("\n\n")
    return "\n\n".join(found[: len(found) // 2]) + "\n\n"


@pytest.mark.parametrize("format_", ERRORS)
async def test_an_error_in_the_middle_is_what_the_server_calls_it_and_may_have_cost_money(
    server: RawServer, format_: str
) -> None:
    event, kind = ERRORS[format_]
    server.answer, server.more_headers = f"{begun(format_)}data: {json.dumps(event)}\n\n", EVENTS
    with pytest.raises(ModelFault) as caught:
        await reply_of(server, format_, Heard())

    assert caught.value.kind == kind
    assert caught.value.maybe_billed
    assert str((event.get("error") or event)["message"]) in str(caught.value)


@pytest.mark.parametrize("format_", ANSWERS)
@pytest.mark.parametrize(
    ("rest", "kind"), [("", "connection"), ('data: {"choices": [\n\n', "malformed"), ("data: 7\n\n", "malformed")]
)
async def test_a_stream_that_comes_to_no_end_is_no_answer(
    server: RawServer, format_: str, rest: str, kind: str
) -> None:
    server.answer, server.more_headers = begun(format_) + rest, EVENTS
    with pytest.raises(ModelFault) as caught:
        await reply_of(server, format_, Heard())

    assert (caught.value.kind, caught.value.maybe_billed) == (kind, True)
    assert isinstance(caught.value, Transient)


@pytest.mark.parametrize("format_", ["chat", "anthropic"])
async def test_an_error_before_any_word_cost_nothing(server: RawServer, format_: str) -> None:
    event, kind = ERRORS[format_]
    server.answer, server.more_headers = f": wait\n\ndata: {json.dumps(event)}\n\n", EVENTS
    with pytest.raises(ModelFault) as caught:
        await reply_of(server, format_, Heard())

    assert (caught.value.kind, caught.value.maybe_billed) == (kind, False)


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8"])
async def test_a_stream_is_known_under_another_name(server: RawServer, kind: str) -> None:
    server.answer, server.more_headers = streamed("chat", plain("chat")), {"content-type": kind}
    assert (await reply_of(server, "chat", Heard())).text == "ok"

    server.answer = "<html>Log in first.</html>"
    with pytest.raises(ModelFault) as caught:
        await reply_of(server, "chat", Heard())
    assert caught.value.kind == "malformed"


async def test_a_server_that_says_all_and_does_not_close_is_not_waited_for(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aurea.models.wires.reader.LAST_S", 0.05)
    said = streamed("chat", answer({"content": "ok"}, usage=USED)).removesuffix("data: [DONE]\n\n")
    server.answer, server.more_headers = said, {**EVENTS, "content-length": "100000"}
    reply = await reply_of(server, "chat", Heard())

    assert (reply.text, reply.usage.output_tokens) == ("ok", 5)


async def test_a_last_piece_that_repeats_the_whole_is_not_said_twice(server: RawServer) -> None:
    message = {"role": "assistant", "content": "So be it."}
    last = {"choices": [{"index": 0, "delta": {}, "message": message, "finish_reason": "stop"}]}
    pieces_ = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("So ", "be it.")]
    server.more_headers = EVENTS
    for events_ in ([*pieces_, last], [last]):
        server.answer = "".join(f"data: {json.dumps(event)}\n\n" for event in events_)
        assert (await reply_of(server, "chat", Heard())).text == "So be it."


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_server_that_answers_at_once_is_asked_once_and_then_for_no_more_streams(
    server: RawServer, format_: str
) -> None:
    server.answer = plain(format_)
    asks: list[Any] = []
    server.seen = lambda: asks.append(server.body.get("stream") or "stream" in server.path)
    wire = wire_of(format_, server, stream=True)
    replies = [await wire.complete(asked(format_)) for _ in range(2)]
    await wire.close()

    assert [reply.text for reply in replies] == ["ok", "ok"]
    assert asks == [True, False]


async def test_a_vendor_that_streams_to_some_accounts_alone_is_asked_again_for_a_plain_answer(
    server: RawServer,
) -> None:
    bodies: list[dict[str, Any]] = []

    def seen() -> None:
        bodies.append(server.body)
        refused = {"error": {"message": "Your organization must be verified to stream this model.", "param": "stream"}}
        server.status = "400 Bad Request" if server.body["stream"] else "200 OK"
        server.answer = refused if server.body["stream"] else plain("chat")

    server.seen = seen
    wire = wire_of("chat", server, stream=True)
    replies = [await wire.complete(asked("chat")) for _ in range(2)]
    await wire.close()

    assert [reply.text for reply in replies] == ["ok", "ok"]
    assert [body["stream"] for body in bodies] == [True, False, False]


async def test_another_refusal_is_not_tried_again(server: RawServer) -> None:
    asks: list[str] = []
    server.seen = lambda: asks.append(server.path)
    server.status, server.answer = "400 Bad Request", {"error": {"message": "temperature is wrong"}}
    with pytest.raises(ModelFault) as caught:
        await reply_of(server, "chat", Heard())

    assert (caught.value.kind, caught.value.maybe_billed, len(asks)) == ("rejected", False, 1)


@pytest.mark.parametrize(
    ("provider", "url", "streams"),
    [
        ("openai", "https://api.openai.com/v1", True),
        ("anthropic", "https://api.anthropic.com", True),
        ("google", "https://generativelanguage.googleapis.com", True),
        ("openai", "http://127.0.0.1:1/v1", False),
        ("anthropic", "https://proxy.example.org", False),
        ("mlx", "http://127.0.0.1:8080/v1", True),
    ],
)
def test_streams_are_asked_of_those_that_are_known_to_give_them(provider: str, url: str, *, streams: bool) -> None:
    for wish, expected in (("auto", streams), (True, True), (False, False)):
        there = Endpoint(PROVIDERS[provider], url, "k")
        wire = wire_of_endpoint(there, wish)
        assert wire.stream is expected


def wire_of_endpoint(there: Endpoint, wish: Any) -> VendorWire:
    from aurea.models.wires import wire_at

    wire = wire_at(there, stream=wish)
    assert isinstance(wire, VendorWire)
    return wire


async def test_every_dropped_stream_is_paid_in_full_and_the_answer_as_it_is(server: RawServer) -> None:
    clock = SimulatedClock()
    book = Book(MemoryEventStore(), clock)
    book.append("run-1", [created()])
    spec = Spec.model_validate(
        {"project": "p", "objective": "o", "checks": [], "unproven": True, "budget_usd": 5, "stream": True}
    )
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{server.url}/v1"}
    whole = streamed("chat", answer({"content": "ok"}, usage=USED))
    tries: list[int] = []

    def seen() -> None:
        tries.append(int(server.headers["x-aurea-try"]))
        server.answer = begun("chat") if tries[-1] < 3 else whole

    server.seen, server.more_headers = seen, EVENTS
    client = build_client(run="run-1", ledger=book, clock=clock, spec=spec, environ=environ)
    assert (await client.complete(asked("chat"))).text == "ok"
    await client.close()
    facts = [event.fact for event in book.events("run-1")]
    held = [fact.usd for fact in facts if isinstance(fact, BudgetReserved)]
    settled = [(fact.in_doubt, fact.usd) for fact in facts if isinstance(fact, BudgetSettled)]
    book.close()

    assert tries == [1, 2, 3]
    assert [doubt for doubt, _ in settled] == [True, True, False]
    assert [usd for _, usd in settled[:2]] == held[:2]
    assert 0 < settled[2][1] < held[2]


async def test_what_a_stream_does_not_count_is_estimated(server: RawServer) -> None:
    server.answer, server.more_headers = streamed("chat", answer({"content": "word " * 200})), EVENTS
    usage = (await reply_of(server, "chat", Heard())).usage

    assert usage.estimated
    assert usage.input_tokens > 0
    assert 100 <= usage.output_tokens <= 500


async def test_a_character_that_comes_in_halves_is_whole(server: RawServer) -> None:
    halves = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("so \ud83d", "\ude00 be it")]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    server.answer = "".join(f"data: {json.dumps(event)}\n\n" for event in [*halves, end])
    server.more_headers = EVENTS

    assert (await reply_of(server, "chat", Heard())).text == "so \U0001f600 be it"


async def test_half_a_character_does_not_lose_an_answer_that_was_paid(server: RawServer) -> None:
    book = Book(MemoryEventStore(), SimulatedClock())
    book.append("run-1", [created()])
    spec = Spec.model_validate({"project": "p", "objective": "o", "checks": [], "unproven": True})
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{server.url}/v1"}
    function = {"name": "write_file", "arguments": '{"path": "a", "content": "\\ud83d, \\ud83d\\ude00"}'}
    server.says({"content": "half \ud83d", "tool_calls": [{"id": "x", "type": "function", "function": function}]})
    client = build_client(run="run-1", ledger=book, clock=SimulatedClock(), spec=spec, environ=environ)
    reply = await client.complete(asked("chat"))
    again = await client.complete(asked("chat"))  # from the journal
    await client.close()
    book.close()

    assert reply == again
    assert (reply.text, reply.calls[0].arguments) == ("half \ufffd", {"path": "a", "content": "\ufffd, \U0001f600"})


@pytest.mark.parametrize(
    "said", ["", 'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 0}}\n\n']
)
async def test_a_stream_without_an_answer_is_none(server: RawServer, said: str) -> None:
    server.answer, server.more_headers = f"{said}data: [DONE]\n\n", EVENTS
    with pytest.raises(ModelFault) as caught:
        await reply_of(server, "chat", Heard())

    assert caught.value.kind == "malformed"
