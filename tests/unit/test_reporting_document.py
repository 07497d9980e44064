"""The run document: every key of the contract, and the state it tells."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from aurea.domain import events as ev
from aurea.domain.caps import Cap
from aurea.domain.evidence import Question
from aurea.reporting.commands import next_commands
from aurea.reporting.document import question_documents, run_document, run_row
from aurea.reporting.schemas import RunDocument, schema_of
from aurea.reporting.text import caps

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = "/home/ada/.local/state/aurea/runs/20260301-notes"


def document(history, **changes):
    return run_document(history.state, **{"alive": False, "folder": FOLDER, "now": history.now(), **changes})


def test_the_stored_shape_has_not_changed(notes):
    made = document(notes)
    assert made == json.loads((GOLDEN / "run_document.json").read_text())
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_every_key_of_the_contract_is_there(notes):
    made = document(notes)
    wanted = {
        "schema", "run", "project", "state", "reason", "reason_code", "spec_digest", "provider", "model", "sandbox",
        "folder", "ui_url", "repo", "base", "target", "landed_to_base", "started_at", "ended_at", "seconds", "items",
        "evidence", "questions", "cost", "budget", "plan", "unproven",
    }  # fmt: skip
    assert wanted <= made.keys()
    assert {
        "id",
        "goal",
        "role",
        "state",
        "depends_on",
        "priority",
        "attempts",
        "verdict",
        "landed",
        "question",
    } <= made["items"][0].keys()
    attempt = made["items"][1]["attempts"][0]
    assert {"number", "state", "reason", "model", "ref", "checks", "reviews", "seconds", "cost"} <= attempt.keys()
    assert {
        "id",
        "kind",
        "name",
        "item",
        "attempt",
        "tree",
        "passed",
        "outcome",
        "exit_code",
        "seconds",
        "log",
    } <= made["evidence"][0].keys()
    assert made["cost"].keys() == {
        "model_calls", "tool_calls", "input_tokens", "output_tokens", "cached_tokens", "usd", "priced",
    }  # fmt: skip


def test_it_tells_what_happened(notes):
    made = document(notes)
    storage, api, docs = made["items"]
    assert [storage["state"], api["state"], docs["state"]] == ["complete", "complete", "waiting_human"]
    assert [a["state"] for a in api["attempts"]] == ["failed", "landed"]
    assert api["attempts"][0]["reason"] == "check tests failed (exit 1)"
    assert api["landed"]["attempt"] == 2
    assert docs["question"] == "q-0123456789" and docs["attempts"][0]["limit"] == "turns"
    assert made["plan"] == {"nodes": 3, "edges": 2, "critical_path": ["storage", "api", "docs"]}
    assert made["budget"] == {"limit_usd": 5.0, "spent_usd": 0.05, "reserved_usd": 0.0, "caps": []}
    known = {entry["id"] for entry in made["evidence"]}
    named = {e for i in made["items"] for a in i["attempts"] for e in (*a["checks"], *a["reviews"])}
    cited = {e for i in made["items"] if i["verdict"] for c in i["verdict"]["criteria"] for e in c["evidence"]}
    assert cited <= named <= known
    assert {entry["kind"] for entry in made["evidence"]} == {"baseline", "check", "review", "gate"}


def test_output_is_kept_of_what_did_not_pass_only(notes):
    for entry in document(notes)["evidence"]:
        assert bool(entry["tail"]) is not entry["passed"]


@pytest.mark.parametrize(
    ("ended", "alive", "state"),
    [
        (None, True, "running"),
        (None, False, "interrupted"),
        ("succeeded", False, "succeeded"),
        ("failed", True, "failed"),
        ("waiting", False, "waiting"),
        ("cancelled", False, "cancelled"),
        ("interrupted", False, "interrupted"),
    ],
)
def test_state(history, work_item, ended, alive, state):
    run = history([work_item("storage")])
    run.create()
    if ended:
        run.add(ev.RunEnded(state=ended, reason="because", reason_code="partial"))
    made = document(run, alive=alive)
    assert made["state"] == state
    assert (made["reason"], made["reason_code"]) == (("because", "partial") if ended else (None, None))


def test_time_of_what_has_not_ended(history, work_item):
    run = history([work_item("storage")])
    run.create()
    run.begin("storage")
    later = run.now() + timedelta(hours=1)
    alive, dead = document(run, alive=True, now=later), document(run, alive=False, now=later)
    assert alive["seconds"] == 3602.0 and alive["items"][0]["attempts"][0]["seconds"] == 3600.0
    # Nobody has worked on it since the last event: the hour does not count.
    assert dead["seconds"] == 2.0 and dead["items"][0]["attempts"][0]["seconds"] == 0.0
    assert dead["ended_at"] is None


def test_a_resumed_run_runs_again_with_its_changes(notes):
    notes.add(ev.RunResumed(changes={"budget_usd": 9, "model": "gpt-5"}))
    made = document(notes, alive=True)
    assert (made["state"], made["model"], made["budget"]["limit_usd"]) == ("running", "gpt-5", 9.0)


def test_caps_and_what_was_spent_under_them(notes):
    day = notes.now().date().isoformat()
    notes.add(
        ev.RunResumed(changes={"budgets": {"items": {"api": 1}, "roles": {"coder": 2, "planner": 1}, "day_usd": 9}})
    )
    made = document(notes)
    assert made["budget"]["caps"] == [
        {"scope": "item", "name": "api", "limit_usd": 1.0, "spent_usd": 0.02},
        {"scope": "role", "name": "coder", "limit_usd": 2.0, "spent_usd": 0.05},
        {"scope": "role", "name": "planner", "limit_usd": 1.0, "spent_usd": 0.0},
        {"scope": "day", "name": day, "limit_usd": 9.0, "spent_usd": 0.05},
    ]
    told = f"item api $0.0200 of $1.00, role coder $0.0500 of $2.00, day {day} $0.0500 of $9.00 (by this run)"
    assert caps(made) == told


@pytest.mark.parametrize(
    ("cap", "line"),
    [
        (None, "aurea resume 20260301-notes --budget 10"),
        (Cap(scope="item", name="api"), "aurea resume 20260301-notes --set budgets.items.api=4"),
        (Cap(scope="role", name="coder"), "aurea resume 20260301-notes --set budgets.roles.coder=1"),
    ],
)
def test_a_question_for_money_is_told_how_to_go_on(notes, cap, line):
    for name in list(notes.state.questions):
        notes.add(ev.QuestionAnswered(question=name, choice="abandon_item", door="cli"))
    notes.add(ev.RunResumed(changes={"budgets": {"items": {"api": 2}, "roles": {"coder": 0.1}}}))
    notes.add(
        ev.QuestionAsked(question=Question(id="q-b", kind="budget", title="it is spent", why="raise it", cap=cap))
    )
    notes.add(ev.RunEnded(state="waiting"))
    assert [command.line for command in next_commands(document(notes)) if command.purpose == "go on"] == [line]


def test_what_was_handed_in_when_the_money_was_used_up(notes):
    partial = ev.PartialHandedIn(conversation="coder", step=3, limit="budget", summary="half", unfinished=("the rest",))
    notes.add(partial, item="docs", attempt=1)
    made = document(notes)["items"][2]["attempts"][0]
    assert made["partial"] == {"summary": "half", "unfinished": ["the rest"]}


def test_no_budget_and_no_plan(history):
    run = history([], budget_usd="none", checks=(), unproven=True)
    run.create()
    made = document(run)
    assert made["budget"]["limit_usd"] is None and made["unproven"] is True
    assert made["plan"] == {"nodes": 0, "edges": 0, "critical_path": []}
    assert made["target"]["sha"] == made["base"]["sha"]


def test_landed_to_base_until_something_else_lands(notes):
    assert document(notes)["landed_to_base"] is False
    notes.add(ev.BaseMoved(ref="refs/heads/main", old="0" * 40, new="1" * 40))
    assert document(notes)["landed_to_base"] is True, "a merge with a base that had moved is not the tip, but holds it"
    notes.state.base_tip = "0" * 40
    assert document(notes)["landed_to_base"] is False


def test_a_row_is_a_subset(notes):
    made, row = document(notes), run_row(notes.state, alive=False, folder=FOLDER, now=notes.now())
    assert {key: made[key] for key in row if key != "items"} == {key: row[key] for key in row if key != "items"}
    assert row["items"][0] == {"id": "storage", "state": "complete"}


def test_questions_carry_a_form_per_choice(notes):
    name = next(iter(notes.state.questions))
    notes.add(ev.QuestionShown(question=name, flow_run="f00", ui_url="http://localhost:4200/runs/f00"))
    (question,) = question_documents(notes.state)
    assert question["choices"] == list(question["form"])
    assert question["form"]["spawn_item"]["required"] == ["goal", "criteria"]
    assert question["form"]["retry"]["required"] == []
    assert question["form"]["approve_anyway"]["required"] == ["reason"]
    assert (question["flow_run"], question["deadline"], question["default"]) == ("f00", None, "abandon_item")
    assert question["cost"]["usd"] == 0.02  # what the item has cost that it asks about


def test_questions_of_a_run_name_its_whole_cost(notes):
    asked = Question(id="q-b", kind="budget", title="the budget is spent", why="raise it")
    notes.add(ev.QuestionAsked(question=asked))
    question = question_documents(notes.state)[-1]
    assert question["item"] is None and question["cost"]["usd"] == 0.05
    assert question["form"]["raise"]["properties"]["usd"]["type"] == "number"


@pytest.mark.parametrize("name", ["run", "manifest", "question", "event"])
def test_schemas_are_json_schema(name):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema_of(name))


def test_what_is_written_follows_its_schema(notes):
    jsonschema = pytest.importorskip("jsonschema")
    made = document(notes)
    jsonschema.validate(made, schema_of("run"))
    jsonschema.validate(question_documents(notes.state)[0], schema_of("question"))
    assert RunDocument.model_validate(made).run == made["run"]
    events = jsonschema.Draft202012Validator(schema_of("event"))
    for event in notes.events:
        events.validate(event.document())
    first = notes.events[0].document()
    assert not events.is_valid(first | {"payload": {"project": 1}})
    assert events.is_valid(first | {"type": "new.type", "payload": {"anything": 1}})
