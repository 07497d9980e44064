"""The sufficient statistics of a run: the few numbers by which later runs are compared with it, never the run itself."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aurea.domain.state import RunState
from aurea.topology.executed import Step

SCHEMA = "aurea.statistics/1"
_SHORTEST_S = 0.001  # shorter steps count as this long where logarithms are taken


def statistics(state: RunState, shape: Mapping[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """The statistics of a run as plain JSON values, about half a kilobyte; `shape` is its `aurea.topology/1`."""
    assert state.created is not None
    difference, chain = shape["difference"], shape["chain"]
    kinds: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        kinds[step.kind].append(step.seconds)
    by_item = Counter(step.item for step in steps if step.item is not None)
    return {
        "schema": SCHEMA,
        "run": state.id,
        "project": state.created.project,
        "spec_digest": state.created.spec_digest,
        "provider": state.created.provider,
        "model": state.created.model,
        "state": state.ended.state if state.ended else None,
        "kinds": {kind: _moments(times) for kind, times in kinds.items()},
        "edges": _edge_kinds(steps),
        "loops_by": dict(Counter(loop["by"] for loop in shape["loops"])),
        "measures": {
            "items": len(state.items),
            "planned_nodes": len(shape["planned"]["nodes"]),
            "executed_nodes": len(steps),
            "depth": shape["planned"]["depth"],
            "attempts": sum(len(item.attempts) for item in state.items.values()),
            "loops": len(shape["loops"]),
            "model_retries": shape["retries"]["model_calls"],
            "added_nodes": len(difference["added"]),
            "skipped_nodes": len(difference["skipped"]),
            "extra_edges": len(difference["extra_edges"]),
            "missing_edges": len(difference["missing_edges"]),
            "makespan_s": shape["makespan_s"],
            "work_s": shape["work_s"],
            "chain_work_s": chain["work_s"],
            "chain_wait_s": chain["wait_s"],
            "idle_while_ready_s": shape["idle_while_ready_s"],
            "busiest_item_nodes": max(by_item.values(), default=0),
            "model_calls": state.cost.model_calls,
            "tool_calls": state.cost.tool_calls,
            "tokens": state.cost.input_tokens + state.cost.output_tokens,
            "usd": round(state.cost.usd, 6),
        },
    }


def _moments(times: Sequence[float]) -> dict[str, float]:
    """Count and sum of durations in seconds, and sum and sum of squares of their logarithms."""
    logs = [math.log(max(time, _SHORTEST_S)) for time in times]
    return {
        "n": len(times),
        "sum_s": round(sum(times), 3),
        "log_sum": round(sum(logs), 4),
        "log_squares": round(sum(log * log for log in logs), 4),
    }


def _edge_kinds(steps: Sequence[Step]) -> dict[str, int]:
    """How often a step of one kind awaited one of another."""
    kind = {step.id: step.kind for step in steps}
    return dict(Counter(f"{kind[name]}>{step.kind}" for step in steps for name in step.parents if name in kind))
