"""The last runs of a project, found by the statistics they left in their run folders, and a chart of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from aurea.topology.figures import SCHEMA
from aurea.topology.history import LAST

STATISTICS = "artifacts/statistics.json"
_MOST_LOOKED_AT = 500  # run folders, newest first: a home of many projects shall not slow down the end of a run
_ENDED = ("succeeded", "failed")

# What the chart shows, one line each.
CHARTED = ("makespan_s", "work_s", "chain_wait_s", "attempts", "loops", "tokens", "usd")
_WIDTH, _ROW, _LABEL, _VALUE, _PAD = 560, 34, 210, 90, 8


def earlier_runs(folder: Path, project: str) -> list[dict[str, Any]]:
    """The statistics of earlier runs of `project` beside the run folder `folder`, newest first, at most `LAST`."""
    found: list[tuple[float, Path]] = []
    for other in folder.parent.iterdir():
        path = other / STATISTICS
        if other.name != folder.name:
            with suppress(OSError):  # no run that ended, or one that is being cleaned away
                found.append((path.stat().st_mtime, path))
    runs: list[dict[str, Any]] = []
    for _, path in sorted(found, reverse=True)[:_MOST_LOOKED_AT]:
        statistics = _read(path)
        if statistics is not None and statistics["project"] == project and statistics["state"] in _ENDED:
            runs.append(statistics)
            if len(runs) == LAST:
                break
    return runs


def _read(path: Path) -> dict[str, Any] | None:
    """The statistics at `path`; None where they are damaged or of another schema: history may have gaps."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return value if value["schema"] == SCHEMA and value["measures"] and value["kinds"] is not None else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def history_svg(compared: Mapping[str, Any]) -> str:
    """A small line per measure over the last runs, oldest first; the dot is this run. Empty without earlier runs."""
    if not compared["runs"]:
        return ""
    rows = {row["measure"]: row for row in compared["measures"]}
    lines = [_line(rows[name], compared["series"][name], index) for index, name in enumerate(CHARTED)]
    height = _ROW * len(CHARTED) + _PAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="history" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="ui-sans-serif,system-ui,sans-serif" role="img">'
        f"<title>This run and the {compared['runs']} before it</title>{''.join(lines)}</svg>\n"
    )


def _line(row: Mapping[str, Any], values: Sequence[float], index: int) -> str:
    top, bottom = index * _ROW + 8, (index + 1) * _ROW - 6
    left, right = _LABEL, _WIDTH - _VALUE
    least, most = min(values), max(values)
    span = (most - least) or 1
    step = (right - left) / max(len(values) - 1, 1)
    level = 0.5 if most == least else None
    points = [
        (left + n * step, bottom - (bottom - top) * (level if level is not None else (value - least) / span))
        for n, value in enumerate(values)
    ]
    x, y = points[-1]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    middle = (top + bottom) / 2 + 4
    hint = f"{row['words']}: {row['now']:g}; earlier {row['least']:g} to {row['most']:g}, median {row['median']:g}"
    return (
        f"<g><title>{escape(hint)}</title>"
        f'<text x="4" y="{middle:.0f}" font-size="12" fill="#7a8494">{escape(row["words"])}</text>'
        f'<polyline points="{path}" fill="none" stroke="#8b95a3" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#d97706"/>'
        f'<text x="{right + 12}" y="{middle:.0f}" font-size="12" font-weight="600" fill="#d97706">'
        f"{row['now']:g}</text></g>"
    )
