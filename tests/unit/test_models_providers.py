"""Which model plays which role, where requests go, and how the client of a run is put together."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from aurea.domain.errors import UsageError
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.cassette import read_cassette
from aurea.models.faults import ModelFault
from aurea.models.providers import check_ready, check_roles, endpoint, fallbacks, is_loopback, model_for
from aurea.models.registry import build_client
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import ScriptedModel, asking, say
from aurea.testing.store import MemoryEventStore


def spec(**more: Any) -> Spec:
    return Spec.model_validate({"project": "notes", "objective": "notes", "checks": [], "unproven": True, **more})


@pytest.mark.parametrize(
    ("role", "named", "wanted"),
    [
        ("planner", None, "anthropic:claude-x"),
        ("coder", None, "ollama:qwen3:8b"),
        ("docs", None, "openai:gpt-5-mini"),
        ("reviewer", "openai:gpt-5", "openai:gpt-5"),
        ("reviewer", "gpt-4o", "openai:gpt-4o"),
        ("reviewer", "ft:gpt-4o:us::1", "openai:ft:gpt-4o:us::1"),
    ],
)
def test_the_model_of_a_role(role: str, named: str | None, wanted: str) -> None:
    roles = {"planner": "anthropic:claude-x", "coder": {"model": "ollama:qwen3:8b", "options": {"num_ctx": 16384}}}
    chosen = model_for(spec(roles=roles), role, provider="openai", model="gpt-5-mini", named=named)

    assert str(chosen) == wanted
    assert chosen.options == ({"num_ctx": 16384} if role == "coder" else {})


def test_the_fallbacks_of_a_role_and_their_options() -> None:
    choice = {
        "model": "gpt-5",
        "fallback": ["gpt-5-mini", "anthropic:claude", "ft:gpt-4o:us::1"],
        "options": {"seed": 7},
    }
    found = fallbacks(spec(roles={"coder": choice}), "coder", provider="openai")

    assert [str(model) for model in found] == ["openai:gpt-5-mini", "anthropic:claude", "openai:ft:gpt-4o:us::1"]
    assert [model.options for model in found] == [{"seed": 7}, {}, {"seed": 7}]
    assert fallbacks(spec(), "coder", provider="openai") == ()


def test_a_fallback_that_cannot_be_used_is_said_before_a_run() -> None:
    roles = {"coder": {"fallback": ["qwen3:8b", "openai:gpt-5"]}}
    with pytest.raises(UsageError, match=r"(?s)roles\.coder\.fallback.*openai.*OPENAI_API_KEY"):
        check_roles(spec(roles=roles), {}, provider="ollama")
    check_roles(spec(roles=roles), {"OPENAI_API_KEY": "k"}, provider="ollama")


def test_a_replay_plays_every_role_and_needs_no_key_of_those_who_answered_then() -> None:
    played = spec(roles={"coder": {"model": "openai:gpt-5", "fallback": ["anthropic:claude"], "options": {"seed": 1}}})
    check_roles(played, {}, provider="replay")
    found = model_for(played, "coder", provider="replay", model="cassette")
    assert (str(found), found.options) == ("replay:gpt-5", {"seed": 1})
    assert str(model_for(played, "reviewer", provider="replay", model="cassette", named="google:pro")) == "replay:pro"
    assert fallbacks(played, "coder", provider="replay") == ()


def test_a_provider_that_cannot_be_used_is_said_before_a_run() -> None:
    check_ready("replay", {})
    check_ready("openai", {"OPENAI_API_KEY": "k"})
    check_ready("openai", {"OPENAI_BASE_URL": "http://localhost:8000/v1"})
    check_ready("anthropic", {"ANTHROPIC_API_KEY": "k"})
    check_ready("google", {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:8000"})
    check_ready("mlx", {})
    for environ in ({}, {"OPENAI_API_KEY": " "}, {"OPENAI_BASE_URL": "https://models.example.org/v1"}):
        with pytest.raises(UsageError, match="OPENAI_API_KEY"):
            check_ready("openai", environ)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"options": {"messages": []}}, "roles.coder.options: options for 'openai' may not set messages"),
        ({"options": {"api": "respnses"}}, "roles.coder.options: provider 'openai' has no api 'respnses'"),
        ({"options": {"api": "responses", "input": "x"}}, "may not set input"),
        ({"model": "anthropic:claude", "options": {"system": "x"}}, "options for 'anthropic' may not set system"),
        ({"model": "glm:glm-4.6", "options": {"api": "responses"}}, "provider 'glm' has no api 'responses'"),
    ],
)
def test_options_that_cannot_be_sent_are_said_before_a_run(choice: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        check_roles(spec(roles={"coder": choice}), {}, provider="openai")
    check_roles(spec(roles={"coder": {"options": {"api": "responses", "temperature": 0}}}), {}, provider="openai")


def test_a_recording_of_responses_can_be_played() -> None:
    check_roles(
        spec(roles={"coder": {"model": "openai:gpt-5", "options": {"api": "responses"}}}), {}, provider="replay"
    )


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:80/v1", True),
        ("http://[::1]:80", True),
        ("http://localhost", True),
        ("127.0.0.1:11434", True),
        ("http://127.0.0.1.example.org", False),
        ("https://api.openai.com/v1", False),
        ("http://10.0.0.1", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, local: bool) -> None:
    assert is_loopback(url) == local


def test_an_endpoint_shows_neither_key_nor_password() -> None:
    place = endpoint("openai", {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": "http://me:word@h:1/v1?key=x"})

    assert place.shown == "http://h:1/v1"
    assert "sk-secret" not in repr(place)


class Home:
    """A ledger with one run."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.book = Book(MemoryEventStore(), self.clock)
        self.book.append("run-1", [created()])


