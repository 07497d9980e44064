"""How states look on a terminal: one style and one mark for each, the same in every view."""

from __future__ import annotations

STYLES = {
    "planned": "dim", "ready": "blue", "active": "cyan", "awaiting_qa": "cyan", "merging": "magenta",
    "complete": "green", "blocked": "yellow", "failed": "red", "waiting_human": "yellow", "abandoned": "dim",
    "running": "cyan", "waiting": "yellow", "paused": "yellow", "succeeded": "green", "cancelled": "dim",
    "interrupted": "yellow", "landed": "green", "passed": "green", "timeout": "red", "not_run": "yellow",
}  # fmt: skip

MARKS = {
    "planned": "·", "ready": "○", "active": "●", "awaiting_qa": "●", "merging": "●", "complete": "✓",
    "blocked": "!", "failed": "✗", "waiting_human": "?", "abandoned": "-",
}  # fmt: skip
