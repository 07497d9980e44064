"""The shipped suite: what must hold of every run that delivered something, and what its reader should be warned of."""

from __future__ import annotations

from typing import Any

from aurea.domain.lifecycle import ItemState
from aurea.domain.state import RunState
from aurea.reporting.quality.suite import Expectation
from aurea.reporting.quality.suite import expectation as e
from aurea.reporting.quality.tables import limit_usd

_HEX = r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$"
_SHA256 = r"^[0-9a-f]{64}$"
# Absolute, or with a part that is empty, `.`, `..` or `.git`.
_STRANGE_PATH = r"^/|(?:^|/)(?:\.{0,2}|\.git)(?:/|$)"
_CENT_OF_A_CENT = 0.0001
_LARGE = 1_000_000


def delivery_suite(state: RunState) -> list[Expectation]:
    """The expectations for this run. Critical ones fail it, with the row; warnings stand in the report."""
    assert state.created is not None
    proven = not state.created.spec.get("unproven")
    return [*_items(), *_landings(proven=proven), *_files(), *_money(state), *_warnings()]


def _items() -> list[Expectation]:
    states = [str(s) for s in ItemState]
    return [
        e("items", "table_row_count_to_be_between", "the run has work items", min_value=1),
        e("items", "column_values_to_be_unique", "no two items have one id", column="item"),
        e("items", "column_values_to_be_in_set", "every item stands in a known state", column="state",
          value_set=states),
        e("items", "column_pair_values_a_to_be_greater_than_b", "no item spent more attempts than it was allowed",
          column_A="allowed", column_B="spent", or_equal=True),
        e("checks", "column_values_to_be_unique", "no two pieces of evidence have one id", column="evidence",
          empty="allowed"),
        e("checks", "column_values_to_be_in_set", "every check has an outcome", column="outcome",
          value_set=["passed", "failed", "timeout", "not_run"], empty="allowed"),
    ]  # fmt: skip


def _landings(*, proven: bool) -> list[Expectation]:
    found = [
        e("landings", "column_values_to_match_regex", "every complete item has the commit it landed as", column="sha",
          regex=_HEX),
        e("landings", "column_values_to_be_unique", "no two items landed as one commit", column="sha"),
        e("landings", "column_values_to_match_regex", "every landing names its tree", column="tree", regex=_HEX),
    ]  # fmt: skip
    if proven:
        found += [
            e("landings", "column_values_to_be_in_set", "every gate check passed on exactly the tree that landed",
              column="green", value_set=[True]),
            e("gates", "column_values_to_be_in_set", "no gate check of a landed tree failed", column="passed",
              value_set=[True]),
            e("gates", "column_values_to_be_in_set", "every gate check of a landed tree ran to its end",
              column="outcome", value_set=["passed"]),
        ]  # fmt: skip
    return found


def _files() -> list[Expectation]:
    # A run may land nothing but deletions, so this table may be empty.
    same: dict[str, Any] = {"empty": "allowed"}
    return [
        e("files", "column_values_to_be_unique", "no file stands twice", column="path", **same),
        e("files", "column_values_to_not_match_regex", "files stay inside the repository", column="path",
          regex=_STRANGE_PATH, **same),
        e("files", "column_values_to_match_regex", "every file has its SHA-256", column="sha256", regex=_SHA256, **same),
        e("files", "column_pair_values_to_be_equal", "every file that was hashed is the blob that landed",
          column_A="blob", column_B="found", **same),
        e("files", "column_values_to_not_be_null", "every file belongs to an item", column="item", **same),
    ]  # fmt: skip


def _money(state: RunState) -> list[Expectation]:
    found = [
        e("costs", "column_values_to_be_between", "no cost is negative", column="usd", min_value=0, empty="allowed"),
        e("run", "column_values_to_be_between", "what was spent is known", column="spent_usd", min_value=0),
    ]
    limit = limit_usd(state)
    if limit is not None:
        most = limit + _CENT_OF_A_CENT
        found += [
            e("costs", "column_sum_to_be_between", "the costs of the items are within the budget", column="usd",
              max_value=most, empty="allowed"),
            e("run", "column_values_to_be_between", "what was spent is within the budget", column="spent_usd",
              max_value=most),
        ]  # fmt: skip
    return found


def _warnings() -> list[Expectation]:
    gaps: dict[str, Any] = {"severity": "warning", "empty": "allowed", "nulls": "allowed"}
    return [
        e("items", "column_values_to_be_between", "every criterion of every item was shown to be met",
          column="not_shown", max_value=0, **gaps),
        e("items", "column_values_to_be_between", "no item needed more than three attempts", column="spent",
          max_value=2, **gaps),
        e("files", "column_values_to_be_between", "no landed file is larger than 1 MB", column="bytes",
          max_value=_LARGE, **gaps),
        e("costs", "column_values_to_be_in_set", "every model call has a known price", column="priced",
          value_set=[True], **gaps),
    ]  # fmt: skip
