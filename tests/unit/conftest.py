"""Hand-written histories: events of a run at chosen moments, and the state that they fold to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aurea.domain import events as ev
from aurea.domain.evidence import Base, Criterion, Evidence, Landed, Review, Verdict, evidence_id
from aurea.domain.lifecycle import ItemState
from aurea.domain.messages import Usage
from aurea.domain.spec import Check, ItemSpec, Reviewer, Spec
from aurea.domain.state import RunState
from purses import Purse
from raw_server import RawServer, raw_server

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
RUN = "20260301-notes"


def sha(letter: str) -> str:
    """A recognisable object id."""
    return letter * 40


class History:
    """Writes the events of one run. `at` is the second of the next event; every event moves it on by `step`."""

    def __init__(self, items: list[ItemSpec], **spec: Any) -> None:
        self.items = items
        self.events: list[ev.Event] = []
        self.state = RunState(RUN)
        self.at = 0.0
        values: dict[str, Any] = {
            "project": "notes",
            "objective": "A notes service",
            "checks": (Check(name="tests", run=("pytest", "-q")), Check(name="lint", run=("ruff", "check"))),
            "reviewers": (Reviewer(),),
            **spec,
        }
        self.spec = Spec(**values)

    def now(self) -> datetime:
        """The moment of the next event."""
        return START + timedelta(seconds=self.at)

    def add(self, fact: Any, *, item: str | None = None, attempt: int | None = None, after: float = 1.0) -> ev.Event:
        """Record a fact `after` seconds."""
        self.at += after if self.events else 0.0
        seq = len(self.events) + 1
        event = ev.Event(
            seq=seq, ts=self.now(), run=RUN, item=item, attempt=attempt, actor="manager", fact=fact, hash=f"{seq:064x}"
        )
        self.state.apply(event)
        self.events.append(event)
        return event

    def create(self) -> None:
        """The run begins and its plan is accepted."""
        self.add(
            ev.RunCreated(
                project=self.spec.project, spec=self.spec.model_dump(mode="json"), spec_digest="sha256:" + "5" * 64,
                repo="/home/ada/my notes", made_repo=False, base=Base(ref="refs/heads/main", sha=sha("0")),
                target_ref=f"refs/heads/aurea/{RUN}", provider="openai", model="gpt-5-mini", sandbox="process",
                folder=f"/home/ada/.local/state/aurea/runs/{RUN}", version="0.1.0",
            )
        )  # fmt: skip
        self.add(ev.PlanAccepted(round=1, items=tuple(self.items), critical_path=self.chain()))

    def chain(self) -> tuple[str, ...]:
        """The critical path of the items."""
        from aurea.domain.plan import critical_path

        return tuple(critical_path({item.id: item.depends_on for item in self.items}))

    def move(self, item: str, target: ItemState, cause: str = "next") -> None:
        """Move an item, whoever may."""
        source = self.state.items[item].state
        self.add(ev.ItemMoved(source=source, target=target, cause=cause), item=item, after=0.0)

    def begin(self, item: str) -> int:
        """An attempt starts; returns its number."""
        number = len(self.state.items[item].attempts) + 1
        if self.state.items[item].state is ItemState.PLANNED:
            self.move(item, ItemState.READY, "its dependencies have landed")
        self.move(item, ItemState.ACTIVE)
        started = ev.AttemptStarted(base=self.state.tip, role="coder", model="openai:gpt-5-mini", prompt="sha256:p")
        self.add(started, item=item, attempt=number)
        return number

    def call(self, item: str | None, attempt: int, *, step: int = 1, usd: float = 0.01, role: str = "coder") -> None:
        """A model call that takes a second."""
        place = {"conversation": role, "step": step}
        model = {"provider": "openai", "model": "gpt-5-mini", "role": role}
        self.add(ev.BudgetReserved(**place, usd=0.05), item=item, attempt=attempt, after=0.0)
        self.add(ev.ModelAsked(**place, **model, fingerprint="sha256:f"), item=item, attempt=attempt, after=0.0)
        answered = ev.ModelAnswered(
            **place, **model, body="sha256:b", usage=Usage(input_tokens=1200, output_tokens=300), usd=usd, priced=True,
            seconds=1.0, finish="tool_calls", tools=("write_file",),
        )  # fmt: skip
        self.add(answered, item=item, attempt=attempt)
        self.add(ev.BudgetSettled(**place, usd=usd, reserved=0.05), item=item, attempt=attempt, after=0.0)

    def tool(self, item: str, attempt: int, summary: str = "notes/storage.py") -> None:
        """A file is written."""
        place = {"conversation": "coder", "step": 1, "call": "call-1-1", "tool": "write_file"}
        self.add(ev.ToolStarted(**place, arguments="sha256:a", summary=summary), item=item, attempt=attempt, after=0.1)
        self.add(
            ev.ToolEnded(**place, outcome="ok", body="sha256:c", seconds=0.1), item=item, attempt=attempt, after=0.1
        )

    def submit(self, item: str, attempt: int, *more: str) -> None:
        """The agent hands its change in: the item's own file, and those of `more`."""
        started = self.state.items[item].attempts[-1].started
        ended = ev.AttemptEnded(
            outcome="submitted", ref=f"refs/aurea/{RUN}/{item}/{attempt}", sha=sha("a"), tree=sha("b"),
            files=(f"notes/{item}.py", *more), seconds=(self.now() - started).total_seconds() + 1.0,
        )  # fmt: skip
        self.add(ended, item=item, attempt=attempt)
        self.move(item, ItemState.AWAITING_QA, "the agent submitted its work")

    def check(
        self, item: str | None, attempt: int | None, name: str, *, passed: bool = True, kind: str = "check"
    ) -> str:
        """A check ran; returns the id of its evidence."""
        tree = sha("b") if item else sha("9")
        evidence = Evidence(
            id=evidence_id(kind, name, item, attempt, tree), kind=kind, name=name, item=item, attempt=attempt,
            tree=tree, passed=passed, outcome="passed" if passed else "failed", exit_code=0 if passed else 1,
            seconds=2.1, log=f"logs/{item or '_baseline'}/{name}.log",
            tail="1 passed" if passed else "E   assert 404 == 201\n1 failed",
        )  # fmt: skip
        self.add(ev.CheckEnded(evidence=evidence), item=item, attempt=attempt, after=2.5 if passed else 0.5)
        return evidence.id

    def judge(self, item: str, attempt: int, *, passed: bool = True) -> list[str]:
        """Precheck, both checks and, where they pass, the review."""
        self.add(ev.PrecheckEnded(passed=True, tree=sha("b")), item=item, attempt=attempt, after=0.2)
        ids = [self.check(item, attempt, "lint"), self.check(item, attempt, "tests", passed=passed)]
        if passed:
            name = "reviewer-1"
            evidence = Evidence(
                id=evidence_id("review", name, item, attempt, sha("b")), kind="review", name=name, item=item,
                attempt=attempt, tree=sha("b"), passed=True, outcome="passed", seconds=1.5, tail="good",
            )  # fmt: skip
            review = Review(decision="approve", summary="good")
            self.add(ev.ReviewEnded(evidence=evidence, review=review), item=item, attempt=attempt, after=1.6)
            ids.append(evidence.id)
        return ids

    def verdict(self, item: str, attempt: int, ids: list[str], *, approve: bool = True) -> None:
        """What follows from it."""
        criteria = tuple(
            Criterion(text=t, met=approve, evidence=tuple(ids)) for t in self.state.items[item].spec.criteria
        )
        verdict = Verdict(
            decision="approve" if approve else "return", by="reviewer" if approve else "gate", criteria=criteria,
            reasons=() if approve else ("check tests failed (exit 1)",),
        )  # fmt: skip
        self.add(ev.VerdictGiven(verdict=verdict), item=item, attempt=attempt, after=0.0)
        if approve:
            self.move(item, ItemState.MERGING, "approved")
        else:
            self.move(item, ItemState.FAILED, "check tests failed (exit 1)")
            self.move(item, ItemState.READY, "goes back with lessons")

    def land(self, item: str, attempt: int, letter: str) -> None:
        """The gate passes and the target moves."""
        self.check(item, attempt, "tests", kind="gate")
        tip, gate = self.state.tip, "sha256:" + letter * 64
        self.add(
            ev.LandingStarted(tip=tip, commit=sha(letter), tree=sha("d"), gate=gate),
            item=item,
            attempt=attempt,
            after=0.1,
        )
        landed = Landed(sha=sha(letter), tree=sha("d"), gate=gate)
        self.add(ev.LandingLanded(landed=landed, parent=tip), item=item, attempt=attempt, after=0.1)
        self.move(item, ItemState.COMPLETE, "landed")

    def whole_line(self, item: str, letter: str, *more: str) -> None:
        """An item that lands at once, with files beside its own."""
        attempt = self.begin(item)
        self.call(item, attempt)
        self.tool(item, attempt)
        self.submit(item, attempt, *more)
        self.verdict(item, attempt, self.judge(item, attempt))
        self.land(item, attempt, letter)


