"""The topology of a run: the plan against what was executed, loop-backs, retries, and what the time went into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from aurea.domain import events as ev
from aurea.domain.plan import tails
from aurea.domain.spec import Spec
from aurea.domain.state import Attempt, RunState
from aurea.topology.chain import Link, realised_chain
from aurea.topology.executed import Step, executed_steps
from aurea.topology.graph import Edge, Graph, planned_graph
from aurea.topology.slack import drags, idle_while_ready, network, slack

SCHEMA = "aurea.topology/1"
# Steps that follow each other within this time are one after the other, whatever the clock's resolution says.
_TOLERANCE_S = 0.005


def topology(state: RunState, events: Iterable[ev.Event], steps: Sequence[Step] | None = None) -> dict[str, Any]:
    """The shape of a run as plain JSON values; times in seconds. `events` are all events of the run, in order.

    `steps` are the executed steps of these events where the caller has them already.
    """
    history = list(events)
    steps = executed_steps(history) if steps is None else steps
    first = next((e.fact for e in history if isinstance(e.fact, ev.PlanAccepted)), None)
    spec = Spec.model_validate(state.created.spec) if state.created else None
    planned = planned_graph(spec, first.items) if spec and first else Graph((), ())
    chain = realised_chain(steps)
    net = network(steps)
    room, drag = slack(net), drags(net, [link.step for link in chain])
    loops = _loops(state)
    difference = _difference(state, planned, steps)
    return {
        "schema": SCHEMA,
        "run": state.id,
        "planned": {
            "nodes": list(planned.nodes),
            "edges": [list(edge) for edge in planned.edges],
            "critical_path": list(first.critical_path) if first else [],
            "depth": max(tails({item.id: item.depends_on for item in first.items}).values(), default=0) if first else 0,
        },
        "executed": {
            "nodes": [
                {
                    "id": step.id,
                    "item": step.item,
                    "attempt": step.attempt,
                    "phase": step.phase,
                    "start_s": round(step.start, 3),
                    "end_s": round(step.end, 3),
                    "outcome": step.outcome,
                    "slack_s": round(room[step.id], 3),
                }
                for step in steps
            ],
            "edges": [[parent, step.id] for step in steps for parent in step.parents],
        },
        "difference": difference,
        "loops": loops,
        "retries": {"attempts": len(loops), "model_calls": _count(history, ev.ModelFailed)},
        "makespan_s": round(max((step.end for step in steps), default=0.0), 3),
        "work_s": round(sum(step.seconds for step in steps), 3),
        "chain": {
            "steps": [
                {"id": link.step, "work_s": round(link.work_s, 3), "wait_s": round(link.wait_s, 3)} for link in chain
            ],
            "work_s": round(sum(link.work_s for link in chain), 3),
            "wait_s": round(sum(link.wait_s for link in chain), 3),
            "kinds": _chain_kinds(chain),
        },
        "drag": [{"id": name, "seconds": round(seconds, 3)} for name, seconds in drag.items()],
        "idle_while_ready_s": round(idle_while_ready(net), 3),
        "kinds": _kinds(steps),
    }


def topology_table(shape: dict[str, Any], compared: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The topology as a small table: what was measured, the value, and the places it speaks of.

    With `compared` (see `history.against`) rows follow that stand beside those of earlier runs.
    """
    difference, chain = shape["difference"], shape["chain"]
    slowest = sorted(chain["steps"], key=lambda step: -step["work_s"])[:3]
    loose = [node for node in sorted(shape["executed"]["nodes"], key=lambda n: -n["slack_s"])[:3] if node["slack_s"]]
    least = shape["drag"][0]["seconds"] if shape["drag"] else 0.0
    rows: list[tuple[str, Any, Iterable[str]]] = [
        ("planned nodes", len(shape["planned"]["nodes"]), ()),
        ("planned edges", len(shape["planned"]["edges"]), ()),
        ("executed nodes", len(shape["executed"]["nodes"]), ()),
        ("executed edges", len(shape["executed"]["edges"]), ()),
        ("added nodes", len(difference["added"]), difference["added"]),
        ("skipped nodes", len(difference["skipped"]), difference["skipped"]),
        ("extra edges", len(difference["extra_edges"]), (" -> ".join(edge) for edge in difference["extra_edges"])),
        ("missing edges", len(difference["missing_edges"]), (" -> ".join(e) for e in difference["missing_edges"])),
        ("loop-backs", len(shape["loops"]), (f"{loop['item']}#{loop['attempt']}" for loop in shape["loops"])),
        ("model call retries", shape["retries"]["model_calls"], ()),
        ("makespan (s)", shape["makespan_s"], ()),
        ("work on the realised chain (s)", chain["work_s"], (step["id"] for step in slowest)),
        ("waits on the realised chain (s)", chain["wait_s"], ()),
        ("idle while ready (s)", shape["idle_while_ready_s"], ()),
        ("most time a single step adds (s)", least, (f"{d['id']} {d['seconds']:g}" for d in shape["drag"][:3])),
        (
            "most slack of a step (s)",
            loose[0]["slack_s"] if loose else 0.0,
            (f"{node['id']} {node['slack_s']:g}" for node in loose),
        ),
    ]
    made = [{"measure": name, "value": value, "where": _some(places)} for name, value, places in rows]
    return made if compared is None else [*made, *_history_rows(compared)]


