"""What is expected of a run's tables: the expectations themselves, and the suites that a project adds as files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aurea.domain.errors import UsageError
from aurea.reporting.quality.tables import COLUMNS

FOLDER = ".aurea/quality/"

Severity = Literal["critical", "warning"]

# The expectations of Great Expectations that judge a frame of one table. The others need a database, another table, or
# the type names of one pandas version.
_NAMES = """
column_distinct_values_to_be_in_set column_distinct_values_to_contain_set column_distinct_values_to_equal_set
column_max_to_be_between column_mean_to_be_between column_median_to_be_between column_min_to_be_between
column_most_common_value_to_be_in_set column_pair_values_a_to_be_greater_than_b column_pair_values_to_be_equal
column_pair_values_to_be_in_set column_proportion_of_non_null_values_to_be_between
column_proportion_of_unique_values_to_be_between column_quantile_values_to_be_between column_stdev_to_be_between
column_sum_to_be_between column_unique_value_count_to_be_between column_value_lengths_to_be_between
column_value_lengths_to_equal column_value_z_scores_to_be_less_than column_values_to_be_between
column_values_to_be_in_set column_values_to_be_null column_values_to_be_unique column_values_to_match_regex
column_values_to_match_regex_list column_values_to_not_be_in_set column_values_to_not_be_null
column_values_to_not_match_regex column_values_to_not_match_regex_list compound_columns_to_be_unique
multicolumn_sum_to_equal multicolumn_values_to_be_equal select_column_values_to_be_unique_within_record
table_row_count_to_be_between table_row_count_to_equal
"""
KNOWN = frozenset(f"expect_{name}" for name in _NAMES.split())
_ABOUT_NULLS = ("expect_column_values_to_be_null", "expect_column_values_to_not_be_null",
                "expect_column_proportion_of_non_null_values_to_be_between")  # fmt: skip


class Expectation(BaseModel):
    """One thing that must hold of one table. `given` are the arguments of the expectation, `why` says it in words.

    An expectation that looks at nothing would pass: unless `empty` says that the table may have no rows, and `nulls`
    that the columns may have gaps, both are expected as well, with the same severity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    table: str
    expect: str
    given: dict[str, Any] = Field(default_factory=dict, alias="with")
    severity: Severity = "critical"
    why: str = ""
    empty: Literal["refused", "allowed"] = "refused"
    nulls: Literal["refused", "allowed"] = "refused"
    suite: str = "delivery"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        names = [self.given.get(key) for key in ("column", "column_A", "column_B")]
        return tuple(str(name) for name in (*names, *self.given.get("column_list", ())) if name)


def expectation(table: str, expect: str, why: str, severity: Severity = "critical", **given: Any) -> Expectation:
    """An expectation of the shipped suite, by its short name; it says itself which gaps it allows."""
    gaps = {key: given.pop(key) for key in ("empty", "nulls") if key in given}
    return Expectation(table=table, expect=f"expect_{expect}", given=given, why=why, severity=severity, **gaps)


def complete(expectations: Iterable[Expectation]) -> list[Expectation]:
    """The expectations with those that keep them from passing on nothing, each of these once per table and column."""
    every = list(expectations)
    said = {(e.table, e.expect, e.columns) for e in every}
    found: list[Expectation] = []
    for entry in every:
        pairs: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = []
        if entry.empty == "refused" and not entry.expect.startswith("expect_table_row_count"):
            pairs.append(("expect_table_row_count_to_be_between", {"min_value": 1}, (), "there is something to judge"))
        if entry.nulls == "refused" and entry.expect not in _ABOUT_NULLS:
            pairs += [
                ("expect_column_values_to_not_be_null", {"column": name}, (name,), f"every row has its {name}")
                for name in entry.columns
            ]
        for name, given, columns, why in pairs:
            if (entry.table, name, columns) not in said:
                said.add((entry.table, name, columns))
                found.append(entry.model_copy(update={"expect": name, "given": given, "why": why}))
        found.append(entry)
    return found


def read_suite(document: Mapping[str, Any], name: str) -> list[Expectation]:
    """The expectations of one file of a project, already read from YAML; `UsageError` names the file and the entry."""
    entries = document.get("expectations")
    if set(document) != {"expectations"} or not isinstance(entries, list):
        raise UsageError(f"{name}: a quality suite has one key, `expectations`, with a list", remedy=_REMEDY)
    return [_entry(entry, f"{name}: expectations.{index}", name) for index, entry in enumerate(entries)]


_REMEDY = "docs/quality.md shows the form"


def _entry(entry: Any, place: str, name: str) -> Expectation:
    try:
        made = Expectation.model_validate({**entry, "suite": name.removeprefix(FOLDER)})
    except (ValidationError, TypeError) as fault:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in _errors(fault)) or "no mapping"
        raise UsageError(f"{place}: {said}", remedy=_REMEDY) from None
    _known(made.expect, KNOWN, f"{place}.expect: unknown expectation")
    _known(made.table, COLUMNS, f"{place}.table: unknown table")
    for column in made.columns:
        _known(column, COLUMNS[made.table], f"{place}.with: table {made.table!r} has no column")
    return made


def _errors(fault: ValidationError | TypeError) -> Sequence[Any]:
    return fault.errors(include_url=False) if isinstance(fault, ValidationError) else ()


def _known(word: str, known: Iterable[str], what: str) -> None:
    names = sorted(known)
    if word not in names:
        close = difflib.get_close_matches(word, names, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
        raise UsageError(f"{what} {word!r}", remedy=hint)
