"""What a model call and a tool call cost in CPU: Aurea against the bare SDK and against pydantic-ai alone.

The same conversations are held with a local server in a process of its own, which answers at once: the model
writes files, one or several of them at each turn, and is done. All run by the same SDK. Measured is the CPU time of this
process. A tool call costs the slope between two conversations, which includes that every later request carries it; a
model call is what remains. Run it as

    .venv/bin/python tests/benchmarks/model_overhead.py [--turns 20] [--calls 5] [--rounds 5] [--stream]

With `--stream` all answers come as server-sent events, a few characters each, and the bare SDK and pydantic-ai stream.

`aurea, the wire` is a wire of Aurea alone; `aurea` is everything: the loop with its tools, limits and transcript, the
journal in an SQLite ledger, prices and budget, tries, and the same wire.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MODEL = "gpt-5-mini"
WRITE = "Write a file of the workspace."
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
}
Talk = Callable[[int, int], Awaitable[None]]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--turns", type=int, default=20, help="model calls with tool calls in a conversation")
    words.add_argument("--calls", type=int, default=5, help="tool calls at each turn of the larger conversation")
    words.add_argument("--rounds", type=int, default=5, help="how often each is measured; the least counts")
    words.add_argument("--stream", action="store_true", help="ask for streams")
    chosen = words.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory(prefix="aurea-bench-") as folder:
            asyncio.run(measure(f"http://127.0.0.1:{here.recv()}/v1", Path(folder), chosen))
    finally:
        server.terminate()
        server.join()


async def measure(url: str, folder: Path, chosen: argparse.Namespace) -> None:
    """Measure each of the ways, and print figures and ratios."""
    files = folder / "files"
    files.mkdir()
    ways: dict[str, Talk] = {
        "bare SDK": bare(url, files, stream=chosen.stream),
        "pydantic-ai": framework(url, files, stream=chosen.stream),
        "aurea, the wire": wire_alone(url, files, stream=chosen.stream),
        "aurea": whole(url, folder, stream=chosen.stream),
    }
    figures = {name: await figures_of(talk, chosen) for name, talk in ways.items()}
    base = figures["bare SDK"]
    way = "streamed" if chosen.stream else "plain"
    print(
        f"CPU ms, {way}, {chosen.turns} turns with 1 and with {chosen.calls} tool calls, least of {chosen.rounds} rounds"
    )
    print(f"{'':16} {'model call':>10} {'ratio':>6} {'tool call':>10} {'ratio':>6}")
    for name, (model, tool) in figures.items():
        print(f"{name:16} {model:10.2f} {model / base[0]:6.1f} {tool:10.3f} {tool / base[1]:6.1f}")


async def figures_of(talk: Talk, chosen: argparse.Namespace) -> tuple[float, float]:
    """Milliseconds of CPU for one model call without its tool calls, and for one tool call."""
    await talk(2, chosen.calls)  # imports and connections
    few, many = [], []
    for _ in range(chosen.rounds):
        few.append(await cpu(talk, chosen.turns, 1))
        many.append(await cpu(talk, chosen.turns, chosen.calls))
    tool = (min(many) - min(few)) / (chosen.turns * (chosen.calls - 1))
    return (min(few) - chosen.turns * tool) / (chosen.turns + 1) * 1000, tool * 1000


async def cpu(talk: Talk, turns: int, calls: int) -> float:
    began = time.process_time()
    await talk(turns, calls)
    return time.process_time() - began


def bare(url: str, files: Path, *, stream: bool) -> Talk:
    """The loop that everybody writes first."""
    import openai

    client = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0)
    tools: Any = [{"type": "function", "function": {"name": "write_file", "description": WRITE, "parameters": SCHEMA}}]

    async def ask(messages: list[Any]) -> dict[str, Any]:
        if not stream:
            done = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
            return done.choices[0].message.model_dump(exclude_none=True)
        said: dict[str, Any] = {"role": "assistant", "content": ""}
        pieces = await client.chat.completions.create(
            model=MODEL, messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
        )
        async for piece in pieces:
            for choice in piece.choices:
                said["content"] += choice.delta.content or ""
                for part in choice.delta.tool_calls or ():
                    known = said.setdefault("tool_calls", [])
                    if part.index == len(known):
                        known.append({"id": part.id, "type": "function", "function": {"name": "", "arguments": ""}})
                    known[part.index]["function"]["name"] += part.function.name or ""
                    known[part.index]["function"]["arguments"] += part.function.arguments or ""
        return said

    async def talk(turns: int, calls: int) -> None:
        messages: list[Any] = [
            {"role": "system", "content": "You write."},
            {"role": "user", "content": task(turns, calls)},
        ]
        while True:
            said = await ask(messages)
            messages.append(said)
            if not said.get("tool_calls"):
                return
            for call in said["tool_calls"]:
                said_so = write(files, **json.loads(call["function"]["arguments"]))
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": said_so})

    return talk


def framework(url: str, files: Path, *, stream: bool) -> Talk:
    """pydantic-ai's agent with one tool."""
    import openai
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.usage import UsageLimits

    client = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0)
    agent = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client)), system_prompt="You write.")

    @agent.tool_plain(description=WRITE)
    async def write_file(path: str, content: str) -> str:
        return write(files, path, content)

    async def listen(_: Any, events: Any) -> None:
        async for _ in events:
            pass

    async def talk(turns: int, calls: int) -> None:
        handler = listen if stream else None
        await agent.run(task(turns, calls), usage_limits=UsageLimits(request_limit=None), event_stream_handler=handler)

    return talk


