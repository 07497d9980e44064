"""Phase `check`: one command whose exit status is evidence; mapped over the checks of an attempt."""

from __future__ import annotations

from aurea.delivery import checks
from tasks.options import phase, tag
from tasks.runs import live


@phase("check", "check {name} · {item} #{attempt}")
async def check(run: str, item: str, attempt: int, name: str) -> None:
    """Run one check on the tree that an attempt submitted."""
    tag("check", f"check:{name}", f"item:{item}", f"attempt:{attempt}")
    await checks.check(live(run), item, attempt, name)
