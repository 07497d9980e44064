"""The planned graph of a run: each item's phases and the order in which they must stand."""

from __future__ import annotations

from dataclasses import dataclass

from aurea.domain.spec import ItemSpec, Spec

PLAN = "plan"
Edge = tuple[str, str]


@dataclass(frozen=True)
class Graph:
    """Nodes by name, in order, and edges from what comes first to what follows."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]


def node(item: str, phase: str) -> str:
    """The name of one phase of one item: `storage:implement`, `storage:check:tests`, `storage:review:reviewer-1`."""
    return f"{item}:{phase}"


def planned_graph(spec: Spec, items: tuple[ItemSpec, ...]) -> Graph:
    """What should happen if every first attempt lands: plan, then for each item implement, judge, land."""
    nodes = [PLAN]
    edges: list[Edge] = []
    for item in items:
        implement, land = node(item.id, "implement"), node(item.id, "land")
        judges = [node(item.id, "precheck")]
        judges += [node(item.id, f"check:{check.name}") for check in spec.checks_for(item, "attempt")]
        reviews = [node(item.id, f"review:{r.role}-{n}") for n, r in enumerate(spec.reviewers, 1)]
        nodes += [implement, *judges, *reviews, land]
        edges += [(node(other, "land"), implement) for other in item.depends_on]
        if not item.depends_on:
            edges.append((PLAN, implement))
        edges += [(implement, judge) for judge in judges]
        edges += [(judge, review) for judge in judges for review in reviews]
        edges += [(last, land) for last in reviews or judges]
    return Graph(tuple(nodes), tuple(edges))
