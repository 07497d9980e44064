"""The quality gate of a run: warms its process while agents work, and gives one judgement at the run's end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aurea.domain.errors import Blocked, Permanent
from aurea.domain.events import QualityJudged
from aurea.ledger.chain import digest
from aurea.ports import Judgement
from aurea.reporting.document import run_document
from aurea.reporting.manifest import LandedFile, landed
from aurea.reporting.quality.delivery import delivery_suite
from aurea.reporting.quality.own import own_suites
from aurea.reporting.quality.plain import judge_plainly
from aurea.reporting.quality.process import GateFault, GateProcess
from aurea.reporting.quality.suite import Expectation, complete
from aurea.reporting.quality.tables import Rows, judged_tables
from aurea.reporting.report import Reported

PLAIN = "aurea"
_SHOWN = 3


class QualityGate:
    """Implements `ports.QualityGate` for one run.

    `patience_s` is how long the end of a run waits for the
    process to be ready; 0: there is none, and the shipped expectations are judged without the library.
    """

    def __init__(self, run: Reported, *, environ: Mapping[str, str], patience_s: float) -> None:
        self._run, self._patience = run, patience_s
        self._process = GateProcess(environ) if patience_s > 0 else None
        self._starting: asyncio.Task[None] | None = None
        self._files: tuple[str, list[LandedFile]] | None = None

    def warm(self) -> None:
        """Start the process, if that was not done yet, without waiting for it."""
        if self._process is not None and self._starting is None:
            self._starting = asyncio.create_task(self._process.start(), name="quality gate")

    async def files(self) -> list[LandedFile]:
        """The landed files as they are now; read once per landing."""
        tip = self._run.state.tip
        if self._files is None or self._files[0] != tip:
            self._files = (tip, await landed(self._run.state, self._run.repository))
        return self._files[1]

    async def judge(self) -> Judgement:
        """Judge the run as it stands. Whatever the gate's own process does, there is a judgement.

        What has landed and cannot be read has not passed. `Blocked` where a person can mend that.
        """
        begun = time.monotonic()
        run = self._run
        self.warm()
        unread: tuple[str, ...] = ()
        judged_by, note, rows = PLAIN, "", list[dict[str, Any]]()
        try:
            tables, expected = await self._material()
            judged_by, note, results = await self._results(tables, expected)
            rows = [_row(entry, result) for entry, result in zip(expected, results, strict=True)]
        except Blocked:
            raise
        except Permanent as fault:
            unread = (f"not judged: {fault.message}",)
        failed = [row for row in rows if row["outcome"] != "passed"]
        body = json.dumps({"judged_by": judged_by, "note": note, "expectations": rows}, ensure_ascii=False)
        fact = QualityJudged(
            tip=run.state.tip,
            passed=not unread and not any(row["severity"] == "critical" for row in failed),
            judged_by=judged_by,
            note=note,
            expectations=len(rows),
            failures=(*unread, *(said(row) for row in failed if row["severity"] == "critical")),
            warnings=tuple(said(row) for row in failed if row["severity"] == "warning"),
            body=digest(body),
            seconds=round(time.monotonic() - begun, 3),
        )
        return Judgement(fact, {fact.body: body})

    async def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        if self._starting is not None:
            with suppress(GateFault):
                await self._starting
        await self._process.close()

    async def _material(self) -> tuple[dict[str, Rows], list[Expectation]]:
        """The tables of the run, and everything that is expected of them."""
        run = self._run
        assert run.state.created is not None
        own = await own_suites(run.repository, run.state.created.base.sha)
        document = run_document(run.state, alive=True, folder=run.folder, now=run.clock.now())
        tables = judged_tables(run.state, document, await self.files())
        return tables, complete([*delivery_suite(run.state), *own])

    async def _results(
        self, tables: Mapping[str, Sequence[Mapping[str, Any]]], expected: Sequence[Expectation]
    ) -> tuple[str, str, list[dict[str, Any]]]:
        """Who judged, why it was not the process where it was not, and the results."""
        if self._process is None or self._starting is None:
            return PLAIN, "no process was asked for", judge_plainly(tables, expected)
        try:
            await asyncio.shield(self._starting)
            version = await self._process.ready(self._patience)
            return f"great_expectations {version}", "", await self._process.judge(tables, expected)
        except (GateFault, OSError, ValueError) as fault:
            note = fault.message if isinstance(fault, GateFault) else repr(fault)
            return PLAIN, note, judge_plainly(tables, expected)


def said(row: Mapping[str, Any]) -> str:
    """A result that has not passed, in words: what should be so, and for which rows of which table it is not."""
    what = row["why"] or f"{row['expectation']}({', '.join(row['columns'])})"
    where = f"table {row['table']}" + (f", column {row['columns'][0]}" if row["columns"] else "")
    if row["outcome"] == "error":
        return f"not judged: {what} ({where}: {row['message']})"
    if row["rows"]:
        more = row["unexpected"] - _SHOWN
        rows = ", ".join(row["rows"][:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"not so: {what} ({where}: {rows})"
    return f"not so: {what} ({where}{': ' + row['observed'] if row['observed'] is not None else ''})"


def _row(entry: Expectation, result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "suite": entry.suite,
        "table": entry.table,
        "expectation": entry.expect,
        "columns": list(entry.columns),
        "given": {key: value for key, value in entry.given.items() if not key.startswith("column")},
        "severity": entry.severity,
        "outcome": result["outcome"],
        "observed": result["observed"],
        "unexpected": result["unexpected"],
        "rows": list(result["rows"]),
        "why": entry.why,
        "message": result["message"],
    }
