"""Upkeep on a real server: what nobody answered in time gets its default, and an answer that waits there goes before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Paused, Running

from aurea.bootstrap import create_run
from aurea.domain.events import Draft, QuestionAsked, QuestionShown
from aurea.domain.evidence import Question
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.settings import Settings
from flows.human_gate import human_gate
from tasks.upkeep import apply_deadlines

SPEC = {"project": "p", "objective": "o", "provider": "openai", "model": "m", "checks": [], "unproven": True}


async def ask(client: PrefectClient, home: Home, run: str, name: str, deadline: datetime) -> FlowRun:
    """A question whose gate is paused, as a process that waited has left it."""
    gate = await client.create_flow_run(human_gate, parameters={"run": run, "question": name})
    await client.set_flow_run_state(gate.id, Running(), force=True)
    await client.set_flow_run_state(gate.id, Paused(pause_key="a0001", timeout_seconds=3600))
    question = Question(id=name, kind="blocked", title="no key", why="it is missing", deadline=deadline)
    shown = QuestionShown(question=name, flow_run=str(gate.id))
    await home.ledger.record(run, [Draft(fact=QuestionAsked(question=question)), Draft(fact=shown)])
    return gate


async def test_what_nobody_answered_in_time(
    client: PrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUREA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    settings = Settings.read()
    past, future = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (-1, 600))
    with Home(settings) as home:
        run = await create_run(home, resolve(SPEC, Flags(), cwd=tmp_path, settings=settings), say=lambda line: None)
        late, answered, open_ = [
            await ask(client, home, run, name, deadline)
            for name, deadline in (("q-late", past), ("q-answered", past), ("q-open", future))
        ]
        await client.create_flow_run_input(answered.id, "paused-a0001-response", '{"choice": "retry"}')
        await client.resume_flow_run(answered.id)
        assert await apply_deadlines.fn() == [f"q-late of run {run}: stop"]
        state = home.state(run)
        assert list(state.questions) == ["q-answered", "q-open"]
        assert (state.answers["q-late"].choice, state.answers["q-late"].door) == ("stop", "deadline")
        assert [event.actor for event in home.ledger.events(run)][-1] == "policy"
        assert await apply_deadlines.fn() == [], "once"
    states = [(await client.read_flow_run(gate.id)).state for gate in (late, answered, open_)]
    assert [state.type.value for state in states if state] == ["COMPLETED", "RUNNING", "PAUSED"]
    for gate in (answered, open_):
        await client.delete_flow_run(gate.id)
