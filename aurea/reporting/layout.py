"""Where the nodes of a plan stand in its picture: layers by longest path, few crossings, straight edges."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aurea.domain.plan import topological

NODE_WIDTH, NODE_HEIGHT = 204, 52
GAP_X, GAP_Y = 60, 18
LANE = 10  # the height that edges take where they pass a column
MARGIN = 16
_SWEEPS = 6

Point = tuple[float, float]
# A place in a column: a node in its own column; in a later one, the lane in which its edges pass.
_Slot = tuple[str, int]


@dataclass(frozen=True)
class Layout:
    """Size of the picture in pixels, the upper left corner of each node, and the points that each edge passes."""

    width: float
    height: float
    nodes: dict[str, Point]
    edges: dict[tuple[str, str], tuple[Point, ...]]


def layout(edges: Mapping[str, Sequence[str]]) -> Layout:
    """Place the nodes of an acyclic graph (node -> what it depends on), dependencies to the left."""
    parents = {node: [p for p in dict.fromkeys(names) if p in edges] for node, names in edges.items()}
    column = _columns(parents)
    links = _links(parents, column)
    slots = _ordered(parents, column, links)
    middle = _heights(slots, column, links)
    top = min((y - _height(slot, column) / 2 for slot, y in middle.items()), default=0.0)
    bottom = max((y + _height(slot, column) / 2 for slot, y in middle.items()), default=0.0)
    place = {(node, c): (float(MARGIN + c * (NODE_WIDTH + GAP_X)), y - top + MARGIN) for (node, c), y in middle.items()}
    paths: dict[tuple[str, str], tuple[Point, ...]] = {}
    for node, names in parents.items():
        for parent in names:
            x, y = place[parent, column[parent]]
            points = [(x + NODE_WIDTH, y)]
            for c in range(column[parent] + 1, column[node]):
                x, y = place[parent, c]
                points += [(x, y), (x + NODE_WIDTH, y)]
            paths[parent, node] = (*points, place[node, column[node]])
    count = len(slots)
    return Layout(
        width=2 * MARGIN + max(count, 1) * NODE_WIDTH + max(count - 1, 0) * GAP_X,
        height=bottom - top + 2 * MARGIN,
        nodes={node: (place[node, c][0], place[node, c][1] - NODE_HEIGHT / 2) for node, c in column.items()},
        edges=paths,
    )


def _columns(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The column of each node: its longest path from a root, with layers that are too high spread over several."""
    layer: dict[str, int] = {}
    for node in topological(parents):
        layer[node] = max((layer[p] + 1 for p in parents[node]), default=0)
    rows = max(8, math.ceil(1.2 * math.sqrt(len(layer))))
    members: dict[int, list[str]] = defaultdict(list)
    for node in parents:
        members[layer[node]].append(node)
    column: dict[str, int] = {}
    first = 0
    for depth in sorted(members):
        nodes = members[depth]
        width = math.ceil(len(nodes) / rows)
        column.update({node: first + i * width // len(nodes) for i, node in enumerate(nodes)})
        first += width
    return column


def _links(parents: Mapping[str, Sequence[str]], column: Mapping[str, int]) -> list[tuple[_Slot, _Slot]]:
    """Steps from one column to the next; the edges of one node share their lane until they leave it."""
    found: dict[tuple[_Slot, _Slot], None] = {}
    for node, names in parents.items():
        for parent in names:
            for c in range(column[parent] + 1, column[node]):
                found[(parent, c - 1), (parent, c)] = None
            found[(parent, column[node] - 1), (node, column[node])] = None
    return list(found)


def _ordered(
    parents: Mapping[str, Sequence[str]], column: Mapping[str, int], links: Sequence[tuple[_Slot, _Slot]]
) -> list[list[_Slot]]:
    """The slots of each column from top to bottom, sorted to and fro by where their neighbours are."""
    everything = dict.fromkeys([(node, column[node]) for node in parents] + [slot for link in links for slot in link])
    columns: list[list[_Slot]] = [[] for _ in range(max((c for _, c in everything), default=-1) + 1)]
    for slot in everything:
        columns[slot[1]].append(slot)
    before, after = _neighbours(links)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        near = before if forth else after
        for slots in columns if forth else reversed(columns):
            at = {slot: i / len(other) for other in columns for i, slot in enumerate(other)}
            slots.sort(key=lambda slot: _mean([at[n] for n in near[slot]], at[slot]))
    return columns


def _heights(
    columns: Sequence[Sequence[_Slot]], column: Mapping[str, int], links: Sequence[tuple[_Slot, _Slot]]
) -> dict[_Slot, float]:
    """The middle of each slot, as near to its neighbours as its column allows."""
    before, after = _neighbours(links)
    middle: dict[_Slot, float] = {}
    for slots in columns:
        middle.update(zip(slots, _spread([0.0] * len(slots), [_height(s, column) for s in slots]), strict=True))
    for sweep in range(_SWEEPS):
        for slots in columns if sweep % 2 == 0 else reversed(columns):
            wanted = [_mean([middle[n] for n in (*before[s], *after[s])], middle[s]) for s in slots]
            middle.update(zip(slots, _spread(wanted, [_height(s, column) for s in slots]), strict=True))
    return middle


def _spread(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Positions as near as possible (least squares) to those wanted, in order and without overlap.

    Subtracting what must lie between makes it the search for the nearest rising sequence, which pooling solves exactly.
    """
    offsets, total = [], 0.0
    for i, height in enumerate(heights):
        total += (heights[i - 1] + height) / 2 + GAP_Y if i else 0.0
        offsets.append(total)
    pools: list[tuple[float, int]] = []
    for value in (w - o for w, o in zip(wanted, offsets, strict=True)):
        pool = (value, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, size = pools.pop()
            pool = ((mean * size + pool[0] * pool[1]) / (size + pool[1]), size + pool[1])
        pools.append(pool)
    levels = [mean for mean, size in pools for _ in range(size)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]


def _neighbours(links: Sequence[tuple[_Slot, _Slot]]) -> tuple[dict[_Slot, list[_Slot]], dict[_Slot, list[_Slot]]]:
    before: dict[_Slot, list[_Slot]] = defaultdict(list)
    after: dict[_Slot, list[_Slot]] = defaultdict(list)
    for left, right in links:
        before[right].append(left)
        after[left].append(right)
    return before, after


def _height(slot: _Slot, column: Mapping[str, int]) -> float:
    return NODE_HEIGHT if column[slot[0]] == slot[1] else LANE


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
