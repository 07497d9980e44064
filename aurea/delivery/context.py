"""The live run: one object that holds what the phases of one run work with, in the one process that works on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aurea.domain.events import AnyFact, Draft, Event
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.messages import ModelRef
from aurea.domain.spec import Spec
from aurea.domain.state import RunState
from aurea.ports import AgentEngine, Clock, CodeReader, CommandRunner, Ledger, QualityGate, Repository, Workspace

DIFF = 400_000  # characters of an attempt's change that are looked at


async def _nothing() -> None:
    pass


@dataclass
class Run:
    """Everything the phases need, wired by `bootstrap`. Only plain ids cross a Prefect boundary; they lead back here."""

    id: str
    spec: Spec
    ledger: Ledger
    repository: Repository
    commands: CommandRunner
    engine: AgentEngine
    model_for: Callable[[str], ModelRef]
    environment: Callable[[Workspace, Mapping[str, str]], Mapping[str, str]]
    substitute: Callable[[tuple[str, ...]], tuple[str, ...]]
    clock: Clock
    folder: Path
    workspaces: Path
    loop: asyncio.AbstractEventLoop
    report: Callable[[], Awaitable[Mapping[str, Any]]]
    follow_target: Callable[[str], Awaitable[str]] | None = None
    advance_base: Callable[[str, str, str], Awaitable[None]] | None = None
    quality: QualityGate | None = None
    stopping: Literal["cancelled"] | None = None
    landing: asyncio.Lock = field(default_factory=asyncio.Lock)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    scratch: int = 0
    busy: set[str] = field(default_factory=set)
    wait_s: float = 0.0
    carried_out: int = 0
    announce: Callable[[str], None] = lambda question: None
    announced: Callable[[], Awaitable[None]] = _nothing
    diffs: dict[str, asyncio.Future[str]] = field(default_factory=dict)
    landed_files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules: str | None = None
    code: CodeReader | None = None

    @property
    def state(self) -> RunState:
        """The fold of everything recorded so far."""
        return self.ledger.state(self.id)

    @property
    def sandbox(self) -> str:
        """The sandbox in force."""
        return self.commands.name

    async def record(
        self,
        *facts: AnyFact,
        actor: str = Actor.MANAGER,
        item: str | None = None,
        attempt: int | None = None,
        bodies: Mapping[str, str] | None = None,
    ) -> list[Event]:
        """Record facts about one item or attempt, all or none."""
        drafts = [Draft(fact=fact, actor=actor, item=item, attempt=attempt) for fact in facts]
        return await self.ledger.record(self.id, drafts, bodies)

    def lock(self, name: str) -> asyncio.Lock:
        """The lock of that name: one holder at a time within this run."""
        return self.locks.setdefault(name, asyncio.Lock())

    async def diff(self, base: str, sha: str) -> str:
        """What commit `sha` changes of `base`; read once, since the precheck and every reviewer ask for it."""
        if sha not in self.diffs:
            self.diffs[sha] = asyncio.ensure_future(self.repository.diff(base, sha, limit=DIFF))
        return await asyncio.shield(self.diffs[sha])

    def attempt_folder(self, item: str, attempt: int) -> Path:
        """Where an attempt's workspace lies."""
        return self.workspaces / self.id / f"{item}-{attempt}"

    def scratch_folder(self, purpose: str) -> Path:
        """A fresh place for a workspace that judges a tree and is thrown away."""
        self.scratch += 1
        return self.workspaces / self.id / f"_{purpose}-{self.scratch}"

    def log_folder(self, item: str | None, attempt: int | None) -> Path:
        """Where the logs of an attempt, or of the baseline, are kept."""
        return self.folder / "logs" / item / str(attempt) if item else self.folder / "logs" / "_baseline"

    def item_state(self, item: str) -> ItemState:
        """Where an item stands."""
        return self.state.item(item).state
