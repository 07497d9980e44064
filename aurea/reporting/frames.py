"""Tables of a run: rows, typed pandas frames of them, their CSV files, and rows again that hold only JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aurea.domain.events import Event, ModelAnswered, QuestionAnswered, QuestionAsked, QuestionWithdrawn, timestamp

if TYPE_CHECKING:
    from pandas import DataFrame

Rows = list[dict[str, Any]]

# The columns of each table and their types: an empty table keeps its columns, a missing number stays missing.
TABLES: dict[str, dict[str, str]] = {
    "items": {
        "item": "str", "title": "str", "role": "str", "state": "str", "attempts": "Int64", "landed": "str",
        "model_calls": "Int64", "tool_calls": "Int64", "input_tokens": "Int64", "output_tokens": "Int64",
        "usd": "Float64", "cause": "str",
    },
    "attempts": {
        "item": "str", "attempt": "Int64", "state": "str", "role": "str", "model": "str", "spent": "boolean",
        "seconds": "Float64", "files": "Int64", "model_calls": "Int64", "tool_calls": "Int64",
        "input_tokens": "Int64", "output_tokens": "Int64", "usd": "Float64", "reason": "str",
    },
    "checks": {
        "evidence": "str", "kind": "str", "name": "str", "item": "str", "attempt": "Int64", "outcome": "str",
        "passed": "boolean", "exit_code": "Int64", "seconds": "Float64", "tree": "str", "log": "str",
    },
    "files": {"path": "str", "item": "str", "bytes": "Int64", "media_type": "str", "sha256": "str"},
    "calls": {
        "item": "str", "attempt": "Int64", "role": "str", "conversation": "str", "step": "Int64", "provider": "str",
        "model": "str", "input_tokens": "Int64", "output_tokens": "Int64", "cached_tokens": "Int64",
        "usd": "Float64", "priced": "boolean", "seconds": "Float64", "finish": "str",
    },
    "questions": {
        "question": "str", "kind": "str", "item": "str", "title": "str", "asked_at": "str", "state": "str",
        "choice": "str", "reason": "str", "door": "str", "by": "str", "authenticated": "boolean",
        "closed_at": "str", "waited_s": "Float64",
    },
}  # fmt: skip

# What Prefect's pages show of a table: what people look for first, since they are narrow. The CSV files have all of it.
SHOWN: dict[str, tuple[str, ...]] = {
    "items": (
        "item", "title", "state", "attempts", "usd", "cause", "landed", "model_calls", "tool_calls", "input_tokens",
        "output_tokens", "role",
    ),
    "checks": ("kind", "name", "item", "attempt", "outcome", "exit_code", "seconds", "evidence", "tree", "log"),
    "files": ("path", "item", "bytes", "sha256", "media_type"),
    "costs": (
        "item", "role", "usd", "calls", "input_tokens", "output_tokens", "cached_tokens", "seconds", "provider", "model",
    ),
}  # fmt: skip
_COMMITS, _SHORT = ("landed", "tree"), 12


def tables(document: Mapping[str, Any], manifest: Mapping[str, Any], events: Iterable[Event]) -> dict[str, Rows]:
    """The rows of every table in `TABLES`."""
    happened = list(events)
    return {
        "items": [_item_row(item) for item in document["items"]],
        "attempts": [_attempt_row(item["id"], attempt) for item in document["items"] for attempt in item["attempts"]],
        "checks": [{**entry, "evidence": entry["id"]} for entry in document["evidence"]],
        "files": list(manifest["files"]),
        "calls": [_call_row(event, event.fact) for event in happened if isinstance(event.fact, ModelAnswered)],
        "questions": _question_rows(happened),
    }


def frame(name: str, rows: Rows) -> DataFrame:
    """The rows of table `name` as a typed frame; keys that are no column are left out."""
    import pandas as pd

    columns = TABLES[name]
    values = [[row.get(key) for key in columns] for row in rows]
    return pd.DataFrame(values, columns=list(columns), dtype=object).astype(columns)


def costs(calls: DataFrame) -> DataFrame:
    """What each role spent on each item with each model, dearest first; calls of no item keep a row."""
    keys = ["item", "role", "provider", "model"]
    groups = calls.groupby(keys, dropna=False, sort=False)
    summed = groups.agg(
        calls=("step", "size"),
        input_tokens=("input_tokens", "sum"),
        output_tokens=("output_tokens", "sum"),
        cached_tokens=("cached_tokens", "sum"),
        usd=("usd", "sum"),
        seconds=("seconds", "sum"),
    ).reset_index()
    return summed.sort_values(["usd", "calls"], ascending=False, kind="stable", ignore_index=True).round(
        {"usd": 6, "seconds": 3}
    )


def csv(table: DataFrame) -> str:
    """The frame as CSV: one header line, Unix line ends, nothing where there is no value."""
    return table.to_csv(index=False, lineterminator="\n")


def plain(table: DataFrame) -> Rows:
    """The frame as rows of JSON values; what is missing is None, never NaN."""
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in record.items()} for record in records]


def shown(name: str, table: DataFrame) -> Rows:
    """The rows as people read them: the columns of `SHOWN`, headings in words, commits and trees as git shortens them."""
    rows = plain(table[list(SHOWN[name])].round({"seconds": 1}))
    for row in rows:
        row.update({key: row[key][:_SHORT] for key in _COMMITS if row.get(key)})
    return [{key.replace("_", " "): value for key, value in row.items()} for row in rows]


def _item_row(item: Mapping[str, Any]) -> dict[str, Any]:
    landed = item["landed"]
    return {
        **item["cost"],
        "item": item["id"],
        "title": item["title"],
        "role": item["role"],
        "state": item["state"],
        "attempts": len(item["attempts"]),
        "landed": landed["sha"] if landed else None,
        "cause": item["cause"],
    }


def _attempt_row(item: str, attempt: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **attempt["cost"],
        **{key: attempt[key] for key in ("state", "role", "model", "spent", "seconds", "reason")},
        "item": item,
        "attempt": attempt["number"],
        "files": len(attempt["files"]),
    }


def _question_rows(events: Iterable[Event]) -> Rows:
    """Every question that was asked, with how it was closed: `state` is open, answered or withdrawn."""
    asked: dict[str, Event] = {}
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        match event.fact:
            case QuestionAsked(question=question):
                asked[question.id] = event
                at = {"asked_at": timestamp(event.ts), "state": "open"}
                rows[question.id] = {**question.model_dump(), **at, "question": question.id}
            case QuestionAnswered() as answer:
                said = {**answer.model_dump(), "state": "answered", "by": event.actor}
                rows[answer.question] |= said | _closed(asked[answer.question], event)
            case QuestionWithdrawn(question=name, reason=reason):
                rows[name] |= {"state": "withdrawn", "reason": reason} | _closed(asked[name], event)
    return list(rows.values())


def _closed(asked: Event, closed: Event) -> dict[str, Any]:
    return {"closed_at": timestamp(closed.ts), "waited_s": round((closed.ts - asked.ts).total_seconds(), 3)}


def _call_row(event: Event, fact: ModelAnswered) -> dict[str, Any]:
    return {**fact.model_dump(), **fact.usage.model_dump(), "item": event.item, "attempt": event.attempt}