def wire_alone(url: str, files: Path, *, stream: bool) -> Talk:
    """Our messages through our wire, in a loop as plain as the first."""
    from aurea.domain.messages import Message, SystemMessage, ToolMessage, ToolSpec, UserMessage
    from aurea.models.wires import open_wire
    from aurea.testing.models import asking

    wire = open_wire("openai", {"OPENAI_BASE_URL": url}, stream=stream)
    tools = (ToolSpec(name="write_file", description=WRITE, parameters=SCHEMA),)

    async def talk(turns: int, calls: int) -> None:
        messages: list[Message] = [SystemMessage(text="You write."), UserMessage(text=task(turns, calls))]
        while True:
            reply = await wire.complete(asking(messages=tuple(messages), tools=tools))
            messages.append(reply.message)
            if not any(call.name == "write_file" for call in reply.calls):
                return
            for call in reply.calls:
                assert isinstance(call.arguments, dict)
                messages.append(ToolMessage(call=call.id, name=call.name, text=write(files, **call.arguments)))

    return talk


def whole(url: str, folder: Path, *, stream: bool) -> Talk:
    """A coder's conversation as a run has it."""
    from aurea.adapters.clock import SystemClock
    from aurea.adapters.sql import SqlEventStore
    from aurea.agents.engine import LoopEngine
    from aurea.domain.messages import ModelRef
    from aurea.domain.spec import Spec
    from aurea.ledger.book import Book
    from aurea.models.registry import build_client
    from aurea.ports import Assignment
    from aurea.testing.agents import FolderWorkspace
    from aurea.testing.commands import ScriptedRunner
    from aurea.testing.drafts import ITEM, created, planned, started

    clock = SystemClock()
    book = Book(SqlEventStore(f"sqlite:///{folder / 'ledger.db'}"), clock)
    spec = Spec.model_validate(
        {"project": "b", "objective": "b", "checks": [], "unproven": True, "budget_usd": 1000, "stream": stream}
    )
    talks = 0

    async def talk(turns: int, calls: int) -> None:
        nonlocal talks
        talks += 1
        run = f"run-{talks}"
        workspace = FolderWorkspace(folder / f"workspace-{talks}")  # what is there already would have to be read first
        book.append(run, [created(), planned(), started()])
        client = build_client(run=run, ledger=book, clock=clock, spec=spec, environ={"OPENAI_BASE_URL": url})
        engine = LoopEngine(
            run=run, ledger=book, client=client, commands=ScriptedRunner(lambda _: None), clock=clock,
            model_for=lambda role, named: ModelRef(provider="openai", name=MODEL), folder=folder / run,
            max_turns=turns + 2, max_tool_calls=turns * calls + 1,
        )  # fmt: skip
        assignment = Assignment(
            item=ITEM, attempt=1, role="coder", conversation="coder", system="You write.", task=task(turns, calls),
            timeout_s=600.0, workspace=workspace, env={},
        )  # fmt: skip
        outcome = await engine.run(assignment)
        assert outcome.ended == "result", outcome
        await client.close()

    return talk


def write(files: Path, path: str, content: str) -> str:
    (files / path).write_text(content)
    return f"wrote {path}"


def task(turns: int, calls: int) -> str:
    return f"turns={turns} calls={calls}"


def serve(out: Connection) -> None:
    """A model server: writes further files until it has written enough, then is done."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                said = answer(body, ours="x-aurea-role" in head)
                data = (events(said) if body.get("stream") else json.dumps(said)).encode()
                kind = "text/event-stream" if body.get("stream") else "application/json"
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n".encode())
                writer.write(b"content-length: %d\r\n\r\n" % len(data) + data)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=2**24)
        out.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())


def answer(body: dict[str, Any], *, ours: bool) -> dict[str, Any]:
    said = next(message["content"] for message in body["messages"] if message["role"] == "user")
    turns, calls = (int(word.partition("=")[2]) for word in said.split())
    done = sum(message["role"] == "tool" for message in body["messages"])
    wanted: list[tuple[str, Any]] = [
        ("write_file", {"path": f"{n}.txt", "content": f"line of file {n}\n" * 10}) for n in range(done, done + calls)
    ]
    if done >= turns * calls:
        wanted = [("submit_report", {"summary": "written", "approach": "one by one"})] if ours else []
    message = {
        "role": "assistant",
        "content": None if wanted else "done",
        "tool_calls": [
            {"id": f"c{done + n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for n, (name, arguments) in enumerate(wanted)
        ]
        or None,
    }
    usage = {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if wanted else "stop"}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": usage}


def events(said: dict[str, Any], size: int = 6) -> str:
    """The same answer as a stream, about two tokens in each event."""
    message, about = said["choices"][0]["message"], {name: said[name] for name in ("id", "created", "model")}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": message["content"] or ""}]
    for index, call in enumerate(message["tool_calls"] or ()):
        function, text = call["function"], call["function"]["arguments"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for at in range(0, len(text), size):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": text[at : at + size]}}]})
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    finish = said["choices"][0]["finish_reason"]
    chunks += [
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": said["usage"]},
    ]
    whole = [json.dumps({**about, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
    return "".join(f"data: {chunk}\n\n" for chunk in [*whole, "[DONE]"])


if __name__ == "__main__":
    main()
