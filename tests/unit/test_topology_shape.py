"""The shape of runs: planned against executed, loop-backs, and a chain that explains all of the time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain import events as ev
from aurea.topology.chain import realised_chain
from aurea.topology.executed import Step, executed_steps
from aurea.topology.shape import topology, topology_table


def shape_of(history):
    made = topology(history.state, history.events)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


def test_a_run_that_went_as_planned(history, work_item):
    run = history([work_item("storage"), work_item("api", "storage")])
    run.create()
    run.whole_line("storage", "1")
    run.whole_line("api", "2")
    made = shape_of(run)
    assert made["schema"] == "aurea.topology/1"
    assert made["difference"] == {
        "added": [], "skipped": [], "extra_edges": [], "missing_edges": [], "items_added": [], "items_skipped": [],
    }  # fmt: skip
    assert made["loops"] == [] and made["retries"] == {"attempts": 0, "model_calls": 0}
    assert len(made["planned"]["nodes"]) == len(made["executed"]["nodes"]) == 1 + 2 * 6
    assert made["planned"]["depth"] == 2
    executed = {tuple(edge) for edge in made["executed"]["edges"]}
    assert ("storage#1:land", "api#1:implement") in executed
    assert ("api#1:check:tests", "api#1:review:reviewer-1") in executed
    assert ("plan", "storage#1:implement") in executed


def test_loop_backs_and_what_was_left_out(notes):
    made = shape_of(notes)
    assert made["loops"] == [{"item": "api", "attempt": 1, "by": "gate", "reason": "check tests failed (exit 1)"}]
    assert made["difference"]["skipped"] == [
        "docs:precheck", "docs:check:tests", "docs:check:lint", "docs:review:reviewer-1", "docs:land",
    ]  # fmt: skip
    rows = {row["measure"]: row for row in topology_table(made)}
    assert rows["loop-backs"]["value"] == 1 and rows["loop-backs"]["where"] == "api#1"
    assert rows["skipped nodes"]["value"] == 5
    assert made["kinds"]["implement"]["count"] == 4


def test_an_item_that_was_spawned_is_added(history, work_item):
    run = history([work_item("storage")])
    run.create()
    run.add(ev.PlanAccepted(round=2, items=(work_item("extra"),), critical_path=("extra",)))
    run.whole_line("extra", "1")
    difference = shape_of(run)["difference"]
    assert difference["items_added"] == ["extra"] and difference["items_skipped"] == ["storage"]
    assert "extra:implement" in difference["added"] and "storage:implement" in difference["skipped"]


def test_a_conflict_shows_the_dependency_that_no_plan_named(history, work_item):
    run = history([work_item("storage"), work_item("api")])
    run.create()
    number = run.begin("api")
    run.whole_line("storage", "1")
    run.submit("api", number)
    run.verdict("api", number, run.judge("api", number))
    refused = ev.LandingRefused(kind="conflict", tip="1" * 40, reason="conflicts in notes.py")
    run.add(refused, item="api", attempt=number)
    made = shape_of(run)
    assert made["difference"]["extra_edges"] == [["storage:land", "api:implement"]]


def test_an_order_that_was_not_kept(history, work_item):
    run = history([work_item("storage"), work_item("api", "storage")])
    run.create()
    run.begin("api")
    run.whole_line("storage", "1")
    run.submit("api", 1)
    assert ["storage:land", "api:implement"] in shape_of(run)["difference"]["missing_edges"]


def test_transport_retries_are_counted(notes):
    failed = ev.ModelFailed(conversation="coder", step=1, attempt=1, kind="rate_limit", message="429", retryable=True)
    notes.add(failed, item="docs", attempt=1)
    assert shape_of(notes)["retries"] == {"attempts": 1, "model_calls": 1}


def test_before_there_is_a_plan(history):
    run = history([])
    run.add(ev.RunCreated.model_validate(notes_created(run)))
    made = shape_of(run)
    assert made["planned"]["nodes"] == [] and made["executed"]["nodes"] == [] and made["makespan_s"] == 0.0
    assert len(topology_table(made)) == 16


def notes_created(run):
    run_of = type(run)([])
    run_of.create()
    return run_of.events[0].fact.model_dump()


def test_a_step_done_again_after_a_resume_counts_once(notes):
    again = next(e for e in notes.events if e.type == "check.ended" and e.item == "api")
    notes.add(again.fact, item=again.item, attempt=again.attempt)
    ids = [step.id for step in executed_steps(notes.events)]
    assert len(ids) == len(set(ids))


def test_the_chain_of_a_run_explains_all_of_its_time(notes):
    made = shape_of(notes)
    assert made["chain"]["work_s"] + made["chain"]["wait_s"] == pytest.approx(made["makespan_s"], abs=0.01)
    assert [s["id"] for s in made["chain"]["steps"]][:2] == ["plan", "storage#1:implement"]


def test_an_item_that_waited_for_a_place_names_who_held_it():
    steps = [
        Step("plan", None, 0, "plan", 0, 1, "accepted"),
        Step("a#1:implement", "a", 1, "implement", 1, 9, "submitted", ("plan",)),
        Step("b#1:implement", "b", 1, "implement", 9.2, 12, "submitted", ("plan",)),
    ]
    chain = realised_chain(steps)
    assert [(link.step, link.work_s, link.wait_s) for link in chain] == [
        ("plan", 1.0, 0.0),
        ("a#1:implement", 8.0, 0.0),
        ("b#1:implement", 2.8, 0.2),
    ]


@st.composite
def steps(draw):
    made: list[Step] = []
    for i in range(draw(st.integers(1, 12))):
        start, length = draw(st.floats(0, 100)), draw(st.floats(0, 50))
        parents = tuple(draw(st.lists(st.sampled_from([s.id for s in made]), max_size=3, unique=True)) if made else ())
        phase = draw(st.sampled_from(["implement", "check:tests", "review:reviewer-1", "land"]))
        made.append(Step(f"s{i}", f"i{i % 3}", 1, phase, start, start + length, "x", parents))
    return made


@given(steps())
def test_any_chain_explains_all_of_the_time(made):
    chain = realised_chain(made)
    total = sum(link.work_s + link.wait_s for link in chain)
    assert total == pytest.approx(max(step.end for step in made), abs=1e-4)
    assert all(link.work_s >= 0 and link.wait_s >= 0 for link in chain)
    assert len({link.step for link in chain}) == len(chain)
