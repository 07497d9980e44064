"""The process in which Great Expectations judges the tables of a run; nothing imports this module.

It reads JSON lines from its standard input and writes JSON lines to its standard output, one conversation in its life:

    in   {"table": "items", "key": "item", "columns": {"item": "text", "spent": "number", "green": "truth"}}
         {"row": {"item": "storage", "spent": 0, "green": true}}          rows belong to the table before them
         {"expect": 0, "table": "items", "name": "expect_column_values_to_be_unique", "given": {"column": "item"}}
         {"judge": true}
    out  {"ready": "1.24.1"}                                              as soon as the library is imported
         {"result": 0, "outcome": "passed", "observed": null, "unexpected": 0, "rows": [], "message": ""}
         {"done": true}

It ends when its standard input ends, also in the middle of the import: it never outlives who started it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

_KINDS = {"text": "str", "number": "float64", "truth": "object"}
_MOST_ROWS = 5
_POLITE = 10  # the import shall not slow down what the agents run


def main() -> None:
    """Import the library, say so, judge what comes in, say what was found."""
    os.nice(_POLITE)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    _say(out, {"ready": _load()})
    tables: dict[str, _Table] = {}
    last = None
    while True:
        line = json.loads(lines.get())
        if "row" in line and last is not None:
            last.rows.append(line["row"])
        elif "expect" in line:
            tables[line["table"]].expectations.append(line)
        elif "table" in line:
            last = tables[line["table"]] = _Table(line)
        elif "judge" in line:
            for table in tables.values():
                for result in table.judged():
                    _say(out, result)
            _say(out, {"done": True})


def _read(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _say(out: TextIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line, allow_nan=False) + "\n")
    out.flush()


def _load() -> str:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import logging

    import great_expectations as gx
    import great_expectations.expectations  # the first use of it would take as long again

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return str(gx.__version__)


class _Table:
    """One table with its rows and with what is expected of it; judged in a context of its own."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.name: str = head["table"]
        self.key: str = head["key"]
        self.columns: dict[str, str] = head["columns"]
        self.rows: list[dict[str, Any]] = []
        self.expectations: list[dict[str, Any]] = []

    def judged(self) -> Iterator[dict[str, Any]]:
        """A result for every expectation. One that cannot be judged has not passed, and spoils no other."""
        if not self.expectations:
            return
        try:
            yield from self._checkpoint(self.expectations)
        except Exception:
            for entry in self.expectations:
                try:
                    yield from self._checkpoint([entry])
                except Exception as fault:
                    yield _result(entry["expect"], "error", message=_words(fault))

    def _checkpoint(self, expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
        import great_expectations as gx

        context: Any = gx.get_context(mode="ephemeral")
        context.enable_analytics(False)
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        source = context.data_sources.add_pandas("run")
        batch = source.add_dataframe_asset(self.name).add_batch_definition_whole_dataframe("all")
        suite = gx.ExpectationSuite(name=self.name, expectations=[_made(entry) for entry in expected])
        definition = gx.ValidationDefinition(name=self.name, data=batch, suite=context.suites.add(suite))
        definition = context.validation_definitions.add(definition)
        form = {"result_format": "COMPLETE", "unexpected_index_column_names": [self.key]}
        checkpoint = gx.Checkpoint(name=self.name, validation_definitions=[definition], result_format=form)
        run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": self._frame()})
        (validated,) = run.run_results.values()
        return [self._found(one) for one in validated.results]

    def _frame(self) -> Any:
        import pandas as pd

        values = [[row.get(name) for name in self.columns] for row in self.rows]
        kinds = {name: _KINDS[kind] for name, kind in self.columns.items()}
        return pd.DataFrame(values, columns=list(kinds), dtype=object).astype(kinds)

    def _found(self, one: Any) -> dict[str, Any]:
        number = one.expectation_config.meta["number"]
        result = one.result or {}
        if not result:
            return _result(number, "error", message=_exception(one.exception_info))
        places = result.get("unexpected_index_list") or []
        rows = [str(place[self.key]) for place in places[:_MOST_ROWS]]
        observed = result.get("observed_value")
        return _result(
            number,
            "passed" if one.success else "failed",
            observed=None if observed is None else str(observed),
            unexpected=int(result.get("unexpected_count") or 0),
            rows=rows,
        )


def _made(entry: dict[str, Any]) -> Any:
    """The expectation as an object of the library."""
    from great_expectations.expectations.registry import get_expectation_impl

    kind = get_expectation_impl(entry["name"])
    if entry["name"] == "expect_column_quantile_values_to_be_between":
        kind = _plain_success(kind)
    return kind(**entry["given"], meta={"number": entry["expect"]})


def _plain_success(kind: Any) -> Any:
    """The quantile expectation with a success that can be written as JSON; the library's own is of numpy."""

    def validated(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = kind._validate(self, *args, **kwargs)
        found["success"] = bool(found["success"])
        return found

    return type(kind.__name__, (kind,), {"_validate": validated, "__module__": __name__, "__doc__": kind.__doc__})


def _result(number: int, outcome: str, **values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"observed": None, "unexpected": 0, "rows": [], "message": ""}
    return {"result": number, "outcome": outcome, **empty, **values}


def _exception(info: Any) -> str:
    """What the library says of an exception, which it keeps either plainly or by the id of a metric."""
    found = [info] if "exception_message" in (info or {}) else list((info or {}).values())
    said = [str(one.get("exception_message")) for one in found if isinstance(one, dict)]
    return (said or ["it gave no result"])[0][:500]


def _words(fault: Exception) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())}"[:500]


if __name__ == "__main__":
    main()
