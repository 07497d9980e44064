"""Phase `plan`: the baseline, then an accepted plan in the ledger."""

from __future__ import annotations

from aurea.delivery import planning
from tasks.options import phase, tag
from tasks.runs import live


@phase("plan", "plan")
async def plan(run: str) -> None:
    """Run setup and checks on the base, then bring an acyclic, checked plan into the ledger."""
    tag("plan")
    await planning.plan(live(run))
