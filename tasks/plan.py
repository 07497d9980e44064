"""Phase `plan`: the baseline, then an accepted plan in the ledger; again for an item that keeps failing."""

from __future__ import annotations

from aurea.delivery import planning, replanning
from tasks.options import phase, tag
from tasks.runs import live


@phase("plan", "plan")
async def plan(run: str) -> None:
    """Run setup and checks on the base, then bring an acyclic, checked plan into the ledger."""
    tag("plan")
    await planning.plan(live(run))


@phase("plan", "plan {item} anew")
async def replan(run: str, item: str) -> None:
    """Let the planner revise an item that keeps failing."""
    tag("plan", f"item:{item}")
    await replanning.replan(live(run), item)
