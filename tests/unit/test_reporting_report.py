"""The phase `report`: manifest, report, tables and picture of a run whose repository is held in memory."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aurea.domain import events as ev
from aurea.domain.errors import Permanent
from aurea.ledger.files import write_atomic
from aurea.ports import Change, TreeFile
from aurea.reporting import frames
from aurea.reporting.manifest import _batches, blob_id, landed_files, media_type
from aurea.reporting.report import report

GOLDEN = Path(__file__).parents[1] / "golden"
BASE, FIRST, SECOND = "0" * 40, "1" * 40, "2" * 40


@dataclass
class Trees:
    """A repository as three commits with their files; modes 100644 unless named."""

    commits: dict[str, dict[str, bytes]]
    modes: dict[str, str] = field(default_factory=dict)

    async def changes(self, old: str, new: str) -> list[Change]:
        a, b = self.commits[old], self.commits[new]
        status = {path: "D" if path not in b else "A" if path not in a else "M" for path in {*a, *b}}
        return [Change(path, status[path], 1, 1) for path in sorted(status) if a.get(path) != b.get(path)]

    async def files(self, tree: str) -> list[TreeFile]:
        return [TreeFile(p, blob_id(c, ""), self.modes.get(p, "100644"), len(c)) for p, c in self.commits[tree].items()]

    async def diff(self, old: str, new: str, limit: int = 60_000) -> str:
        return "\n".join(f"+{change.path}" for change in await self.changes(old, new))

    async def read_many(self, tree: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        return {path: self.commits[tree].get(path) for path in paths}


@dataclass
class Told:
    """A run as far as the report needs one."""

    history: Any
    folder: Path
    repository: Any

    id = "20260301-notes"

    @property
    def state(self):
        return self.history.state

    @property
    def ledger(self):
        return self

    @property
    def clock(self):
        return self

    def events(self, run, after=0):
        return iter(self.history.events)

    def now(self):
        return self.history.now() + timedelta(seconds=5)


TREES = {
    BASE: {"README.md": b"old\n", "gone.txt": b"x\n", "same.txt": b"same\n"},
    FIRST: {"README.md": b"old\n", "notes/storage.py": b"one\n", "same.txt": b"same\n"},
    SECOND: {"README.md": b"new\n", "notes/storage.py": b"two\n", "notes/ü.bin": b"\0\1", "link": b"README.md",
             "same.txt": b"same\n"},
}  # fmt: skip


@pytest.fixture
async def told(notes, tmp_path):
    run = Told(notes, tmp_path / "run", Trees(TREES, {"link": "120000"}))
    return run, await report(run)


async def test_the_manifest_names_every_file_as_it_landed(told):
    run, _ = told
    made = json.loads((run.folder / "manifest.json").read_text())
    assert made["schema"] == "aurea.manifest/1"
    by_path = {file["path"]: file for file in made["files"]}
    assert set(by_path) == {
        "README.md",
        "notes/storage.py",
        "notes/ü.bin",
        "link",
    }  # neither deleted nor untouched ones
    for path, file in by_path.items():
        content = TREES[SECOND][path]
        assert file["sha256"] == hashlib.sha256(content).hexdigest() and file["bytes"] == len(content)
        assert file["item"] == "api"  # the last landing that changed it
    assert by_path["notes/ü.bin"]["media_type"] == "application/octet-stream"
    assert by_path["README.md"]["media_type"] == "text/markdown"
    assert by_path["link"]["media_type"] == "inode/symlink"
    events = run.history.events
    assert made["ledger"] == {"seq": len(events), "hash": events[-1].hash, "events": len(events)}
    assert {entry["kind"] for entry in made["checks"]} == {"baseline", "check", "gate"}
    assert {entry["kind"] for entry in made["reviews"]} == {"review"}


async def test_the_item_is_the_last_to_change_the_file(notes, tmp_path):
    trees = {BASE: {}, FIRST: {"a": b"1", "b": b"1"}, SECOND: {"a": b"1", "b": b"2"}}
    run = Told(notes, tmp_path, Trees(trees))
    await report(run)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert {file["path"]: file["item"] for file in files} == {"a": "storage", "b": "api"}


async def test_a_file_that_only_one_landed_attempt_touched_needs_no_look_at_commits(history, work_item):
    run = history([work_item("storage"), work_item("api")])
    run.create()
    run.whole_line("storage", "1")
    run.whole_line("api", "2")
    trees = Trees({BASE: {}, SECOND: {"notes/storage.py": b"1", "notes/api.py": b"2"}})  # no first commit to look at
    files = await landed_files(run.state, trees)
    assert {file.path: file.item for file in files} == {"notes/api.py": "api", "notes/storage.py": "storage"}


def test_files_are_read_in_batches_that_fit_into_memory():
    files = [TreeFile(str(i), "b", "100644", size * 2**20) for i, size in enumerate([1, 31, 1, 40, 5, 5])]
    assert [[int(f.path) for f in batch] for batch in _batches(files)] == [[0, 1], [2], [3], [4, 5]]


async def test_the_stored_shape_has_not_changed(told):
    run, _ = told
    made = json.loads((run.folder / "manifest.json").read_text())
    assert made.pop("folder", None) is None
    assert made == json.loads((GOLDEN / "manifest.json").read_text())


async def test_everything_is_written_and_nothing_else(told):
    run, _ = told
    names = sorted(path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file())
    tables = ["attempts", "calls", "checks", "costs", "files", "items"]
    assert names == [*(f"artifacts/{t}.csv" for t in tables), "artifacts/plan.svg", "artifacts/questions.csv",
                     "artifacts/report.html", "artifacts/report.md", "artifacts/statistics.json", "artifacts/topology.json",
                     "manifest.json"]  # fmt: skip


async def test_the_tables_hold_json_values_only(told):
    _, made = told
    assert set(made) == {"report", "items", "checks", "files", "costs", "topology"}
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert [row["item"] for row in made["items"]] == ["storage", "api", "docs"]
    assert made["items"][2]["landed"] is None and made["items"][0]["attempts"] == 1
    assert made["checks"][0]["attempt"] is None  # a baseline belongs to no attempt
    assert sum(row["usd"] for row in made["costs"]) == pytest.approx(0.05)


async def test_csv_leaves_missing_values_empty(told):
    run, _ = told
    rows = list(csv.DictReader(io.StringIO((run.folder / "artifacts/checks.csv").read_text())))
    assert rows[0]["kind"] == "baseline" and rows[0]["item"] == "" and rows[0]["exit_code"] == "0"
    assert [row["exit_code"] for row in rows if row["kind"] == "review"] == ["", ""]
    calls = list(csv.DictReader(io.StringIO((run.folder / "artifacts/calls.csv").read_text())))
    assert len(calls) == 4 and calls[0]["input_tokens"] == "1200"


async def test_what_people_decided_is_told(notes, tmp_path):
    notes.add(ev.QuestionAnswered(question="q-0123456789", choice="retry", reason="try | again", door="cli"))
    made = await report(run := Told(notes, tmp_path / "run", Trees(TREES, {"link": "120000"})))
    [row] = csv.DictReader(io.StringIO((run.folder / "artifacts/questions.csv").read_text()))
    wanted = {"question": "q-0123456789", "kind": "escalation", "item": "docs", "state": "answered", "choice": "retry",
              "reason": "try | again", "door": "cli", "by": "manager", "authenticated": "False"}  # fmt: skip
    assert wanted.items() <= row.items()
    assert row["asked_at"] < row["closed_at"] and float(row["waited_s"]) > 0
    page = (run.folder / "artifacts/report.html").read_text()
    for told in (made["report"], page):
        assert "Decisions of people" in told and "again" in told
    assert r"try \| again" in made["report"], "a bar must not split the row"


async def test_a_run_without_anything(history, tmp_path):
    run = Told(history([]), tmp_path, Trees({BASE: {}}))
    run.history.create()
    run.history.add(ev.RunEnded(state="failed", reason="the plan was refused", reason_code="plan_rejected"))
    made = await report(run)
    assert made["items"] == made["checks"] == made["files"] == made["costs"] == []
    assert (tmp_path / "artifacts/items.csv").read_text().startswith("item,title,")
    assert "the plan was refused" in made["report"]


async def test_a_file_that_cannot_be_read_is_no_silent_gap(notes, tmp_path):
    class Broken(Trees):
        async def read_many(self, tree: str, paths: Sequence[str]) -> dict[str, bytes | None]:
            return dict.fromkeys(paths)

    with pytest.raises(Permanent, match="README"):
        await report(Told(notes, tmp_path, Broken(TREES)))
    assert not (tmp_path / "manifest.json").exists()


def test_costs_keep_calls_of_no_item():
    rows = [
        {"item": None, "role": "planner", "provider": "p", "model": "m", "step": 1, "usd": 0.5, "input_tokens": 3},
        {"item": "a", "role": "coder", "provider": "p", "model": "m", "step": 1, "usd": 0.25, "input_tokens": 3},
        {"item": "a", "role": "coder", "provider": "p", "model": "m", "step": 2, "usd": 0.5, "input_tokens": 3},
    ]
    made = frames.plain(frames.costs(frames.frame("calls", rows)))
    assert [(row["item"], row["calls"], row["usd"], row["input_tokens"]) for row in made] == [
        ("a", 2, 0.75, 6),
        (None, 1, 0.5, 3),
    ]


def test_text_that_looks_like_something_else_stays_text():
    made = frames.frame("files", [{"path": "001", "item": "NaN", "bytes": 1, "media_type": "None", "sha256": "1e5"}])
    assert frames.plain(made) == [{"path": "001", "item": "NaN", "bytes": 1, "media_type": "None", "sha256": "1e5"}]


@pytest.mark.parametrize(
    ("path", "content", "wanted"),
    [
        ("a.py", b"", "text/x-python"),
        ("a.json", b"", "application/json"),
        ("a.YAML", b"", "application/yaml"),
        ("Makefile", b"all:\n", "text/plain"),
        ("blob", b"\0", "application/octet-stream"),
    ],
)
def test_media_types_do_not_depend_on_the_machine(path, content, wanted):
    assert media_type(path, content) == wanted


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_atomic(path, "one\r\n")
    write_atomic(path, "two\n")
    assert path.read_bytes() == b"two\n" and [p.name for p in path.parent.iterdir()] == ["b.json"]
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert path.read_bytes() == b"two\n" and [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_what_prefect_shows_of_a_table_is_short_and_in_words():
    row = {"evidence": "ev-1", "kind": "check", "exit_code": 2, "seconds": 1.2345, "tree": "a" * 40, "passed": False}
    [made] = frames.shown("checks", frames.frame("checks", [row]))
    assert (made["exit code"], made["seconds"], made["tree"], made["item"]) == (2, 1.2, "a" * 12, None)
    assert "passed" not in made, "the outcome says it"
