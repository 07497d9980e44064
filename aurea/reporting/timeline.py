"""The timeline of a run as SVG: one row per item, one bar per step, attempts that were sent back marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from aurea.reporting.text import cut, duration

_WIDTH, _LABEL, _ROW, _TOP, _PAD = 960, 170, 30, 26, 12
_MOST_ITEMS = 120
_NARROWEST = 1.5
# Steps of an item that may lie on each other are drawn in lanes of their own, from the top of its row.
_LANES = {
    "plan": (3, 21),
    "implement": (3, 16),
    "precheck": (19, 5),
    "check": (19, 5),
    "review": (19, 5),
    "land": (3, 21),
}
_GOOD = frozenset({"submitted", "passed", "approve", "landed", "accepted"})


def timeline_svg(document: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    """The executed steps of `aurea.topology/1` over time. Colours are classes: the page says what they look like."""
    steps = shape["executed"]["nodes"]
    items = [item for item in document["items"] if item["attempts"]][:_MOST_ITEMS]
    total = shape["makespan_s"]
    if not items or not total:
        return ""
    row: dict[str | None, int] = {None: 0, **{item["id"]: index for index, item in enumerate(items, 1)}}
    height = _TOP + _ROW * len(row) + _PAD
    scale = (_WIDTH - _LABEL - _PAD) / total
    parts = [
        f'<svg class="timeline" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">',
        f"<title>What was done when, over {duration(total)}</title>",
        *_axis(total, scale, height),
        _label("baseline and plan", "what was done before the first item", 0),
        *(_label(item["title"], item["id"], row[item["id"]]) for item in items),
        *(_bar(step, row[step["item"]], scale) for step in steps if step["item"] in row),
        *_returns(items, row, steps, scale),
        "</svg>",
    ]
    return "".join(parts)


def _x(seconds: float, scale: float) -> float:
    return _LABEL + seconds * scale


def _axis(total: float, scale: float, height: float) -> list[str]:
    unit = next((u for u in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
                 if total / u <= 9), 86400)  # fmt: skip
    found = []
    for n in range(int(total / unit) + 1):
        x = _x(n * unit, scale)
        words = f"{n * unit:g}s" if unit < 1 else duration(n * unit).replace(".0s", "s")
        found.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{height - _PAD}"/>'
            f'<text class="dim" x="{x:.1f}" y="14" text-anchor="middle" font-size="11">{words}</text>'
        )
    return found


def _label(title: str, hint: str, row: int) -> str:
    y = _TOP + row * _ROW
    words = escape(cut(title, 24))
    return f'<g><title>{escape(hint)}</title><text x="4" y="{y + 18}" font-size="12">{words}</text></g>'


def _bar(step: Mapping[str, Any], row: int, scale: float) -> str:
    kind = step["phase"].split(":")[0]
    top, height = _LANES[kind]
    start, end = _x(step["start_s"], scale), _x(step["end_s"], scale)
    width = max(end - start, _NARROWEST)
    bad = "" if step["outcome"] in _GOOD else " bad"
    hint = f"{step['id']}: {step['outcome']}, {duration(step['end_s'] - step['start_s'])}"
    return (
        f'<rect class="k-{kind}{bad}" x="{start:.1f}" y="{_TOP + row * _ROW + top}" width="{width:.1f}" '
        f'height="{height}" rx="2"><title>{escape(hint)}</title></rect>'
    )


def _returns(
    items: Sequence[Mapping[str, Any]], row: Mapping[str | None, int], steps: Sequence[Mapping[str, Any]], scale: float
) -> list[str]:
    """A mark where an item began once more, with why."""
    begun = {(s["item"], s["attempt"]): s["start_s"] for s in steps if s["phase"] == "implement"}
    found = []
    for item in items:
        for before, attempt in zip(item["attempts"], item["attempts"][1:], strict=False):
            if (at := begun.get((item["id"], attempt["number"]))) is None:
                continue
            x, y = _x(at, scale), _TOP + row[item["id"]] * _ROW
            why = f"attempt {attempt['number']}, because: {before['reason'] or 'the one before did not land'}"
            found.append(
                f'<g class="retry"><title>{escape(cut(why, 300))}</title>'
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 1}" y2="{y + 26}"/><circle cx="{x:.1f}" cy="{y + 2}" r="5"/>'
                f'<text x="{x:.1f}" y="{y + 5}" text-anchor="middle" font-size="8" font-weight="700">'
                f"{attempt['number']}</text></g>"
            )
    return found
