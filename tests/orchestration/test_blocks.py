"""The blocks as the UI makes them, a run that works with them, and what is said where one of them is not as it should be."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from pydantic import SecretStr, ValidationError

from aurea.domain.errors import UsageError
from aurea.domain.events import Draft, QuestionAnswered
from aurea.domain.spec import BlockNames, Spec
from aurea.home import Home
from aurea.intake.resolve import Stored
from aurea.reporting.document import run_document
from aurea.settings import Settings
from blocks import AureaLedger, AureaNotification, AureaPolicy, AureaProvider, AureaWorkspace
from blocks.stored import stored
from surfaces.server.kept import kept_on_server

KINDS = tuple(BlockNames.model_fields)
NAMES = "blocks: {{ledger: {0}, policy: {0}, notification: {0}}}"
SPEC = """
project: Tiny_Thing
objective: a file
cassette: cassette.yaml
provider: replay
reviewers: []
concurrency: 2
blocks: {{ledger: {0}, policy: {0}, notification: {0}}}
checks: [{{name: there, run: [sh, -c, "pwd >> {1}; test -f made.txt"]}}]
items: [{{id: make, goal: make the file, criteria: [it is there]}}]
"""
CASSETTE = """
schema: aurea.cassette/1
---
{item: make, role: coder, conversation: coder, step: 1, calls: [
  {name: write_file, arguments: {path: made.txt, content: made}},
  {name: submit_report, arguments: {summary: made, approach: wrote it}}]}