async def test_the_client_of_a_run_journals_pays_and_records(tmp_path: Path) -> None:
    home, model = Home(), ScriptedModel(say("one"))
    made: list[str] = []

    def make(provider: str) -> ScriptedModel:
        made.append(provider)
        return model

    client = build_client(
        run="run-1", ledger=home.book, clock=home.clock, spec=spec(), environ={}, record=tmp_path / "c.yaml", make=make
    )
    first, again = [await client.complete(asking()) for _ in range(2)]
    await client.close()

    assert first == again
    assert len(model.requests) == 1
    assert made == ["openai"]
    assert model.closed
    assert [e.type for e in home.book.events("run-1")][1:] == [
        "model.asked",
        "budget.reserved",
        "budget.settled",
        "model.answered",
    ]
    assert len(read_cassette(tmp_path / "c.yaml").answers) == 1
    home.book.close()


async def test_each_provider_is_made_once_for_all_calls() -> None:
    home, made = Home(), []

    def make(provider: str) -> ScriptedModel:
        made.append(provider)
        return ScriptedModel(*[say("x")] * 9)

    client = build_client(run="run-1", ledger=home.book, clock=home.clock, spec=spec(), environ={}, make=make)
    models = ("openai:gpt-5-mini", "replay:cassette", "openai:gpt-5-mini")
    await asyncio.gather(*(client.complete(asking(step=n, model=name)) for n, name in enumerate(models, 1)))
    await client.close()

    assert sorted(made) == ["openai", "replay"]
    home.book.close()


async def test_a_call_that_takes_too_long_is_given_up_and_tried_again() -> None:
    home, tries = Home(), []

    class Slow:
        async def complete(self, request: ModelRequest) -> ModelReply:
            tries.append(request.try_number)
            await asyncio.sleep(60)
            raise AssertionError

        async def close(self) -> None:
            pass

    client = build_client(
        run="run-1", ledger=home.book, clock=home.clock, spec=spec(), environ={}, make=lambda _: Slow()
    )
    with pytest.raises(ModelFault, match=r"at https://api.openai.com/v1 .*0.01 s are over") as caught:
        await client.complete(asking(timeout_s=0.01))

    assert (caught.value.kind, tries) == ("timeout", [1, 2, 3])
    home.book.close()


def test_replay_needs_a_readable_cassette(tmp_path: Path) -> None:
    home = Home()
    with pytest.raises(UsageError, match="cannot be read"):
        build_client(
            run="run-1",
            ledger=home.book,
            clock=home.clock,
            spec=spec(provider="replay", cassette=str(tmp_path / "no.yaml")),
            environ={},
        )
    home.book.close()
