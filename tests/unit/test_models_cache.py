"""The cache across runs: the same question to the same server has its earlier answer, and nothing else has."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurea.domain.messages import (
    AssistantMessage,
    ModelReply,
    ModelRequest,
    SystemMessage,
    ToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
)
from aurea.models.cache import CacheClient, pinned
from aurea.models.kept import find_surplus
from aurea.testing.models import asking, call, say

PINNED = {"temperature": 0}
TOOL = ToolSpec(name="read_file", description="reads", parameters={"type": "object"})


class Counting:
    """A model that answers with the number of the call."""

    def __init__(self, **more: Any) -> None:
        self.asked = 0
        self.more = more

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.asked += 1
        return say(f"answer {self.asked}", usage=Usage(input_tokens=7, output_tokens=3)).model_copy(update=self.more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def client(model: Counting, folder: Path, address: str | None = "http://127.0.0.1:1/v1") -> CacheClient:
    return CacheClient(model, folder=folder, address=lambda _: address)


async def test_the_same_question_of_another_run_has_the_earlier_answer(folder: Path) -> None:
    first, second = Counting(), Counting()
    new = await client(first, folder).complete(asking(options=PINNED, item="storage"))
    kept = await client(second, folder).complete(asking(options=PINNED, item="other", attempt=3, step=9))

    assert (first.asked, second.asked) == (1, 0)
    assert (new.text, kept.text) == ("answer 1", "answer 1")
    assert (new.cached, kept.cached) == (False, True)
    assert (new.usage.input_tokens, kept.usage) == (7, Usage())


@pytest.mark.parametrize(
    "change",
    [
        {"model": "openai:gpt-5"},
        {"model": "openrouter:gpt-5-mini"},
        {"options": {"temperature": 0, "top_p": 0.5}},
        {"options": {"seed": 1}},
        {"text": "Go on!"},
        {"messages": (UserMessage(text="Go on."), UserMessage(text="Go on."))},
        {"tools": (TOOL,)},
        {"max_output_tokens": 99},
    ],
)
async def test_any_difference_in_what_is_asked_asks_anew(folder: Path, change: dict[str, Any]) -> None:
    model = Counting()
    cache = client(model, folder)
    await cache.complete(asking(**({"options": PINNED} | change)))
    await cache.complete(asking(options=PINNED))
    assert model.asked == 2


async def test_another_address_is_asked_anew(folder: Path) -> None:
    model = Counting()
    for address in ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"):
        await client(model, folder, address).complete(asking(options=PINNED))
    assert model.asked == 2


SMALL = st.sampled_from(["", "a", "b", "a b", "ab"])
MESSAGES = st.lists(
    st.builds(SystemMessage, text=SMALL)
    | st.builds(UserMessage, text=SMALL)
    | st.builds(ToolMessage, call=SMALL, name=SMALL, text=SMALL)
    | st.builds(
        AssistantMessage,
        text=SMALL,
        calls=st.lists(st.builds(ToolCall, id=SMALL, name=SMALL, arguments=st.dictionaries(SMALL, SMALL, max_size=1)),
                       max_size=2).map(tuple),
    ),
    min_size=1, max_size=3,
)  # fmt: skip
ASKED = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["openai:m", "openai:n", "glm:m"]),
        "options": st.sampled_from([{"seed": 1}, {"seed": 2}, {"temperature": 0}, {"temperature": 0, "top_p": 1}]),
        "messages": MESSAGES.map(tuple),
        "tools": st.lists(st.builds(ToolSpec, name=SMALL, description=SMALL, parameters=st.just({})), max_size=2).map(
            tuple
        ),
        "max_output_tokens": st.sampled_from([1, 2]),
    }
)
PLACE = st.fixed_dictionaries(
    {
        "item": st.sampled_from([None, "a", "b"]),
        "attempt": st.integers(1, 2),
        "conversation": st.sampled_from(["coder", "reviewer-1"]),
        "step": st.integers(1, 2),
    }
)


@settings(max_examples=300)
@given(asked=st.tuples(ASKED, ASKED), places=st.tuples(PLACE, PLACE), addresses=st.tuples(SMALL, SMALL))
async def test_two_runs_share_an_answer_exactly_where_they_ask_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    asked: tuple[dict[str, Any], dict[str, Any]],
    places: tuple[dict[str, Any], dict[str, Any]],
    addresses: tuple[str, str],
) -> None:
    folder, model = tmp_path_factory.mktemp("cache"), Counting()
    for run, (question, place, address) in enumerate(zip(asked, places, addresses, strict=True)):
        request = asking(**question, **place)
        request = request.model_copy(update={"address": request.address.model_copy(update={"run": f"run-{run}"})})
        await client(model, folder, f"http://{address}").complete(request)
    same = asked[0] == asked[1] and addresses[0] == addresses[1]
    assert model.asked == (1 if same else 2)


@pytest.mark.parametrize(
    ("options", "is_pinned"),
    [
        ({}, False),
        ({"temperature": 0.0}, True),
        ({"temperature": 0.2}, False),
        ({"temperature": False}, False),
        ({"temperature": None}, False),
        ({"seed": 0}, True),
        ({"temperature": 1, "seed": 4}, True),
    ],
)
async def test_only_pinned_answers_are_kept(folder: Path, options: dict[str, Any], is_pinned: bool) -> None:
    model = Counting()
    cache = client(model, folder)
    for _ in range(2):
        await cache.complete(asking(options=options))
    assert pinned(asking(options=options)) == is_pinned
    assert model.asked == (1 if is_pinned else 2)


async def test_replays_and_answers_without_their_own_end_are_not_kept(folder: Path) -> None:
    replay, cut = Counting(), Counting(finish="length")
    for _ in range(2):
        await client(replay, folder, address=None).complete(asking(options=PINNED))
        await client(cut, folder).complete(asking(options=PINNED))
    assert (replay.asked, cut.asked) == (2, 2)
    assert not folder.exists()


async def test_a_damaged_file_is_no_answer(folder: Path) -> None:
    model = Counting()
    cache = client(model, folder)
    await cache.complete(asking(options=PINNED))
    (file,) = folder.glob("*/*.json")
    file.write_text(file.read_text()[:20])
    await cache.complete(asking(options=PINNED))
    assert (await cache.complete(asking(options=PINNED))).text == "answer 2"
    assert model.asked == 2


async def test_tool_calls_are_kept_whole(folder: Path) -> None:
    class Calling(Counting):
        async def complete(self, request: ModelRequest) -> ModelReply:
            reply = call("write_file", path="a", content="x\n")
            named = tuple(one.model_copy(update={"id": "call-1"}) for one in reply.calls)
            return reply.model_copy(update={"calls": named})

    new = await client(Calling(), folder).complete(asking(options=PINNED))
    kept = await client(Counting(), folder).complete(asking(options=PINNED))
    assert kept.calls == new.calls


async def test_a_folder_that_cannot_be_written_loses_no_answer(folder: Path) -> None:
    folder.write_text("a file")
    assert (await client(Counting(), folder).complete(asking(options=PINNED))).text == "answer 1"


def test_what_nobody_used_for_long_goes_and_then_the_oldest_of_what_is_too_much(folder: Path) -> None:
    now, day = 1e9, 86_400
    for name, age in {"a/new": 0, "a/used": 1, "b/older": 2, "b/old": 40}.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (now - age * day, now - age * day))

    def surplus(**bounds: Any) -> list[str]:
        return sorted(path.stem for path in find_surplus(folder, now, **bounds))

    assert surplus() == ["old"]
    assert surplus(most=250) == ["old", "older"]
    assert surplus(unused=timedelta(days=1.5)) == ["old", "older"]
    assert surplus(unused=timedelta(0)) == ["old", "older", "used"]
    assert find_surplus(folder / "none", now) == []


async def test_an_answer_that_is_used_stays(folder: Path) -> None:
    cache = client(Counting(), folder)
    await cache.complete(asking(options=PINNED))
    (file,) = folder.glob("*/*.json")
    os.utime(file, (0, 0))
    await cache.complete(asking(options=PINNED))
    assert file.stat().st_mtime > 1e9
