"""Phase `review`: one reviewer judges a change; mapped over the reviewers of an attempt."""

from __future__ import annotations

from aurea.delivery import reviewing
from tasks.options import phase, tag
from tasks.runs import live


@phase("review", "review {index} · {item} #{attempt}")
async def review(run: str, item: str, attempt: int, index: int) -> None:
    """Let reviewer number `index`, from 1, judge an attempt that passed its checks."""
    tag("review", f"item:{item}", f"attempt:{attempt}")
    await reviewing.review(live(run), item, attempt, index)
