"""Runs with their ledger on each database: the same events, several at once, rows that were edited or deleted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from aurea.adapters.sql.dialects import open_engine
from aurea.bootstrap import create_run, take_up
from aurea.delivery.conduct import conduct
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.ledger.verify import verify
from aurea.settings import Settings
from aurea.testing.line import plain_phases

APPROVE = ("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "good"})
REPORT = ("submit_report", {"summary": "done", "approach": "the simple one"})


def agents(asked: Any) -> list[tuple[str, dict[str, Any]]]:
    """Item `b` fails its check once; everything else is right at once."""
    if asked.conversation.startswith("reviewer"):
        return [APPROVE]
    if asked.step > 1:
        return [REPORT]
    text = "broken" if (asked.item, asked.attempt) == ("b", 1) else "good"
    return [("write_file", {"path": f"{asked.item}.txt", "content": f"{text}\n"})]


def spec_of(repo: Path) -> dict[str, Any]:
    items = [{"id": name, "goal": f"write {name}", "criteria": [f"{name} is there"]} for name in "ab"]
    items[1]["depends_on"] = ["a"]  # type: ignore[assignment]
    checks = [{"name": "good", "run": ["sh", "-c", "! grep -q broken *.txt"]}]
    spec = {"project": "calc", "objective": "two files", "provider": "openai", "model": "local", "repo": str(repo)}
    return {**spec, "items": items, "checks": checks, "concurrency": 1}


@pytest.fixture
def home_on(tmp_path: Path, models: Any) -> Callable[[str, str], Home]:
    """Opens a home of its own whose ledger is at a URL."""

    def make(name: str, url: str) -> Home:
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AUREA_HOME": str(tmp_path / name)}
        env |= {"AUREA_WORKSPACES": str(tmp_path / "ws"), "AUREA_LEDGER_URL": url, "AUREA_QUALITY_WAIT_S": "0"}
        return Home(Settings.read(env | {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url}))

    return make


async def deliver(home: Home, repo: Path, run: str) -> str:
    """One run in this process, without Prefect; returns how it ended."""
    if run not in home.ledger.runs():
        resolved = resolve(spec_of(repo), Flags(), cwd=repo, settings=home.settings)
        await create_run(home, resolved, run, say=lambda line: None)
    async with take_up(home, run) as live:
        return (await conduct(live, plain_phases(live))).state


async def test_the_same_run_leaves_the_same_events_on_every_database(
    home_on: Any, models: Any, repo: Path, new_database: Any, tmp_path: Path
) -> None:
    models.script = agents
    told = {}
    for number, kind in enumerate(("sqlite", "postgresql", "mysql")):
        url = f"sqlite:///{tmp_path}/ledger.db" if kind == "sqlite" else new_database(kind)
        with home_on(f"home-{number}", url) as home:
            assert await deliver(home, repo, f"run-{number}") == "succeeded"
            rows = list(home.store.rows(f"run-{number}"))
            assert verify(home.store, home.settings.home).problems == ()
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) > 43
        # The precheck runs beside the checks: its end may come before theirs or after.
        besides = [row for row in rows if row.type == "precheck.ended"]
        rest = [row for row in rows if row.type != "precheck.ended"]
        told[kind] = [(row.type, row.item, row.attempt, row.actor, lasting(row.payload)) for row in (*rest, *besides)]
    assert told["sqlite"] == told["postgresql"] == told["mysql"]


def lasting(payload: str | None) -> str:
    """What is the same whenever, wherever and under whatever id a run is repeated: no digests, times, run or home."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z?", "TIME", payload or "")
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", text)
    text = re.sub(r"\b\d+\.\d+(e-\d+)?\b", "SECONDS", text)
    return re.sub(r"\b(run|home)-\d\b", r"\1", text)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_two_runs_at_once_in_one_database_and_an_edited_row(
    aurea: Any, models: Any, repo: Path, tmp_path: Path, new_database: Any, kind: str
) -> None:
    models.script = agents
    url = new_database(kind)
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec_of(repo)))
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url, "AUREA_LEDGER_URL": url}
    both = [aurea.start("run", str(path), "--run-id", f"{n}-{kind}", "--new", **env) for n in "xy"]
    for process in both:
        _, complaints = process.communicate(timeout=100)
        assert process.returncode == 0, complaints
    engine = open_engine(url)
    with engine.begin() as connection:
        rows = connection.execute(sa.text("SELECT seq, run FROM ledger_events ORDER BY seq")).all()
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert {row.run for row in rows} == {f"x-{kind}", f"y-{kind}"}
    assert aurea("verify", f"x-{kind}", **env).returncode == 0
    with engine.begin() as connection:
        for trigger in ("update", "delete"):
            table = " ON ledger_events" if kind == "postgresql" else ""
            connection.execute(sa.text(f"DROP TRIGGER ledger_events_no_{trigger}{table}"))
        connection.execute(sa.text("UPDATE ledger_events SET payload = REPLACE(payload, 'two', '2') WHERE seq = 1"))
        connection.execute(sa.text("DELETE FROM ledger_events WHERE seq = 7"))
    engine.dispose()
    found = aurea("verify", f"x-{kind}", "--json", **env)
    document = json.loads(found.stdout)
    assert (found.returncode, document["ok"], document["first_bad"]) == (1, False, 1)
    assert any("7" in problem for problem in document["problems"]), document["problems"]
