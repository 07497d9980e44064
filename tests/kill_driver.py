"""Processes that carry one conversation of an agent, and die where they are told to: for tests of what a kill leaves.

Started once as `python kill_driver.py`, it reads jobs as lines of JSON and forks a process for each, so that none of
them pays for the imports again; a job that says `here` is done by the driver itself, which has everything loaded then.
A process opens ledger, model layers, wires, tools and commands as a run does; what it leaves out is Prefect, git and
the delivery around the conversation.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aimock import wire
from aurea.adapters.clock import SystemClock
from aurea.adapters.commands.runner import ProcessRunner
from aurea.adapters.sql import SqlEventStore
from aurea.agents.engine import LoopEngine
from aurea.domain.events import Draft, Event
from aurea.domain.messages import ModelRef
from aurea.domain.spec import Spec
from aurea.ledger.book import Book
from aurea.models.layers import Around
from aurea.models.registry import build_client
from aurea.ports import AgentOutcome, Assignment
from aurea.testing.agents import FolderWorkspace
from aurea.testing.drafts import ITEM, created, planned, started


class Deadly:
    """A ledger in front of `book` that kills its process before or after one record: `after tool.started 2`."""

    def __init__(self, book: Book, point: str) -> None:
        self._book = book
        self._side, _, self._at = point.partition(" ")

    async def record(self, run: str, drafts: Sequence[Draft], bodies: Mapping[str, str] | None = None) -> list[Event]:
        """Record, or die."""
        here = self._at in {f"{draft.fact.type} {getattr(draft.fact, 'step', 0)}" for draft in drafts}
        if here and self._side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        events = await self._book.record(run, drafts, bodies)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)


async def converse(job: dict[str, Any]) -> AgentOutcome:
    """The conversation of the job, from wherever the ledger in its folder has it."""
    folder, run = Path(job["folder"]), job["run"]
    clock, (provider, _, name) = SystemClock(), job["model"]["model"].partition(":")
    model = ModelRef(provider=provider, name=name, options=job["model"]["options"])
    book = Book(SqlEventStore(f"sqlite:///{folder / 'ledger.db'}"), clock)
    if run not in book.runs():
        book.append(run, [created(), planned(), started()])
    ledger = Deadly(book, job["point"])
    price = {"input": 1.0, "output": 1.0}
    spec = Spec.model_validate({
        "project": "p", "objective": "o", "checks": [], "unproven": True, "budget_usd": 1000, "prices": {str(model): price},
    })  # fmt: skip
    around = Around(state=folder)
    client = build_client(
        run=run, ledger=ledger, clock=clock, spec=spec, environ={}, around=around,
        make=lambda _: wire(job["format"], job["server"]),
    )  # fmt: skip
    commands = ProcessRunner()
    engine = LoopEngine(
        run=run, ledger=ledger, client=client, commands=commands, clock=clock, model_for=lambda role, named: model,
        folder=folder / "run",
    )  # fmt: skip
    assignment = Assignment(
        item=ITEM, attempt=1, role="coder", conversation="coder", system="You write.", task=job["task"], timeout_s=600.0,
        workspace=FolderWorkspace(folder / "workspace"), env={"PATH": os.environ["PATH"], **job["env"]},
    )  # fmt: skip
    try:
        return await engine.run(assignment)
    finally:
        await client.close()
        await commands.close()
        book.close()


def main() -> None:
    """Fork a process for each job, tell its number, and how it ended."""
    for line in sys.stdin:
        job = json.loads(line)
        if job.get("here"):
            print(os.getpid(), work(job), sep="\n", flush=True)
            continue
        if (process := os.fork()) == 0:
            os._exit(work(job))
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def work(job: dict[str, Any]) -> int:
    """Do a job: its outcome is a file, 0 where there is one."""
    try:
        outcome = asyncio.run(converse(job))
    except BaseException:
        traceback.print_exc()
        return 1
    (Path(job["folder"]) / "outcome.json").write_text(json.dumps(asdict(outcome)))
    return 0


if __name__ == "__main__":
    main()
