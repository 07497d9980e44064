"""Phase `report`: the run folder, and the same told as Prefect artifacts."""

from __future__ import annotations

from datetime import timedelta

from aurea.reporting.board import headline
from tasks.artifacts import publish
from tasks.options import phase, tag
from tasks.runs import live


@phase("report", "report", limit=timedelta(minutes=30))
async def report(run: str) -> None:
    """Write manifest and report of the run as it stands, then publish them."""
    tag("report")
    current = live(run)
    pages = await current.report()
    await publish(run, current.spec.project, headline(current.state, current.clock.now()), pages)
