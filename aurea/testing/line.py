"""The line without Prefect: phases as plain calls, an engine that is a function, and a run wired on fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aurea.delivery import checks, implement, landing, planning, precheck, replanning, reviewing
from aurea.delivery.context import Run
from aurea.delivery.line import Phases
from aurea.domain.events import Draft, RunCreated
from aurea.domain.evidence import Base
from aurea.domain.messages import ModelRef
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.ports import AgentOutcome, Assignment, Clock, CommandRunner
from aurea.testing.git import MemoryRepository
from aurea.testing.store import MemoryEventStore

Script = Callable[[Assignment], Awaitable[Mapping[str, object] | AgentOutcome]]


class ScriptedEngine:
    """Implements `ports.AgentEngine`: a coroutine function plays every agent; assignments are kept for inspection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.assignments: list[Assignment] = []

    async def run(self, assignment: Assignment) -> AgentOutcome:
        """Let the script work; a mapping it returns is what the result tool was called with."""
        self.assignments.append(assignment)
        answer = await self.script(assignment)
        return answer if isinstance(answer, AgentOutcome) else AgentOutcome(ended="result", result=answer)


def plain_phases(run: Run) -> Phases:
    """Every phase as a direct call on `run`; checks and reviews of an attempt run concurrently."""

    async def many(calls: Sequence[Awaitable[None]]) -> None:
        await asyncio.gather(*calls)

    async def write_report(_: str) -> None:
        await run.report()

    return Phases(
        plan=lambda _: planning.plan(run),
        replan=lambda _, item: replanning.replan(run, item),
        implement=lambda _, item, number: implement.implement(run, item, number),
        precheck=lambda _, item, number: precheck.precheck(run, item, number),
        checks=lambda _, item, number, names: many([checks.check(run, item, number, name) for name in names]),
        reviews=lambda _, item, number, indexes: many([reviewing.review(run, item, number, i) for i in indexes]),
        land=lambda _, item, number: landing.land(run, item, number),
        report=write_report,
    )


def memory_run(
    folder: Path,
    spec: Spec,
    script: Script,
    commands: CommandRunner,
    clock: Clock,
    files: Mapping[str, str] | None = None,
) -> Run:
    """A run on fakes: memory ledger and repository, scripted engine; only workspaces touch the disk, under `folder`."""
    repository = MemoryRepository(folder / "repo")
    base = repository.begin(files or {"README.md": "# A project\n"})
    ledger = Book(MemoryEventStore(), clock)

    async def no_report() -> Mapping[str, Any]:
        return {}

    created = RunCreated(
        project=spec.project,
        spec=spec.model_dump(mode="json"),
        spec_digest="sha256:0",
        repo=str(repository.path),
        made_repo=False,
        base=Base(ref="refs/heads/main", sha=base),
        target_ref="refs/heads/aurea/run-1",
        provider="scripted",
        model="scripted",
        sandbox=commands.name,
        folder=str(folder / "run-1"),
        version="0",
    )
    ledger.append("run-1", [Draft(fact=created)])
    return Run(
        id="run-1",
        spec=spec,
        ledger=ledger,
        repository=repository,
        commands=commands,
        engine=ScriptedEngine(script),
        model_for=lambda role: ModelRef(provider="scripted", name=role),
        environment=lambda workspace, extra: {"HOME": str(workspace.home), **extra},
        substitute=lambda argv: argv,
        clock=clock,
        folder=folder / "run-1",
        workspaces=folder / "workspaces",
        loop=asyncio.get_running_loop(),
        report=no_report,
    )
