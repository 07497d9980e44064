"""A run against the last ones of its project: each measure beside theirs, judged only as far as there is history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, Literal

Judgement = Literal["none", "approximate", "exact"]
Number = int | float

LAST = 30  # earlier runs that are looked at, at most
APPROXIMATE_FROM, EXACT_FROM = 5, 19

# The measures that are compared, in words. What a plan alone decides (items, depth) is shown and not judged.
JUDGED: dict[str, str] = {
    "makespan_s": "makespan (s)",
    "work_s": "work (s)",
    "chain_wait_s": "waits on the realised chain (s)",
    "idle_while_ready_s": "idle while ready (s)",
    "attempts": "attempts",
    "loops": "loop-backs",
    "model_retries": "model call retries",
    "added_nodes": "added nodes",
    "skipped_nodes": "skipped nodes",
    "tool_calls": "tool calls",
    "tokens": "tokens",
    "usd": "cost (USD)",
}
SHOWN: dict[str, str] = {"items": "work items", **JUDGED}


def against(now: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How a run's statistics stand against those of `earlier` runs of its project, newest first.

    `p` is the share of runs, this one included, that lie at least as far from the middle: an exact conformal p-value
    as far as runs of a project are exchangeable. It is never under 1/(n+1), so it is None with fewer than 5 earlier
    runs, and marked approximate with fewer than 19. `overall_p` is that of the measure that deviates most, taken over
    all of them at once: it says 5 % in 5 of 100 undisturbed runs, however many measures there are.
    """
    last = list(earlier)[:LAST]
    n = len(last)
    judgement: Judgement = "none" if n < APPROXIMATE_FROM else "approximate" if n < EXACT_FROM else "exact"
    runs = [now["measures"], *(one["measures"] for one in last)]
    rows = [_row(name, words, [run.get(name, 0) for run in runs], judgement) for name, words in SHOWN.items()]
    return {
        "runs": n,
        "same_spec": sum(1 for one in last if one["spec_digest"] == now["spec_digest"]),
        "judgement": judgement,
        "note": _note(n, judgement),
        "overall_p": None if judgement == "none" else _overall(runs),
        "measures": rows,
        "durations": _ratios(now, last),
        "series": {name: [run.get(name, 0) for run in reversed(runs)] for name in SHOWN},
    }


def _row(name: str, words: str, values: Sequence[Number], judgement: Judgement) -> dict[str, Any]:
    now, before = values[0], values[1:]
    return {
        "measure": name,
        "words": words,
        "now": now,
        "median": _tidy(median(before)) if before else None,
        "least": min(before, default=None),
        "most": max(before, default=None),
        "p": _p(_far(values)) if judgement != "none" and name in JUDGED else None,
    }


def _far(values: Sequence[Number]) -> list[float]:
    """How far each value lies from the middle of all of them, in units of their mean distance; the first is this run's.

    Every run is treated alike, this one included, which is what makes the share below exact.
    """
    middle = median(values)
    away = [abs(value - middle) for value in values]
    unit = fmean(away)
    return [distance / unit if unit else 0.0 for distance in away]


def _p(scores: Sequence[float]) -> float:
    return round(sum(1 for score in scores if score >= scores[0] - 1e-9) / len(scores), 4)


def _overall(runs: Sequence[Mapping[str, Number]]) -> float:
    columns = [_far([run.get(name, 0) for run in runs]) for name in JUDGED]
    return _p([max(column[index] for column in columns) for index in range(len(runs))])


def _ratios(now: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """For each kind of step its mean duration against the mean over the earlier runs; None where these have none."""
    found: dict[str, float | None] = {}
    for kind, moments in now["kinds"].items():
        before = [run["kinds"][kind] for run in earlier if kind in run["kinds"]]
        count, total = sum(m["n"] for m in before), sum(m["sum_s"] for m in before)
        mean = moments["sum_s"] / moments["n"]
        found[kind] = round(mean / (total / count), 2) if count and total else None
    return found


def _note(n: int, judgement: Judgement) -> str:
    if not n:
        return "This is the first run of the project that ended: there is nothing to compare it with."
    if judgement == "none":
        few = "1 earlier run" if n == 1 else f"{n} earlier runs"
        return f"Only {few}: shown side by side, not judged. From 5 on, p-values say how unusual a run is."
    least = f"With {n} earlier runs no p-value is under {1 / (n + 1):.3f}"
    return least + ("; take them as approximate." if judgement == "approximate" else ".")


def _tidy(value: Number) -> Number:
    return round(value, 6)
