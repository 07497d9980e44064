"""The phases of upkeep as Prefect tasks: verify, clean, re-gate. Each opens the home of this process by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from prefect.artifacts import acreate_markdown_artifact

from aurea.bootstrap import landed_hashes
from aurea.home import Home
from aurea.ledger.verify import verify
from aurea.reporting.text import many, one_line
from aurea.settings import Settings
from aurea.upkeep import clean, regate, targets
from tasks.options import phase


@phase("verify", "verify the ledger")
async def verify_ledger() -> list[str]:
    """What is wrong with the ledger, its run folders and what landed; nothing where they are sound."""
    return await asyncio.to_thread(_verify)


@phase("clean", "clean the home")
async def clean_home(older_than_days: float | None) -> str:
    """Remove what nobody needs any more; says in words what that was."""
    age = None if older_than_days is None else timedelta(days=older_than_days)
    with Home(Settings.read()) as home:
        done = await clean(home, older_than=age)
    refs = sum(map(len, done.refs.values()))
    parts = many(len(done.workspaces), "workspace"), many(refs, "attempt ref"), many(len(done.folders), "run folder")
    return f"removed {', '.join(parts)}"


@phase("regate", "run the gates again")
async def run_gates_again() -> list[dict[str, Any]]:
    """One row per target: the newest run of each project that succeeded, and what its checks show there now."""
    with Home(Settings.read()) as home:
        if (why := home.halted) is not None:
            return [{"project": "-", "run": "-", "result": "not run", "why": f"this home is halted: {why}"}]
        rows = []
        for run in targets(home):
            seen = await regate(home, run)
            result = {True: "green", False: "red", None: "not run"}[seen.passed]
            told = seen.reason or "; ".join(f"{name} {outcome}" for name, outcome in seen.checks.items())
            rows.append({"project": seen.project, "run": run, "result": result, "why": one_line(told)})
        return rows


async def publish_upkeep(problems: Sequence[str], cleaned: str, rows: Sequence[dict[str, Any]]) -> None:
    """The artifact `upkeep`: one version per time."""
    lines = ["## Ledger", "", *([f"- **{one_line(text)}**" for text in problems] or ["sound"])]
    lines += ["", "## Cleaning", "", cleaned, "", "## Targets", ""]
    if rows:
        lines += ["| project | run | target | why |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(str(value).replace("|", "/") for value in row.values()) + " |" for row in rows]
    else:
        lines.append("no run has succeeded yet")
    await acreate_markdown_artifact("\n".join(lines), key="upkeep", description="What the upkeep found")


def _verify() -> list[str]:
    with Home(Settings.read()) as home:
        own = home.settings.ledger_url is None
        return list(verify(home.store, home.settings.home, None, landed_hashes(home), own=own).problems)
