"""The phases of upkeep as Prefect tasks: deadlines, verify, clean, re-gate. Each opens the home of this process by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from aurea.bootstrap import landed_hashes
from aurea.delivery.deadlines import default_answer, overdue
from aurea.domain.errors import Permanent
from aurea.domain.spec import BlockNames
from aurea.domain.state import OpenQuestion
from aurea.home import Home
from aurea.ledger.verify import verify
from aurea.reporting.text import many, one_line
from aurea.settings import Settings
from aurea.upkeep import clean, regate, targets
from blocks.stored import stored
from tasks.gate import closing, stored_answer
from tasks.logs import log_of_flow_runs, of_this_flow_run
from tasks.options import phase
from tasks.pick_up import resume_answered

RESUMED = (StateType.RUNNING, StateType.PENDING, StateType.SCHEDULED)


@phase("verify", "verify the ledger")
async def verify_ledger() -> list[str]:
    """What is wrong with the ledger, its run folders and what landed; nothing where they are sound."""
    return await asyncio.to_thread(_verify, await _settings())


@phase("deadlines", "answer what nobody answered in time")
async def apply_deadlines() -> list[str]:
    """Give questions that nobody answered in time their stated defaults; says which, and lets suspended runs go on."""
    with Home(await _settings()) as home:
        late = [(run, asked) for run in home.ledger.runs() for asked in overdue(home.state(run), home.clock.now())]
        async with get_client() as client:
            done = [asked for asked in late if await _apply(home, client, *asked)]
    if done:
        await resume_answered()
    return [f"{asked.question.id} of run {run}: {asked.default}" for run, asked in done]


async def _apply(home: Home, client: PrefectClient, run: str, asked: OpenQuestion) -> bool:
    """Give a question its default, in Prefect too; False where a person was first, even if no process has seen it yet."""
    gate = await _gate(client, asked)
    if gate is not None and gate.state_type in RESUMED and await stored_answer(client, gate) is not None:
        return False
    try:
        await home.ledger.record(run, [default_answer(asked)])
    except Permanent:  # answered at this moment
        return False
    if gate is not None:
        await client.set_flow_run_state(gate.id, closing(home.state(run), asked.question.id), force=True)
    return True


async def _gate(client: PrefectClient, asked: OpenQuestion) -> FlowRun | None:
    """The flow run in which a question can be answered; None where this server has none."""
    if asked.shown is None:
        return None
    try:
        return await client.read_flow_run(UUID(asked.shown.flow_run))
    except ObjectNotFound:
        return None


@phase("clean", "clean the home")
async def clean_home(older_than_days: float | None) -> str:
    """Remove what nobody needs any more; says in words what that was."""
    age = None if older_than_days is None else timedelta(days=older_than_days)
    with Home(await _settings()) as home:
        done = await clean(home, older_than=age)
    refs = sum(map(len, done.refs.values()))
    parts = many(len(done.workspaces), "workspace"), many(refs, "attempt ref"), many(len(done.folders), "run folder")
    return f"removed {', '.join(parts)}"


@phase("regate", "run the gates again")
async def run_gates_again() -> list[dict[str, Any]]:
    """One row per target: the newest run of each project that succeeded, and what its checks show there now."""
    with Home(await _settings()) as home:
        if (why := home.halted) is not None:
            return [{"project": "-", "run": "-", "result": "not run", "why": f"this home is halted: {why}"}]
        rows = []
        for run in targets(home):
            seen = await regate(home, run)
            result = {True: "green", False: "red", None: "not run"}[seen.passed]
            told = seen.reason or "; ".join(f"{name} {outcome}" for name, outcome in seen.checks.items())
            rows.append({"project": seen.project, "run": run, "result": result, "why": one_line(told)})
        return rows


async def publish_upkeep(
    problems: Sequence[str], answered: Sequence[str], cleaned: str, rows: Sequence[dict[str, Any]]
) -> None:
    """The artifact `upkeep`, one version per time, and the same as lines of the log."""
    _tell(problems, answered, cleaned, rows)
    lines = ["## Ledger", "", *([f"- **{one_line(text)}**" for text in problems] or ["sound"])]
    if answered:
        lines += ["", "## Not answered in time", "", *(f"- {text}" for text in answered)]
    lines += ["", "## Cleaning", "", cleaned, "", "## Targets", ""]
    if rows:
        lines += ["| project | run | target | why |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(str(value).replace("|", "/") for value in row.values()) + " |" for row in rows]
    else:
        lines.append("no run has succeeded yet")
    await acreate_markdown_artifact("\n".join(lines), key="upkeep", description="What the upkeep found")


def _tell(problems: Sequence[str], answered: Sequence[str], cleaned: str, rows: Sequence[dict[str, Any]]) -> None:
    logger, about = log_of_flow_runs(), of_this_flow_run("upkeep")
    lines = [(logging.ERROR, "ledger", one_line(text)) for text in problems] or [(logging.INFO, "ledger", "sound")]
    lines += [(logging.WARNING, "question", f"not answered in time: {text}") for text in answered]
    lines.append((logging.INFO, "clean", cleaned))
    for row in rows:
        level = logging.ERROR if row["result"] == "red" else logging.INFO
        lines.append((level, "gate", f"{row['project']} ({row['run']}) {row['result']}: {row['why']}"))
    for level, place, text in lines:
        logger.log(level, "%-12s  %s", place, text, extra=about)


async def _settings() -> Settings:
    """Those of deployed runs that name no blocks of their own."""
    here = Settings.read()
    return here.behind((await stored(BlockNames(**here.blocks))).variables)


def _verify(settings: Settings) -> list[str]:
    with Home(settings) as home:
        own = home.settings.ledger_url is None
        found = verify(home.store, home.settings.home, None, landed_hashes(home), own=own, where=home.where)
        return list(found.problems)
