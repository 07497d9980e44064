"""What a watcher sees of a run at one moment, drawn as a table that fits the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from aurea.domain.lifecycle import ItemState
from aurea.reporting.board import AT_WORK, Board
from aurea.reporting.text import cut
from surfaces.cli.palette import MARKS, STYLES

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

# What is shown first where not everything fits.
_RANK = {
    **dict.fromkeys(AT_WORK, 0), ItemState.WAITING_HUMAN: 1, ItemState.FAILED: 1, ItemState.READY: 2,
    ItemState.BLOCKED: 2, ItemState.PLANNED: 3, ItemState.COMPLETE: 4, ItemState.ABANDONED: 4,
}  # fmt: skip


def view(board: Board, now: datetime, *, width: int, height: int) -> Group:
    """The table for a terminal of this size; what does not fit is counted in the last line."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines = board.lines(now)
    room = max(height - 4, 1)
    shown = sorted(range(len(lines)), key=lambda i: _RANK[lines[i].state])[:room]
    table = Table(box=None, padding=(0, 1), show_header=bool(lines), header_style="dim", width=width)
    names = min(max((len(line.name) for line in lines), default=4), max(width // 4, 8))
    table.add_column("", width=1)
    table.add_column("item", width=names, no_wrap=True, overflow="ellipsis")
    table.add_column("phase", width=13, no_wrap=True)
    table.add_column("try", no_wrap=True)
    numbers = ("time", "tokens", "cost") if width >= 72 else ("time",)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    if width >= 56:
        table.add_column("now", ratio=1, no_wrap=True, overflow="ellipsis")
    for index in sorted(shown):
        line, style = lines[index], STYLES[lines[index].state.value]
        cells = [Text(MARKS[line.state.value], style), Text(line.name), Text(line.phase, style), Text(line.attempt)]
        cells += [Text(text) for text in (line.elapsed, line.tokens, line.cost)[: len(numbers)]]
        table.add_row(*cells, *([Text(line.doing, "dim")] if width >= 56 else []))
    parts: list[RenderableType] = [Text(cut(board.headline(now), width), "bold"), table]
    if len(shown) < len(lines):
        parts.append(Text(f"  and {len(lines) - len(shown)} more", "dim"))
    return Group(*parts)
