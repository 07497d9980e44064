"""Phase `land`: the change merged onto the tip, gated on exactly that tree, and the target moved to it."""

from __future__ import annotations

from aurea.delivery import landing
from tasks.options import phase, tag
from tasks.runs import live


@phase("land", "land {item} #{attempt}")
async def land(run: str, item: str, attempt: int) -> None:
    """Merge an approved attempt in memory, gate that tree and move the target by compare-and-swap."""
    tag("land", f"item:{item}", f"attempt:{attempt}")
    await landing.land(live(run), item, attempt)
