"""Slack, drag and history: room in a run, what one step costs it, and how a run stands against earlier ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.topology.chain import realised_chain
from aurea.topology.executed import Step, executed_steps
from aurea.topology.figures import statistics
from aurea.topology.history import against
from aurea.topology.shape import topology
from aurea.topology.slack import _play, drags, idle_while_ready, network, slack


def step(name: str, start: float, end: float, *parents: str, item: str | None = None, kind: str = "implement") -> Step:
    return Step(name, item or name, 1, kind, start, end, "ok", parents)


DIAMOND = [step("a", 0, 2), step("b", 2, 10, "a"), step("c", 2, 5, "a"), step("d", 10, 11, "b", "c")]


def test_steps_beside_the_chain_have_room_and_those_on_it_have_none():
    assert slack(network(DIAMOND)) == {"a": 0.0, "b": 0.0, "c": 5.0, "d": 0.0}


def test_drag_is_what_the_run_would_save_and_stops_where_another_path_takes_over():
    net = network(DIAMOND)
    assert drags(net, [link.step for link in realised_chain(DIAMOND)]) == {"b": 5.0, "a": 2.0, "d": 1.0}


def test_an_item_that_waited_for_a_place_makes_its_holder_critical():
    steps = [step("plan", 0, 1), step("x", 1, 9, "plan"), step("y", 9.5, 12, "plan")]
    net = network(steps)
    assert slack(net)["x"] == 0.0
    assert idle_while_ready(net) == pytest.approx(0.5)


@st.composite
def runs(draw):
    made: list[Step] = []
    for i in range(draw(st.integers(1, 14))):
        start, length = draw(st.floats(0, 100)), draw(st.floats(0, 50))
        parents = draw(st.lists(st.sampled_from([s.id for s in made]), max_size=3, unique=True)) if made else []
        kind = draw(st.sampled_from(["implement", "check", "land"]))
        made.append(Step(f"s{i}", f"i{i % 3}", 1, kind, start, start + length, "ok", tuple(parents)))
    return made


@given(runs())
def test_whatever_the_steps_playing_them_again_gives_the_recorded_time(steps):
    net = network(steps)
    end = max(s.end for s in steps)
    assert _play(net, None) == pytest.approx(end, abs=1e-6)
    room = slack(net)
    assert all(value >= 0 for value in room.values()) and min(room.values()) == pytest.approx(0, abs=1e-6)
    for name, seconds in drags(net, list(room)).items():
        length = next(s.seconds for s in steps if s.id == name)
        assert -1e-6 <= seconds <= length + 1e-6


def test_the_chain_of_a_real_line_has_no_slack(notes):
    made = topology(notes.state, notes.events)
    room = {node["id"]: node["slack_s"] for node in made["executed"]["nodes"]}
    assert all(room[link["id"]] < 0.01 for link in made["chain"]["steps"])
    assert made["drag"] and len(made["drag"]) <= 12
    kinds = made["chain"]["kinds"]
    assert sum(kind["work_s"] for kind in kinds.values()) == pytest.approx(made["chain"]["work_s"], abs=0.01)


def numbers(notes, **changed):
    steps = executed_steps(notes.events)
    made = statistics(notes.state, topology(notes.state, notes.events, steps), steps)
    return {**made, "measures": {**made["measures"], **changed}}


def test_the_statistics_of_a_run_are_small_and_count_what_happened(notes):
    made = numbers(notes)
    assert made["measures"]["attempts"] == 4 and made["measures"]["loops"] == 1
    assert made["edges"]["implement>check"] == 6 and made["kinds"]["implement"]["n"] == 4
    assert len(str(made)) < 2000


def test_few_earlier_runs_are_shown_and_not_judged(notes):
    now = numbers(notes)
    assert "first run" in against(now, [])["note"]
    found = against(now, [numbers(notes, loops=9)] * 4)
    assert found["judgement"] == "none" and found["overall_p"] is None
    row = next(row for row in found["measures"] if row["measure"] == "loops")
    assert (row["now"], row["median"], row["p"]) == (1, 9, None)
    assert found["durations"]["implement"] == 1.0


def test_no_p_value_is_smaller_than_history_allows(notes):
    earlier = [numbers(notes, work_s=100 + n) for n in range(9)]
    found = against(numbers(notes, work_s=10_000), earlier)
    row = next(row for row in found["measures"] if row["measure"] == "work_s")
    assert found["judgement"] == "approximate" and row["p"] == found["overall_p"] == 0.1
    assert next(row for row in found["measures"] if row["measure"] == "items")["p"] is None
    assert against(numbers(notes), [numbers(notes)] * 19)["judgement"] == "exact"


def test_undisturbed_runs_alarm_no_more_often_than_said(notes):
    chance = random.Random(7)
    plain = numbers(notes)

    def drawn():
        names = ("work_s", "makespan_s", "tokens", "loops", "usd")
        return {**plain, "measures": {**plain["measures"], **{name: chance.lognormvariate(3, 1) for name in names}}}

    alarms = sum(against(drawn(), [drawn() for _ in range(19)])["overall_p"] <= 0.05 for _ in range(400))
    assert alarms / 400 < 0.09, "5 % in the long run, however many measures are looked at"