def item(name: str, *needs: str, **values: Any) -> ItemSpec:
    """A work item with one criterion."""
    return ItemSpec(
        id=name, title=name.title(), goal=f"make {name}", criteria=(f"{name} works",), depends_on=needs, **values
    )


@pytest.fixture
def notes() -> History:
    """Three items on one another: `storage` lands, `api` lands at its second attempt, `docs` waits for a person."""
    from aurea.domain.evidence import Question

    history = History([item("storage"), item("api", "storage"), item("docs", "api")])
    history.create()
    history.check(None, None, "tests", kind="baseline")
    history.whole_line("storage", "1")
    first = history.begin("api")
    history.call("api", first)
    history.submit("api", first)
    history.verdict("api", first, history.judge("api", first, passed=False), approve=False)
    history.whole_line("api", "2", "notes/storage.py")
    last = history.begin("docs")
    history.call("docs", last, usd=0.02)
    history.add(
        ev.AttemptEnded(outcome="exhausted", reason="ran out of model turns", limit="turns"), item="docs", attempt=last
    )
    history.move("docs", ItemState.FAILED, "ran out of model turns")
    history.move("docs", ItemState.WAITING_HUMAN, "its attempts are spent")
    question = Question(
        id="q-0123456789",
        kind="escalation",
        item="docs",
        title="Docs: what now?",
        why="5 attempts",
        default="abandon_item",
    )
    history.add(ev.QuestionAsked(question=question), item="docs")
    history.add(ev.RunEnded(state="waiting", reason="waits for a person: Docs: what now?"))
    return history


@pytest.fixture
def history() -> type[History]:
    """To write a history of one's own."""
    return History


@pytest.fixture
def work_item() -> Any:
    """To make work items: `work_item("api", "storage")` depends on storage."""
    return item


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """A model server that answers as it is told."""
    async with raw_server() as listening:
        yield listening


@pytest.fixture
def purse() -> Iterator[Purse]:
    """A purse of 5 USD."""
    made = Purse(5.0)
    yield made
    made.book.close()
