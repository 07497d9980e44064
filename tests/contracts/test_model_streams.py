"""What becomes of a stream, in every format: it is heard as it comes, dropped, silent, or left by who asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aimock import FORMATS, KEY, STREAMED, named, wire
from aurea.domain.errors import Transient
from aurea.ledger.book import Book
from aurea.models.faults import ModelFault
from aurea.models.hearing import heard_by
from aurea.models.providers import PROVIDERS, Endpoint
from aurea.models.switch import ProviderSwitch
from aurea.models.waiting import Waiting
from aurea.models.wires import Wire, wire_at
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import asking
from aurea.testing.store import MemoryEventStore
from streams import streamed
from wire_formats import plain

pytestmark = pytest.mark.parametrize("format_", FORMATS)
SLOW = "one two three four five six"


class Heard:
    """What was heard, and a moment to wait for: the first words."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.began = asyncio.Event()

    def hear(self, kind: str, text: str) -> None:
        if kind == "text":
            self.words.append(text)
            self.began.set()

    def sign(self) -> None:
        pass


def streaming(format_: str, address: str) -> Wire:
    return wire(format_ if format_ == "ollama" else STREAMED + format_, address)


async def test_an_answer_is_heard_piece_by_piece_as_it_comes(aimock: str, format_: str) -> None:
    client, heard = streaming(format_, aimock), Heard()
    with heard_by(heard):
        call = asyncio.create_task(client.complete(asking("case slow stream", **named(format_))))
        await heard.began.wait()
        assert not call.done()
        reply = await call
    await client.close()

    assert reply.text == "".join(heard.words) == SLOW
    assert len(heard.words) > 3


async def test_a_dropped_stream_is_no_answer_and_may_have_cost_money(aimock: str, format_: str) -> None:
    client, heard = streaming(format_, aimock), Heard()
    with heard_by(heard), pytest.raises(ModelFault) as caught:
        await client.complete(asking("fault dropped", **named(format_)))
    await client.close()

    assert (caught.value.kind, caught.value.maybe_billed) == ("connection", True)
    assert isinstance(caught.value, Transient)
    assert SLOW.startswith("".join(heard.words))


class Stalling:
    """A server that begins to answer and says no more; `left` is set when who asked is gone."""

    def __init__(self, format_: str) -> None:
        self.format = format_
        self.asked = 0
        self.left = asyncio.Event()
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0))
        self.asked += 1
        if self.format == "ollama":
            kind, text = "application/x-ndjson", '{"model": "m", "message": {"content": "So "}, "done": false}\n'
        else:
            kind = "text/event-stream"
            text = "\n\n".join(streamed(self.format, plain(self.format), 1).split("\n\n")[:-3]) + "\n\n"
        data = text.encode()
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        try:
            await reader.read()  # until the other side closes
        except ConnectionError:
            pass
        self.left.set()
        writer.close()

    def wire(self) -> Wire:
        provider, path, _ = FORMATS[self.format]
        return wire_at(Endpoint(PROVIDERS[provider], self.url + path, KEY), stream=True)


@asynccontextmanager
async def stalling(format_: str) -> AsyncIterator[Stalling]:
    server = Stalling(format_)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()


async def test_who_leaves_in_the_middle_closes_the_connection_and_asks_no_second_time(format_: str) -> None:
    async with stalling(format_) as server:
        client, heard = server.wire(), Heard()
        with heard_by(heard):
            call = asyncio.create_task(client.complete(asking(**named(format_))))
            await heard.began.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(10):
            await server.left.wait()  # before the client is closed
        assert server.asked == 1
        await client.close()


async def test_silence_in_the_middle_is_a_timeout_that_may_have_cost_money(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aurea.models.wires.ollama.LOOK_S", 0.3)  # the server is silent about its models, too
    book = Book(MemoryEventStore(), SimulatedClock())
    book.append("run-1", [created()])
    async with stalling(format_) as server:
        client = ProviderSwitch(
            lambda _: server.wire(), lambda _: server.url,
            run="run-1", ledger=book, clock=SimulatedClock(auto=False), waiting=Waiting(),
        )  # fmt: skip
        with pytest.raises(ModelFault) as caught:
            async with asyncio.timeout(30):
                await client.complete(asking(**named(format_), timeout_s=0.3))
        await client.close()
    book.close()

    assert (caught.value.kind, caught.value.maybe_billed) == ("timeout", True)
