"""The loop engine on fakes: a ledger in memory, a folder as workspace, a model that answers by step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aurea.agents.engine import LoopEngine
from aurea.domain.errors import Permanent, ToolRefused
from aurea.domain.events import Draft, Event
from aurea.domain.messages import Message, ModelRef, ModelReply, ModelRequest, ToolCall
from aurea.domain.spec import ItemSpec
from aurea.ledger.book import Book
from aurea.models.journal import JournalClient
from aurea.models.prices import Prices
from aurea.models.waiting import Waiting
from aurea.ports import AgentOutcome, Assignment, CommandLine, CommandResult, Ledger, Snapshot
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from aurea.testing.drafts import ITEM, created, planned, started
from aurea.testing.store import MemoryEventStore

RUN = "run-1"
Turn = ModelReply | Exception


class FolderWorkspace:
    """A workspace that is only folders; it has no git and makes no snapshots."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = path / "tree"
        self.home = path / "home"
        self.tmp = path / "tmp"
        self.base = "0" * 40
        for folder in (self.tree, self.home, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)

    async def snapshot(self, message: str) -> Snapshot:
        """Refused: there is no git to make one with."""
        raise Permanent(
            f"the workspace {str(self.path)!r} is only folders: it has no git to snapshot it with",
            remedy="use a workspace of `aurea.adapters.git` where snapshots are needed",
        )

    async def ignore_present(self) -> None:
        """Nothing is snapshotted anyway."""

    async def remove(self) -> None:
        """Left to whoever made the folder."""


class NotedDesk:
    """Implements `ports.Desk`: notes what is handed in, once each; `refuse` is said of every proposal."""

    def __init__(self, refuse: str = "") -> None:
        self.notes: list[tuple[Any, ...]] = []
        self.refuse = refuse
        self.waited = 0.0

    async def insight(self, text: str) -> str:
        """Noted."""
        return self._note("insight", text)

    async def decision(self, title: str, text: str) -> str:
        """Noted."""
        return self._note("decision", title, text)

    async def escalate(self, kind: str, text: str) -> str:
        """Noted."""
        return self._note("escalation", kind, text)

    async def subtasks(self, items: Sequence[ItemSpec], *, wait: bool) -> str:
        """Noted, or refused."""
        if self.refuse:
            raise ToolRefused(self.refuse)
        return self._note("subtasks", tuple(item.id for item in items), wait)

    def _note(self, *said: Any) -> str:
        if said not in self.notes:
            self.notes.append(said)
        return f"{said[0]} noted"


class ModelBySteps:
    """Answers step n of a conversation with the n-th turn, however often it is asked; the last one goes on for ever.

    Conversations named in `others` have an answer of their own. With `once` an error is raised once, and then skipped.
    """

    def __init__(self, turns: Sequence[Turn], clock: SimulatedClock, seconds: float = 1.0) -> None:
        self.turns = list(turns)
        self.requests: list[ModelRequest] = []
        self._clock = clock
        self._seconds = seconds
        self.others: dict[str, Turn] = {}
        self.once = False
        self._raised = 0

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The turn of the request's step, `seconds` later."""
        self.requests.append(request)
        self._clock.advance(self._seconds)
        at = request.address
        turn = self.others.get(at.conversation) or self.turns[min(at.step + self._raised, len(self.turns)) - 1]
        if isinstance(turn, Exception):
            self._raised += self.once
            raise turn
        return turn


@dataclass
class Bench:
    """One assignment and everything an engine needs for it. `run` called again takes up what is there."""

    folder: Path
    turns: Sequence[Turn]
    role: str = "coder"
    timeout_s: float = 900.0
    seconds: float = 1.0
    commands: Callable[[CommandLine], CommandResult | Awaitable[CommandResult] | None] = lambda _: None
    limits: Mapping[str, Any] = field(default_factory=dict)
    desk: NotedDesk | None = None
    all_tools: bool = False

    def __post_init__(self) -> None:
        self.clock = SimulatedClock(auto=False)
        self.store = MemoryEventStore()
        self.workspace = FolderWorkspace(self.folder / "workspace")
        self.tree = self.workspace.tree
        self.model = ModelBySteps(self.turns, self.clock, self.seconds)
        self.runner = ScriptedRunner(self.commands)
        self.book = Book(self.store, self.clock)
        self.book.append(RUN, [created(), planned(), started()])

    @property
    def assignment(self) -> Assignment:
        """Attempt 1 at the item, in the workspace."""
        return Assignment(
            item=ITEM,
            attempt=1,
            role=self.role,
            conversation=self.role if self.role != "reviewer" else "reviewer-1",
            system="You are an engineer.",
            task="Make storage.",
            timeout_s=self.timeout_s,
            workspace=self.workspace,
            env={"PATH": "/usr/bin:/bin"},
            desk=self.desk,
            all_tools=self.all_tools,
        )

    async def run(self, ledger: Ledger | None = None) -> AgentOutcome:
        """Run the assignment on this ledger; by default on a new book over the same store, as a new process would."""
        used = ledger or self.fresh_book()
        journal = JournalClient(
            self.model, ledger=used, run=RUN, prices=Prices(lambda _: True), clock=self.clock, waiting=Waiting()
        )
        engine = LoopEngine(
            run=RUN,
            ledger=used,
            client=journal,
            commands=self.runner,
            model_for=lambda role, named: ModelRef(provider="replay", name=named or role),
            clock=self.clock,
            folder=self.folder / "run",
            **self.limits,
        )
        return await engine.run(self.assignment)

    def fresh_book(self) -> Book:
        """A new ledger over the same store, as a new process would open it; `book` from here on."""
        self.book.close()
        self.book = Book(self.store, self.clock)
        return self.book

    def events(self, kind: str) -> list[Event]:
        """The events of one type, in order."""
        return [event for event in self.book.events(RUN) if event.type == kind]

    def told(self) -> list[Message]:
        """The conversation as the model saw it when it was last asked."""
        return list(self.model.requests[-1].messages)

    def tool_answers(self) -> list[tuple[str, str, str]]:
        """Tool, outcome and answer of every call that ended, in order."""
        facts: list[Any] = [event.fact for event in self.events("tool.ended")]
        return [(fact.tool, fact.outcome, self.book.body(fact.body)) for fact in facts]


class Crash(BaseException):
    """The process is gone."""


class CrashingLedger:
    """A ledger in front of `book` whose process dies at its `at`-th record: just before it, or just after it."""

    def __init__(self, book: Book, at: int, *, after: bool) -> None:
        self._book = book
        self._left = at
        self._after = after

    async def record(self, run: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        """Record, or die."""
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Crash
        events = await self._book.record(run, drafts, bodies)
        if self._left == 0:
            raise Crash
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)


def reply(*calls: tuple[str, dict[str, Any] | str], text: str = "", finish: str = "tool_calls") -> ModelReply:
    """A model answer with these calls."""
    made = tuple(ToolCall(id=f"c{n}", name=name, arguments=arguments) for n, (name, arguments) in enumerate(calls, 1))
    return ModelReply.model_validate({"text": text, "calls": made, "finish": finish if calls else "stop"})


REPORT: tuple[str, dict[str, Any]] = ("submit_report", {"summary": "done", "approach": "simply"})
