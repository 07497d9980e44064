"""What people read on Prefect's pages: forms of parameters and blocks, logs without noise, questions in plain words."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

import blocks
from aurea.domain.attempt import Attempt, Item
from aurea.domain.events import AttemptEnded, RunLinked
from aurea.domain.evidence import Question
from aurea.domain.spec import ItemSpec
from aurea.domain.state import RunState
from flows.deliver import deliver
from flows.pick_up import pick_up
from flows.upkeep import upkeep
from tasks.decision import describe
from tasks.flow_run import dated_name
from tasks.logs import log_of_flow_runs


def fields(flow: Any) -> dict[str, dict[str, Any]]:
    return parameter_schema(flow).properties


def test_the_form_of_a_run_can_be_filled_in_by_hand() -> None:
    found = fields(deliver)
    assert list(found) == ["spec", "run_id", "provider", "model", "budget_usd", "overrides"]
    # One of several types would have no input in v2 of the UI, which shows no editor for objects then.
    assert (found["overrides"]["type"], found["overrides"]["default"]) == ("object", {})
    ways = {name: [way["title"] for way in field["anyOf"]] for name, field in found.items() if "anyOf" in field}
    assert ways["spec"] == ["path or text", "object"]
    assert ways["run_id"] == ["this one", "a new one"]
    assert ways["budget_usd"] == ["this", "the spec's"]
    assert "openai" in found["provider"]["anyOf"][0]["enum"]
    assert deliver.validate_parameters({"spec": {}, "overrides": None})["overrides"] is None


@pytest.mark.parametrize("flow", [deliver, upkeep])
def test_descriptions_of_parameters_are_plain(flow: Any) -> None:
    assert all(field["description"] and "`" not in field["description"] for field in fields(flow).values())


@pytest.mark.parametrize("name", blocks.__all__)
def test_descriptions_of_blocks_are_plain(name: str) -> None:
    """v2 of the UI shows markdown as it stands."""
    for field in getattr(blocks, name).model_fields.values():
        assert field.title and field.description and "`" not in field.description


def test_runs_without_a_run_of_aurea_are_named_after_their_time() -> None:
    for flow in (pick_up, upkeep):
        assert callable(flow.flow_run_name)
        assert flow.flow_run_name().startswith(f"{flow.name} 20")
    assert re.fullmatch(r"upkeep \d{4}-\d\d-\d\d \d\d:\d\d UTC", dated_name("upkeep")())


def test_waiting_for_a_person_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    log_of_flow_runs()
    prefect = logging.getLogger("prefect.flow_runs")

    def kept(text: str) -> bool:
        return bool(prefect.filter(prefect.makeRecord(prefect.name, logging.ERROR, "f", 1, text, (), None)))

    assert not kept("Finished in state Suspended('waits for a person', type=PAUSED)")
    assert not kept("Finished in state Paused('waits for a person', type=PAUSED)")
    assert kept("Finished in state Failed('no')")


def test_a_question_in_a_log_has_no_markdown() -> None:
    question = Question(id="q-1", kind="blocked", title="Tax: what now?", why="2 of 2", item="tax")
    state = RunState("r", link=RunLinked(flow_run="f", ui_url="http://127.0.0.1:1/runs/flow-run/f"))
    ended = AttemptEnded(outcome="stalled", reason="check a | b failed")
    attempt = Attempt(1, "0" * 40, "coder", "m", "", datetime.now(UTC), ended=ended)
    state.items["tax"] = Item(ItemSpec(id="tax", goal="g"), attempts=[attempt])
    said = describe(state, question, "no such choice", plain=True)
    assert said.splitlines()[:5] == ["Refused: no such choice", "", "Tax: what now?", "", "2 of 2"]
    assert "attempt 1 (m): check a | b failed" in said
    assert "Run r, 0.00 USD so far, http://127.0.0.1:1/runs/flow-run/f" in said
    assert said.endswith("Resume opens the form. Choices: retry, stop")
    shown = describe(state, question)
    assert "**Tax: what now?**" in shown
    assert "| 1 | m | check a / b failed |" in shown
    assert "`r`, 0.00 USD so far, [flow run](http://127.0.0.1:1/runs/flow-run/f)" in shown