def _history_rows(compared: dict[str, Any]) -> list[dict[str, Any]]:
    found = [{"measure": "earlier runs of the project", "value": compared["runs"], "where": compared["note"]}]
    for row in compared["measures"] if compared["runs"] else ():
        beside = f"earlier: median {row['median']:g}, {row['least']:g} to {row['most']:g}"
        said = "" if row["p"] is None else f", p {row['p']:g}"
        found.append({"measure": f"{row['words']}, against earlier", "value": row["now"], "where": beside + said})
    return found


def _difference(state: RunState, planned: Graph, steps: Sequence[Step]) -> dict[str, Any]:
    """The exact difference by node name: what was added or left out, and which orders were new or not kept.

    Each planned node is compared by its last execution. An order is missing when the later node began before the
    earlier one was over; it is extra when a landing met a conflict or a red gate over another item's change.
    """
    last: dict[str, Step] = {step.planned_as: step for step in sorted(steps, key=lambda step: step.attempt)}
    missing = [
        [a, b] for a, b in planned.edges if a in last and b in last and last[b].start < last[a].end - _TOLERANCE_S
    ]
    return {
        "added": [name for name in last if name not in set(planned.nodes)],
        "skipped": [name for name in planned.nodes if name not in last],
        "extra_edges": [list(edge) for edge in _discovered(state)],
        "missing_edges": missing,
        "items_added": [name for name in state.items if f"{name}:implement" not in planned.nodes and planned.nodes],
        "items_skipped": [name for name, item in state.items.items() if not item.attempts],
    }


def _discovered(state: RunState) -> list[Edge]:
    """Dependencies between items that no plan named and a refused landing brought to light."""
    landed = {item.landed.sha: name for name, item in state.items.items() if item.landed}
    found: dict[Edge, None] = {}
    for name, item in state.items.items():
        for attempt in item.attempts:
            other = landed.get(attempt.refused.tip) if attempt.refused and attempt.refused.kind != "empty" else None
            if other and other not in item.spec.depends_on:
                found[f"{other}:land", f"{name}:implement"] = None
    return list(found)


def _loops(state: RunState) -> list[dict[str, Any]]:
    """Every attempt after which the item went round once more, and who sent it back."""
    return [
        {"item": name, "attempt": attempt.number, "by": _sender(attempt), "reason": attempt.reason}
        for name, item in state.items.items()
        for attempt in item.attempts[:-1]
    ]


def _sender(attempt: Attempt) -> str:
    if attempt.refused:
        return "landing"
    if attempt.verdict:
        return attempt.verdict.by
    return "agent"


def _kinds(steps: Sequence[Step]) -> dict[str, dict[str, float]]:
    """Count, sum and extremes of the durations per kind of phase: what later runs are compared with."""
    groups: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        groups[step.kind].append(step.seconds)
    return {
        kind: {"count": len(times), "sum_s": round(sum(times), 3), "max_s": round(max(times), 3)}
        for kind, times in groups.items()
    }


def _chain_kinds(chain: Sequence[Link]) -> dict[str, dict[str, float]]:
    """What each kind of step contributed to the realised chain: seconds of work, and of waiting before it."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"work_s": 0.0, "wait_s": 0.0})
    for link in chain:
        found[link.kind]["work_s"] = round(found[link.kind]["work_s"] + link.work_s, 3)
        found[link.kind]["wait_s"] = round(found[link.kind]["wait_s"] + link.wait_s, 3)
    return dict(found)


def _count(events: Iterable[ev.Event], kind: type[ev.Fact]) -> int:
    return sum(1 for event in events if isinstance(event.fact, kind))


def _some(places: Iterable[str], limit: int = 6) -> str:
    names = list(places)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
