"""The phase `report`: writes what a run leaves in its folder, and hands back plain data for Prefect's artifacts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aurea.domain.events import Event
from aurea.domain.state import RunState
from aurea.ledger.files import write_atomic
from aurea.ports import Clock, Ledger, Repository
from aurea.reporting import frames
from aurea.reporting.conversations import conversations
from aurea.reporting.diffs import item_diffs
from aurea.reporting.document import run_document
from aurea.reporting.drift import drift_document, drift_markdown
from aurea.reporting.earlier import STATISTICS, earlier_runs, history_svg
from aurea.reporting.manifest import LandedFile, landed, manifest
from aurea.reporting.markdown import report_markdown
from aurea.reporting.page.fill import Diff, Material, report_html
from aurea.reporting.svg import plan_svg
from aurea.topology.executed import executed_steps
from aurea.topology.figures import statistics
from aurea.topology.history import against
from aurea.topology.shape import topology, topology_table


class Reported(Protocol):
    """What a report needs of a live run."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    @property
    def state(self) -> RunState:
        """The fold of everything recorded so far."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Where the run is recorded."""
        ...

    @property
    def repository(self) -> Repository:
        """Where it landed."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def folder(self) -> Path:
        """The run folder."""
        ...


Files = Callable[[], Awaitable[list[LandedFile]]]


@dataclass(frozen=True)
class _Found:
    """What was read of a run, before anything is written. `seq` and `chain`: the end of what it covers."""

    folder: Path
    document: dict[str, Any]
    files: Sequence[LandedFile]
    events: Sequence[Event]
    shape: dict[str, Any]
    statistics: dict[str, Any]
    quality: dict[str, Any] | None
    diffs: Sequence[Diff]
    drift: dict[str, Any] | None
    seq: int
    chain: str


async def report(run: Reported, *, files: Files | None = None) -> dict[str, Any]:
    """Write manifest.json and artifacts/ of a run as it stands; `files` gives the landed files where they are known.

    Returns the pages for Prefect: `report` is markdown; `items`, `checks`, `files`, `costs`, `topology` and, where the
    run was judged, `quality` are rows. JSON values only. Raises `OSError` where the folder cannot be written.
    """
    state = run.state
    document = run_document(state, alive=True, folder=run.folder, now=run.clock.now())
    seq, chain = state.last_seq, state.last_hash
    events = await asyncio.to_thread(lambda: [e for e in run.ledger.events(run.id) if e.seq <= seq])
    steps = executed_steps(events)
    shape = topology(state, events, steps)
    found = _Found(
        folder=run.folder,
        document=document,
        files=await (files() if files else landed(state, run.repository)),
        events=events,
        shape=shape,
        statistics=statistics(state, shape, steps),
        quality=_judgement(run),
        diffs=await item_diffs(state, run.repository),
        drift=drift_document(state, run.ledger),
        seq=seq,
        chain=chain,
    )
    return await asyncio.to_thread(_write, found)


def _judgement(run: Reported) -> dict[str, Any] | None:
    """What the quality gate found, with the result of every expectation."""
    fact = run.state.quality
    if fact is None:
        return None
    kept = json.loads(run.ledger.body(fact.body))
    head = {"schema": "aurea.quality/1", "run": run.id}
    return {**head, **fact.model_dump(mode="json", exclude={"type", "body", "expectations"}), **kept}


def _write(found: _Found) -> dict[str, Any]:
    """The part that needs no event loop: pandas, text and files, on a thread of its own."""
    document, folder = found.document, found.folder
    entries = [file.entry for file in found.files]
    made = manifest(document, files=entries, seq=found.seq, chain=found.chain, events=len(found.events))
    compared = against(found.statistics, earlier_runs(folder, document["project"]))
    picture, chart = plan_svg(document), history_svg(compared)
    tables = {name: frames.frame(name, rows) for name, rows in frames.tables(document, made, found.events).items()}
    tables["costs"] = frames.costs(tables["calls"])
    shown = {name: frames.plain(tables[name]) for name in ("items", "checks", "files", "costs", "questions")}
    decisions = [row for row in shown.pop("questions") if row["state"] == "answered"]
    rows = topology_table(found.shape, compared)
    text = report_markdown(
        document, made, picture=picture, compared=compared, chart=chart, quality=found.quality, decisions=decisions
    )
    page = report_html(
        Material(
            document=document,
            manifest=made,
            shape=found.shape,
            topology_rows=topology_table(found.shape),
            compared=compared,
            quality=found.quality,
            costs=frames.plain(tables["costs"]),
            decisions=decisions,
            diffs=found.diffs,
            conversations=conversations(folder, document),
            plan_svg=picture,
        )
    )
    texts = {
        "plan.svg": picture,
        "report.md": text,
        "report.html": page,
        "topology.json": _json({**found.shape, "history": compared}),
        **{f"{name}.csv": frames.csv(table) for name, table in tables.items()},
    }
    if chart:
        texts["history.svg"] = chart
    if found.quality is not None:
        texts["quality.json"] = _json(found.quality)
    if found.drift is not None:
        texts |= {"drift.json": _json(found.drift), "drift.md": drift_markdown(found.drift)}
    for name, content in texts.items():
        write_atomic(folder / "artifacts" / name, content)
    write_atomic(folder / STATISTICS, _json(found.statistics))
    write_atomic(folder / "manifest.json", _json(made))  # last: whoever finds it finds the rest
    shown = {name: frames.shown(name, tables[name]) for name in frames.SHOWN}
    pages: dict[str, Any] = {"report": text, **shown, "topology": rows}
    if found.quality is not None:
        pages["quality"] = _quality_rows(found.quality)
    return pages


def _quality_rows(quality: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every expectation as a row for people: what did not pass first."""
    rows = [
        {
            "what should be so": entry["why"] or entry["expectation"],
            "outcome": entry["outcome"],
            "severity": entry["severity"],
            "table": entry["table"],
            "columns": ", ".join(entry["columns"]),
            "rows": ", ".join(entry["rows"]) or entry["message"],
            "suite": entry["suite"],
        }
        for entry in quality["expectations"]
    ]
    return sorted(rows, key=lambda row: (row["outcome"] == "passed", row["severity"]))


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
