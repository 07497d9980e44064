"""The shipped expectations judged without Great Expectations, for a gate whose process is not to be had.

A run whose work has landed must not fail because a helper process was slow, nor pass because it crashed: what is
critical is looked at either way. An expectation that is not known here cannot be judged, and so has not passed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aurea.reporting.quality.suite import Expectation
from aurea.reporting.quality.tables import KEYS

Row = Mapping[str, Any]
# For a value that is not missing, whether it is as expected.
Rule = Callable[[Mapping[str, Any], Any], bool]


def judge_plainly(tables: Mapping[str, Sequence[Row]], expected: Sequence[Expectation]) -> list[dict[str, Any]]:
    """The result of every expectation, in their order and in the form of the gate's process."""
    return [_safely(tables[entry.table], entry) for entry in expected]


def _safely(rows: Sequence[Row], entry: Expectation) -> dict[str, Any]:
    try:
        return _judge(rows, entry)
    except (ArithmeticError, LookupError, TypeError, ValueError, re.error) as fault:  # what its arguments cannot mean
        return {**_result(False), "outcome": "error", "message": f"{type(fault).__name__}: {fault}"}


def _judge(rows: Sequence[Row], entry: Expectation) -> dict[str, Any]:
    given = entry.given
    match entry.expect:
        case "expect_table_row_count_to_be_between":
            return _result(_between(given, len(rows)), observed=str(len(rows)))
        case "expect_column_sum_to_be_between":
            total = sum(row[given["column"]] or 0 for row in rows)
            return _result(_between(given, total), observed=f"{total:g}")
        case "expect_column_values_to_not_be_null":
            wrong = [row for row in rows if row[given["column"]] is None]
        case "expect_column_values_to_be_unique":
            seen = Counter(row[given["column"]] for row in rows)
            wrong = [row for row in rows if seen[row[given["column"]]] > 1]
        case "expect_column_pair_values_to_be_equal":
            wrong = [row for row in rows if row[given["column_A"]] != row[given["column_B"]]]
        case "expect_column_pair_values_a_to_be_greater_than_b":
            wrong = [row for row in rows if not _greater(row[given["column_A"]], row[given["column_B"]], given)]
        case name if name in _VALUES and "mostly" not in given:
            values = ((row, row[given["column"]]) for row in rows)
            wrong = [row for row, value in values if value is not None and not _VALUES[name](given, value)]
        case _:
            return {**_result(False), "outcome": "error", "message": "needs Great Expectations"}
    key = KEYS[entry.table]
    return _result(not wrong, unexpected=len(wrong), rows=[str(row[key]) for row in wrong[:5]])


def _between(given: Mapping[str, Any], value: Any) -> bool:
    low, high = given.get("min_value"), given.get("max_value")
    return (low is None or value >= low) and (high is None or value <= high)


_VALUES: dict[str, Rule] = {
    "expect_column_values_to_be_in_set": lambda given, value: value in given["value_set"],
    "expect_column_values_to_match_regex": lambda given, value: re.search(given["regex"], str(value)) is not None,
    "expect_column_values_to_not_match_regex": lambda given, value: re.search(given["regex"], str(value)) is None,
    "expect_column_values_to_be_between": _between,
}


def _greater(a: Any, b: Any, given: Mapping[str, Any]) -> bool:
    if a is None or b is None:
        return False
    return bool(a >= b if given.get("or_equal") else a > b)


def _result(passed: bool, **values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"observed": None, "unexpected": 0, "rows": [], "message": ""}
    return {"outcome": "passed" if passed else "failed", **empty, **values}
