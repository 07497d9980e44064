"""What was really done: every phase of every attempt as a step with its time, read from the events of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from aurea.domain import events as ev
from aurea.topology.graph import PLAN

_Place = tuple[str, int]


@dataclass(frozen=True)
class Step:
    """One phase of one attempt. Moments are seconds since the run began; `parents` are the steps it had to await."""

    id: str
    item: str | None
    attempt: int
    phase: str
    start: float
    end: float
    outcome: str
    parents: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The phase without the name of the check or reviewer."""
        return self.phase.split(":")[0]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    @property
    def planned_as(self) -> str:
        """The node of the planned graph that this step carries out."""
        return f"{self.item}:{self.phase}" if self.item else self.phase


def executed_steps(events: Iterable[ev.Event]) -> list[Step]:
    """The steps of a run in the order in which they ended. An attempt that was resumed lasts from its first start."""
    reader = _Reader()
    for event in events:
        reader.read(event)
    attempts: dict[_Place, list[Step]] = defaultdict(list)
    for step in reader.steps.values():
        if step.item is not None:
            attempts[step.item, step.attempt].append(step)
    landed = {step.item: step.id for step in reader.steps.values() if step.kind == "land" and step.outcome == "landed"}
    found = []
    for step in reader.steps.values():
        needed = [landed[name] for name in reader.depends.get(step.item or "", ()) if name in landed]
        found.append(replace(step, parents=_parents(step, attempts, needed, planned=PLAN in reader.steps)))
    return found


def _parents(step: Step, attempts: dict[_Place, list[Step]], needed: list[str], *, planned: bool) -> tuple[str, ...]:
    """What had to be over before `step` could begin; `needed` are the landings its item depends on."""
    if step.item is None:
        return ()
    own = attempts[step.item, step.attempt]
    if step.kind == "implement":
        before = attempts.get((step.item, step.attempt - 1))
        if before:
            return (max(before, key=lambda other: other.end).id,)
        return tuple(needed) or ((PLAN,) if planned else ())
    awaited = {"review": (("check", "precheck"),), "land": (("review",), ("check", "precheck"))}.get(step.kind, ())
    for kinds in (*awaited, ("implement",)):
        if ids := tuple(other.id for other in own if other.kind in kinds):
            return ids
    return ()


@dataclass
class _Reader:
    """Collects steps while it reads events in order."""

    origin: datetime | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    begun: dict[tuple[str, int, str], float] = field(default_factory=dict)
    depends: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, event: ev.Event) -> None:
        """Take one event in."""
        self.origin = self.origin or event.ts
        now = (event.ts - self.origin) / timedelta(seconds=1)
        if isinstance(event.fact, ev.PlanAccepted):
            self.depends.update({item.id: item.depends_on for item in event.fact.items})
            self.steps.setdefault(PLAN, Step(PLAN, None, 0, "plan", 0.0, now, "accepted"))
        elif event.item is not None and event.attempt is not None:
            self._work(event.fact, event.item, event.attempt, now)

    def _work(self, fact: ev.AnyFact, item: str, attempt: int, now: float) -> None:
        match fact:
            case ev.AttemptStarted():
                self.begun[item, attempt, "implement"] = now
            case ev.AttemptEnded():
                self._add(
                    item, attempt, "implement", self.begun.get((item, attempt, "implement"), now), now, fact.outcome
                )
            case ev.PrecheckEnded():
                self._add(item, attempt, "precheck", now, now, "passed" if fact.passed else "failed")
            case ev.CheckEnded() if fact.evidence.kind == "gate":
                self.begun.setdefault((item, attempt, "land"), now - fact.evidence.seconds)
            case ev.CheckEnded():
                phase = f"check:{fact.evidence.name}"
                self._add(item, attempt, phase, now - fact.evidence.seconds, now, fact.evidence.outcome)
            case ev.ReviewEnded():
                phase = f"review:{fact.evidence.name}"
                self._add(item, attempt, phase, now - fact.evidence.seconds, now, fact.review.decision)
            case ev.LandingRefused():
                self._add(item, attempt, "land", self.begun.get((item, attempt, "land"), now), now, fact.kind)
            case ev.LandingLanded():
                self._add(item, attempt, "land", self.begun.get((item, attempt, "land"), now), now, "landed")

    def _add(self, item: str, attempt: int, phase: str, start: float, end: float, outcome: str) -> None:
        name = f"{item}#{attempt}:{phase}"
        self.steps.pop(name, None)  # the same step again, after a resume: the later one counts
        self.steps[name] = Step(name, item, attempt, phase, min(max(start, 0.0), end), end, outcome)