"""


@pytest.fixture(scope="module")
def registered(prefect_home: Path) -> None:
    """The block types as their command makes them known."""
    prefect = Path(sys.executable).with_name("prefect")
    words = [prefect, "block", "register", "--module", "blocks"]
    done = subprocess.run(words, env=dict(os.environ), cwd="/", text=True, capture_output=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"Aurea {kind}" in done.stdout for kind in KINDS), done.stdout


async def create(client: PrefectClient, kind: str, name: str, data: dict[str, Any]) -> None:
    """Save a block as the form of the UI does: with requests, and without any of its code."""
    kind_of = (await client.request("GET", f"/block_types/slug/aurea-{kind}")).json()
    wanted = {"block_schemas": {"block_type_id": {"any_": [kind_of["id"]]}}}
    schema = (await client.request("POST", "/block_schemas/filter", json=wanted)).json()[0]
    body = {"name": name, "data": data, "block_schema_id": schema["id"], "block_type_id": kind_of["id"]}
    assert (await client.request("POST", "/block_documents/", json=body)).status_code == 201


@pytest.mark.timeout(300)
async def test_a_run_works_with_blocks(
    registered: None,
    client: PrefectClient,
    tmp_path: Path,
    heard: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.deliver import deliver

    (address, told), name, run = heard, f"t-{uuid4().hex[:8]}", f"blocks-{uuid4().hex[:8]}"
    ledger = f"sqlite:///{tmp_path / 'team.db'}"
    await create(client, "workspace", name, {"folder": str(tmp_path / "fast"), "network": "open"})
    await create(client, "ledger", name, {"url": ledger})
    await create(client, "notification", name, {"webhook": address, "ends": ["succeeded"]})
    policy = {
        "budget_usd": "1.5",
        "budgets": {"item_usd": 0.5, "roles": {"coder": 1.0}},
        "timeout_s": "",
        "approvals": ["plan"],
        "concurrency": 7,
        "max_attempts": 2,
        "answer_within_s": 9000,
    }
    await create(client, "policy", name, policy)
    for kind, key, secret in (("ledger", "url", ledger), ("notification", "webhook", address)):
        shown = await client.read_block_document_by_name(name, f"aurea-{kind}", include_secrets=False)
        assert shown.data[key] != secret

    (tmp_path / "cassette.yaml").write_text(CASSETTE)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(name, tmp_path / "where"))
    for variable in ("AUREA_LEDGER_URL", "AUREA_WORKSPACES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AUREA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AUREA_QUALITY_WAIT_S", "0")
    here = Settings.read({**os.environ, "AUREA_LEDGER_URL": ledger})

    state = await deliver(str(spec), run, overrides={"blocks.workspace": name}, return_state=True)
    assert state.type is StateType.PAUSED, state.message
    with Home(here) as home:
        document = run_document(home.state(run), alive=False, folder=tmp_path, now=home.clock.now())
        assert document["budget"]["limit_usd"] == 1.5
        chosen = Spec.model_validate(home.state(run).created.spec)  # type: ignore[union-attr]
        assert (chosen.budgets.item_usd, chosen.budgets.roles) == (0.5, {"coder": 1.0})
        assert (chosen.concurrency, chosen.max_attempts, chosen.network) == (2, 2, "open")
        [question] = document["questions"]
        [asked] = [json.loads(text) for text in told]
        assert (asked["type"], asked["title"]) == ("question.asked", question["title"])
        assert asked["question"]["choices"] == ["approve", "revise", "stop"]
        assert asked["question"]["ui_url"] == question["ui_url"] != None  # noqa: E711
        assert question["title"] in asked["text"] and question["ui_url"] in asked["text"]
        answer = QuestionAnswered(question=question["question"], choice="approve", door="cli")
        await home.ledger.record(run, [Draft(fact=answer, actor="tester")])

    spec.unlink()  # which blocks there were is recorded with the run
    state = await deliver(str(spec), run, return_state=True)
    assert state.type is StateType.COMPLETED, state.message
    assert [json.loads(text)["type"] for text in told] == ["question.asked", "run.ended"]
    assert "1 of 1 items landed" in told[-1]
    places = (tmp_path / "where").read_text().split()
    assert places and all(Path(place).is_relative_to(tmp_path / "fast") for place in places)
    assert not (tmp_path / "home" / "ledger.db").exists()


async def test_any_notification_block_will_do(heard: tuple[str, list[str]]) -> None:
    address, told = heard
    name = f"t-{uuid4().hex[:8]}"
    other = CustomWebhookNotificationBlock(name="x", url=address, json_data={"said": "{{subject}}: {{body}}"})
    await other.save(name)
    await asyncio.to_thread(AureaNotification(through=f"custom-webhook/{name}").send, "notes", "why", {})
    assert json.loads(told[0]) == {"said": "notes: why"}


def test_a_notification_that_hangs_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from flows.deliver import deliver

    name, run, spec = f"t-{uuid4().hex[:8]}", f"hangs-{uuid4().hex[:8]}", tmp_path / "spec.yaml"
    (tmp_path / "cassette.yaml").write_text(CASSETTE)
    spec.write_text(
        SPEC.format("x", tmp_path / "where").replace(NAMES.format("x"), f"blocks: {{notification: {name}}}")
    )
    monkeypatch.setenv("AUREA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AUREA_WORKSPACES", str(tmp_path / "fast"))
    monkeypatch.setenv("AUREA_QUALITY_WAIT_S", "0")
    monkeypatch.setattr("tasks.notices.SEND_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never says a word
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        CustomWebhookNotificationBlock(name="x", url=address, json_data={"said": "{{body}}"}, timeout=600).save(name)
        AureaNotification(through=f"custom-webhook/{name}").save(name)

        async def asks_and_ends() -> None:
            state = await deliver(str(spec), run, overrides={"approvals": ["plan"]}, return_state=True)
            assert state.type is StateType.PAUSED, state.message
            with Home(Settings.read()) as home:
                [question] = home.state(run).questions
                answer = QuestionAnswered(question=question, choice="approve", door="cli")
                await home.ledger.record(run, [Draft(fact=answer, actor="tester")])
            state = await deliver(str(spec), run, return_state=True)
            assert state.type is StateType.COMPLETED, state.message

        asyncio.run(asks_and_ends())  # which waits for the threads of the loop as well, and never ends where one hangs
    told = [" ".join(record.getMessage().split()) for record in caplog.records]
    assert [line for line in told if line.startswith("run not notified of question.asked")]
    assert "run not notified of run.ended (the run succeeded): no answer in time" in told


async def test_what_could_not_be_sent_keeps_the_address_to_itself() -> None:
    block = AureaNotification(webhook=SecretStr("http://127.0.0.1:9/secret"))
    with pytest.raises(RuntimeError) as raised:
        await asyncio.to_thread(block.send, "a", "b", {})
    assert "secret" not in str(raised.value)
    with pytest.raises(ValidationError, match="one of the two"):
        AureaNotification()


async def test_a_named_block_has_to_be_there_and_sound(registered: None, client: PrefectClient) -> None:
    assert await stored(BlockNames()) == Stored()
    with pytest.raises(UsageError, match="there is no block aurea-ledger/nobody-saved-this on the Prefect server http"):
        await stored(BlockNames(ledger="nobody-saved-this"))
    with pytest.raises(UsageError, match="there is no block aurea-notification/nobody"):
        await stored(BlockNames(notification="nobody"))
    await create(client, "policy", "unsound", {"concurrency": "many"})
    with pytest.raises(UsageError, match="aurea-policy/unsound cannot be used: concurrency: "):
        await stored(BlockNames(policy="unsound"))


async def test_a_provider_comes_with_its_key(registered: None, client: PrefectClient) -> None:
    name = f"t-{uuid4().hex[:8]}"
    await create(
        client, "provider", name, {"provider": "openai", "model": "", "key": "sk-1", "base_url": "http://x/v1"}
    )
    kept = await stored(BlockNames(provider=name))
    assert kept.defaults == {f"aurea-provider/{name}": {"provider": "openai"}}
    settings = Settings.read({"OPENAI_BASE_URL": "http://mine/v1"}).behind(kept.variables)
    assert (settings.vendor("openai").key, settings.vendor("openai").base_url) == ("sk-1", "http://mine/v1")
    assert "sk-1" not in repr(kept)


def test_a_command_reads_them_too(registered: None, tmp_path: Path) -> None:
    name, said = f"t-{uuid4().hex[:8]}", list[str]()
    AureaPolicy(max_attempts=2).save(name)
    AureaWorkspace(folder="/fast", network="open").save(name)
    AureaLedger(url=SecretStr("sqlite://")).save(name)
    callers = {name: value for name, value in os.environ.items() if not name.startswith("AUREA_")}
    here = Settings.read({**callers, "AUREA_HOME": str(tmp_path / "home")})
    kept = kept_on_server(here, tmp_path, BlockNames(policy=name, workspace=name), said.append)
    assert kept.defaults == {
        f"aurea-policy/{name}": {"max_attempts": 2},
        f"aurea-workspace/{name}": {"network": "open"},
    }
    assert (kept.variables, len(said)) == ({}, 1)
    with pytest.raises(UsageError, match="only deployed runs"):
        kept_on_server(here, tmp_path, BlockNames(ledger=name), said.append)
    nothing = Settings.read({"HOME": str(tmp_path), "AUREA_HOME": str(tmp_path / "home")})
    assert kept_on_server(nothing, tmp_path, BlockNames(), said.append) == Stored()
    assert not (tmp_path / "home").exists(), "a home that has no server yet gets none for this"


def test_a_policy_knows_keys_of_the_spec_only() -> None:
    assert set(AureaPolicy.model_fields) <= set(Spec.model_fields)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (AureaProvider(provider="ollama", key=SecretStr("x")), "takes no key"),
        (AureaProvider(provider="openrouter", base_url="http://x"), "takes no base_url"),
    ],
)
def test_what_a_provider_cannot_take_is_refused(block: AureaProvider, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        block.variables()


def test_a_provider_may_bring_its_limits() -> None:
    block = AureaProvider(provider="openai", requests_per_minute=60, concurrency=4)
    assert block.defaults() == {
        "provider": "openai",
        "limits": {"openai": {"requests_per_minute": 60, "concurrency": 4}},
    }
    assert AureaProvider(provider="openai").defaults() == {"provider": "openai"}
