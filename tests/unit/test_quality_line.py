"""The quality gate in the life of a run: when it gets ready, when it judges, and what follows from its judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from aurea.delivery import quality
from aurea.domain.errors import Blocked, Permanent
from aurea.domain.events import QualityJudged, RunEnded
from aurea.ports import Judgement
from aurea.reporting.quality.gate import QualityGate

GOOD = RunEnded(state="succeeded")
PARTIAL = RunEnded(state="failed", reason="did not land: docs", reason_code="partial")


@dataclass
class Gate:
    """A gate that says what it is told to."""

    state: Any
    passes: bool = True
    warmed: int = 0
    judged: int = 0

    def warm(self) -> None:
        self.warmed += 1

    async def judge(self) -> Judgement:
        self.judged += 1
        failures = () if self.passes else ("not so: every file is good (table files: a.py)",)
        fact = QualityJudged(tip=self.state.tip, passed=self.passes, judged_by="x", expectations=1, failures=failures,
                             body="sha256:0", seconds=0.1)  # fmt: skip
        return Judgement(fact, {})

    async def close(self) -> None:
        pass


@dataclass
class Live:
    """A run as far as the gate's place in the line needs one."""

    history: Any
    quality: Any = None
    spec: Any = field(default_factory=lambda: SimpleNamespace(concurrency=2))

    @property
    def state(self):
        return self.history.state

    async def record(self, fact, bodies=None):
        self.history.add(fact)


@pytest.fixture
def live(history, work_item):
    def make(*items: str, landed: int = 0) -> Live:
        run = history([work_item(name) for name in items])
        run.create()
        for number, name in enumerate(items[:landed], 1):
            run.whole_line(name, str(number))
        made = Live(run)
        made.quality = Gate(run.state)
        return made

    return make


def test_it_gets_ready_when_work_begins_and_the_end_is_in_sight(live):
    small = live("a", "b", "c", "d")
    quality.warm(small)
    assert small.quality.warmed == 0, "nobody is at work yet"
    small.history.begin("a")
    quality.warm(small)
    assert small.quality.warmed == 1
    large = live("a", "b", "c", "d", "e")
    large.history.begin("a")
    quality.warm(large)
    assert large.quality.warmed == 0, "five items are more than twice the two at once"


async def test_it_judges_once_for_what_has_landed(live):
    run = live("a", "b", landed=1)
    assert await quality.passed(run) and await quality.confirmed(run, GOOD) == GOOD
    assert run.quality.judged == 1
    run.history.whole_line("b", "2")
    await quality.confirmed(run, GOOD)
    assert run.quality.judged == 2, "something landed since"


async def test_a_failed_gate_fails_the_run_and_says_why(live):
    run = live("a", landed=1)
    run.quality.passes = False
    ending = await quality.confirmed(run, GOOD)
    assert (ending.state, ending.reason_code) == ("failed", "quality")
    assert ending.reason == "quality: not so: every file is good (table files: a.py)"
    assert await quality.confirmed(run, PARTIAL) == PARTIAL, "a run that failed anyway keeps its reason"


@pytest.mark.parametrize("state", ["waiting", "paused", "cancelled", "interrupted"])
async def test_a_run_that_is_not_over_is_not_judged(live, state):
    run = live("a", landed=1)
    ending = RunEnded(state=state)
    assert await quality.confirmed(run, ending) == ending and run.quality.judged == 0


async def test_a_run_that_landed_nothing_is_not_judged(live):
    run = live("a")
    assert await quality.confirmed(run, PARTIAL) == PARTIAL and run.quality.judged == 0


class Unreadable:
    def __init__(self, fault):
        self.fault = fault

    async def files(self, tree, under=""):
        raise self.fault


async def test_what_cannot_be_read_has_not_passed(live):
    run = live("a", landed=1)
    run.repository = Unreadable(Permanent("object 1234 is missing"))
    found = await QualityGate(run, environ={}, patience_s=0).judge()
    assert not found.fact.passed and found.fact.failures == ("not judged: object 1234 is missing",)
    run.repository = Unreadable(Blocked("the disk is away"))
    with pytest.raises(Blocked):
        await QualityGate(run, environ={}, patience_s=0).judge()
