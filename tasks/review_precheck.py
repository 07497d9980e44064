"""Phase `review_precheck`: the look at a change that needs no model."""

from __future__ import annotations

from datetime import timedelta

from aurea.delivery import precheck
from tasks.options import phase, tag
from tasks.runs import live


@phase("review_precheck", "review_precheck {item} #{attempt}", limit=timedelta(minutes=10))
async def review_precheck(run: str, item: str, attempt: int) -> None:
    """Look for an empty or oversized change, files outside the declared scope, touched tests, secrets."""
    tag("review_precheck", f"item:{item}", f"attempt:{attempt}")
    await precheck.precheck(live(run), item, attempt)
