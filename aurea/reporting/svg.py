"""The plan as a picture: hand-made SVG that reads well on light and on dark pages and asks for nothing from outside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from aurea.reporting.layout import NODE_HEIGHT, NODE_WIDTH, Point, layout
from aurea.reporting.text import cut, many, one_line

# Fill, border and bar of a node by its state. Fills are light and text dark, so that pages of any colour suit them.
_COLOURS = {
    "planned": ("#f3f4f6", "#9ca3af"),
    "ready": ("#eef2ff", "#818cf8"),
    "active": ("#dbeafe", "#3b82f6"),
    "awaiting_qa": ("#e0f2fe", "#0ea5e9"),
    "merging": ("#ede9fe", "#8b5cf6"),
    "complete": ("#dcfce7", "#16a34a"),
    "blocked": ("#ffedd5", "#ea580c"),
    "failed": ("#fee2e2", "#dc2626"),
    "waiting_human": ("#fef3c7", "#d97706"),
    "abandoned": ("#e5e7eb", "#6b7280"),
}
_FONT = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
_WIDEST = 6000  # pixels; what is wider, a chain of more than twenty items, is shown smaller and can be zoomed
_TITLE_WIDTH, _NOTE_WIDTH = 22, 30


def plan_svg(document: dict[str, Any]) -> str:
    """The plan of a run document as an SVG image: items with state and attempts, dependencies, the critical path."""
    items = {item["id"]: item for item in document["items"]}
    if not items:
        return _empty()
    drawn = layout({name: item["depends_on"] for name, item in items.items()})
    critical = document["plan"]["critical_path"]
    chain = set(pairwise(critical))
    edges = sorted(drawn.edges.items(), key=lambda entry: entry[0] in chain)
    scale = min(1.0, _WIDEST / drawn.width)
    width, height = drawn.width * scale, drawn.height * scale
    done = sum(1 for item in items.values() if item["state"] == "complete")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {drawn.width:.0f} {drawn.height:.0f}" font-family={quoteattr(_FONT)} role="img">',
        f"<title>{escape(one_line(document['project']))}: {done} of {len(items)} items complete</title>",
        _marker("tip", "#8b95a3"),
        _marker("tip-critical", "#d97706"),
        *(_edge(points, critical=pair in chain) for pair, points in edges),
        *(_node(item, drawn.nodes[name], critical=name in critical) for name, item in items.items()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def data_uri(svg: str) -> str:
    """The picture as a data URI, for markdown that must carry its images with it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _node(item: dict[str, Any], corner: Point, *, critical: bool) -> str:
    x, y = corner
    fill, line = _COLOURS.get(item["state"], _COLOURS["planned"])
    tries = len(item["attempts"])
    note = item["state"].replace("_", " ") + (f" · {many(tries, 'attempt')}" if tries else "")
    dashed = ' stroke-dasharray="4 3"' if item["state"] in ("planned", "abandoned") else ""
    hint = f"{item['id']}: {one_line(item['goal'])}" + (" (on the critical path)" if critical else "")
    return (
        f'<g transform="translate({x:.1f} {y:.1f})"><title>{escape(hint)}</title>'
        f'<rect width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="8" fill="{fill}" stroke="{line}" '
        f'stroke-width="{2 if critical else 1}"{dashed}/>'
        f'<rect x="8" y="10" width="4" height="{NODE_HEIGHT - 20}" rx="2" fill="{line}"/>'
        f'<text x="22" y="22" font-size="13" font-weight="600" fill="#111827">'
        f"{escape(cut(item['title'], _TITLE_WIDTH))}</text>"
        f'<text x="22" y="40" font-size="11" fill="#4b5563">{escape(cut(note, _NOTE_WIDTH))}</text></g>'
    )


def _edge(points: Sequence[Point], *, critical: bool) -> str:
    """A curve from column to column, straight through the columns that it passes."""
    x, y = points[0]
    steps = [f"M{x:.1f} {y:.1f}"]
    ends = [*points[1:-1], (points[-1][0] - 6, points[-1][1])]  # leaves room for the arrow's tip
    for i, (to_x, to_y) in enumerate(ends):
        if i % 2:
            steps.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            bend = (x + to_x) / 2
            steps.append(f"C{bend:.1f} {y:.1f} {bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    colour, width, tip = ("#d97706", 2.25, "tip-critical") if critical else ("#8b95a3", 1.25, "tip")
    return f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="{width}" marker-end="url(#{tip})"/>'


def _marker(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="8" markerHeight="8" orient="auto" '
        f'markerUnits="userSpaceOnUse"><path d="M0 0.5L8 4L0 7.5z" fill="{colour}"/></marker>'
    )


def _empty() -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="48" viewBox="0 0 240 48" role="img">'
        f'<title>no plan yet</title><text x="16" y="29" font-family={quoteattr(_FONT)} font-size="13" '
        'fill="#7a8494">no plan yet</text></svg>\n'
    )
