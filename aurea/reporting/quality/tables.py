"""The tables that the quality gate judges, as rows made from nothing but a run's state and its landed files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aurea.domain.caps import RUN
from aurea.domain.effective import effective_spec
from aurea.domain.lifecycle import ItemState
from aurea.domain.state import Item, RunState
from aurea.reporting import frames
from aurea.reporting.manifest import LandedFile

Rows = list[dict[str, Any]]
Column = str  # "text", "number" or "truth"

_KINDS = {"str": "text", "Int64": "number", "Float64": "number", "boolean": "truth"}
EXTRA: dict[str, dict[str, Column]] = {
    "items": {"spent": "number", "allowed": "number", "criteria": "number", "not_shown": "number"},
    "attempts": {"key": "text"},
    "checks": {"landed": "truth"},
    "files": {"blob": "text", "found": "text"},
}
# Tables that only the gate has.
OWN: dict[str, dict[str, Column]] = {
    "landings": {"item": "text", "sha": "text", "tree": "text", "gate": "text", "rung": "text", "green": "truth",
                 "missing": "text"},
    "gates": {"evidence": "text", "item": "text", "name": "text", "tree": "text", "passed": "truth", "outcome": "text"},
    "costs": {"item": "text", "usd": "number", "model_calls": "number", "tool_calls": "number", "tokens": "number",
              "priced": "truth"},
    "run": {"run": "text", "items": "number", "complete": "number", "abandoned": "number", "spent_usd": "number",
            "limit_usd": "number", "model_calls": "number", "tool_calls": "number"},
}  # fmt: skip
# Every table with its columns; `KEYS` names the column that tells a row.
COLUMNS: dict[str, dict[str, Column]] = {
    name: {**{column: _KINDS[kind] for column, kind in frames.TABLES[name].items()}, **extra}
    for name, extra in EXTRA.items()
} | OWN
KEYS = {"items": "item", "attempts": "key", "checks": "evidence", "files": "path", "landings": "item",
        "gates": "evidence", "costs": "item", "run": "run"}  # fmt: skip

# Answers after which an item may be tried once more than its limit says.
_ONCE_MORE = ("retry", "spawn_item", "approve_anyway")


def judged_tables(state: RunState, document: Mapping[str, Any], files: Sequence[LandedFile]) -> dict[str, Rows]:
    """The rows of every table in `COLUMNS`; `document` is the run document of `state`."""
    plain = frames.tables(document, {"files": [file.entry.model_dump() for file in files]}, ())
    landed = {item.landed.tree for item in state.items.values() if item.landed}
    rows: dict[str, Rows] = {
        "items": [{**row, **_limits(state, state.item(row["item"]))} for row in plain["items"]],
        "attempts": [{**row, "key": f"{row['item']}#{row['attempt']}"} for row in plain["attempts"]],
        "checks": [{**row, "landed": row["tree"] in landed} for row in plain["checks"]],
        "files": [
            {**row, "blob": file.blob, "found": file.found} for row, file in zip(plain["files"], files, strict=True)
        ],
        "landings": [_landing(state, item) for item in state.items.values() if item.state is ItemState.COMPLETE],
        "gates": [row for row in plain["checks"] if row["kind"] == "gate" and row["tree"] in landed],
        "costs": [
            {**cost.model_dump(), "item": name or "_plan", "tokens": cost.input_tokens + cost.output_tokens}
            for name, cost in state.item_cost.items()
        ],
        "run": [_run(state)],
    }
    return {name: [{column: row.get(column) for column in COLUMNS[name]} for row in rows[name]] for name in COLUMNS}


def limit_usd(state: RunState) -> float | None:
    """The highest budget that was in force, and the one last call that may have passed it.

    A limit lowered under what was spent already is no overspending.
    """
    assert state.created is not None
    limits = (effective_spec(state).budget_usd, state.created.spec.get("budget_usd"))
    if "none" in limits:
        return None
    limit = max(float(limit) for limit in limits if limit is not None)
    passed = [at + usd for (cap, at), usd in state.passed.items() if cap == RUN]
    return max(limit, *passed) if passed else limit


def _limits(state: RunState, item: Item) -> dict[str, Any]:
    """How many attempts an item has spent, and how many it was allowed by the spec and by people."""
    assert state.created is not None
    about = (state.asked_questions[name] for name in state.answers)
    granted = sum(1 for q in about if q.item == item.spec.id and state.answers[q.id].choice in _ONCE_MORE)
    limits = (effective_spec(state).max_attempts, int(state.created.spec.get("max_attempts") or 0))
    verdict = next((attempt.verdict for attempt in reversed(item.attempts) if attempt.verdict), None)
    return {
        "spent": item.spent,
        "allowed": max(limits) + granted,
        "criteria": len(item.spec.criteria),
        "not_shown": sum(1 for c in verdict.criteria if c.met is not True) if verdict else 0,
    }


def _landing(state: RunState, item: Item) -> dict[str, Any]:
    """A complete item with its landing, and whether every gate check passed on exactly the tree that landed."""
    row: dict[str, Any] = {"item": item.spec.id}
    if item.landed is None:
        return row
    wanted = {check.name for check in effective_spec(state).gate_checks}
    passed = _passed(state, item.landed.tree)
    missing = sorted(wanted - passed)
    return {**row, **item.landed.model_dump(), "green": not missing, "missing": ", ".join(missing)}


def _passed(state: RunState, tree: str) -> set[str]:
    gates: Iterable[Any] = (e for e in state.evidence.values() if e.kind == "gate" and e.tree == tree)
    return {evidence.name for evidence in gates if evidence.passed}


def _run(state: RunState) -> dict[str, Any]:
    states = [item.state for item in state.items.values()]
    return {
        "run": state.id,
        "items": len(states),
        "complete": states.count(ItemState.COMPLETE),
        "abandoned": states.count(ItemState.ABANDONED),
        "spent_usd": state.spent_usd,
        "limit_usd": limit_usd(state),
        "model_calls": state.cost.model_calls,
        "tool_calls": state.cost.tool_calls,
    }
