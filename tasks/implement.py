"""Phase `implement`: an agent works on an item in a workspace of its own."""

from __future__ import annotations

from aurea.delivery import implement as implementing
from tasks.options import phase, tag
from tasks.runs import live


@phase("implement", "implement {item} #{attempt}")
async def implement(run: str, item: str, attempt: int) -> None:
    """Let an agent work on one attempt until it submits or a limit ends it."""
    tag("implement", f"item:{item}", f"attempt:{attempt}")
    await implementing.implement(live(run), item, attempt)
