"""Whole runs as the command line offers them: recorded and played back, from standard input, gone on with, unproven."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Git = Callable[..., str]

APPROVE = [("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "good"})]
REPORT = [("submit_report", {"summary": "done", "approach": "plainly"})]
TEXT = "Grüße, 世界\n\ttabs, 'quotes' and a trailing space \n\n"


def script(asked: Any) -> list[tuple[str, dict[str, Any]]]:
    """The planner plans two items; the first attempt at `second` does not pass."""
    if asked.conversation == "planner-1":
        items = [
            {"id": "first", "goal": "write first.txt", "criteria": ["it is there"]},
            {"id": "second", "goal": "write second.txt", "criteria": ["it is there"], "depends_on": ["first"]},
        ]
        return [("submit_plan", {"items": items})]
    if asked.conversation.startswith("reviewer"):
        return APPROVE
    wrong = asked.item == "second" and asked.attempt == 1
    name = "bad.txt" if wrong else f"{asked.item}.txt"
    return [("write_file", {"path": name, "content": TEXT})] if asked.step == 1 else REPORT


def spec_text(**more: Any) -> str:
    checks = [{"name": "sound", "run": ["sh", "-c", "test ! -e bad.txt"]}]
    return json.dumps({"project": "files", "objective": "some files", "checks": checks, **more})


def told_by(document: dict[str, Any]) -> list[Any]:
    """What a run came to, without what differs from run to run."""
    return [
        (entry["id"], entry["state"], entry["landed"]["tree"], entry["landed"]["gate"],
         [(a["number"], a["state"], a["reason"], a["files"]) for a in entry["attempts"]], entry["cost"]["input_tokens"])
        for entry in document["items"]
    ]  # fmt: skip


@pytest.mark.long
def test_a_recorded_run_is_played_back_to_the_same_result(aurea, models, tmp_path: Path):
    models.script = script
    (tmp_path / "live.json").write_text(spec_text(provider="openai", model="local"))
    key = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": models.url}
    live = aurea.run_document("run", "live.json", "--record", "tapes/tape.yaml", **key)
    assert live["state"] == "succeeded"
    assert [len(entry["attempts"]) for entry in live["items"]] == [1, 2]

    asked = len(models.asked)
    (tmp_path / "play.json").write_text(spec_text(provider="replay", cassette="tapes/tape.yaml"))
    played = aurea.run_document("run", "play.json")
    assert played["state"] == "succeeded", played["reason"]
    assert told_by(played) == told_by(live)
    assert played["cost"]["model_calls"] == live["cost"]["model_calls"]
    assert len(models.asked) == asked, "no model was asked"
    assert (Path(played["repo"]) / "second.txt").read_text() == TEXT
    assert "Grüße, 世界" in (tmp_path / "tapes" / "tape.yaml").read_text(), "a recording is read by people"


def test_from_standard_input_into_a_folder_unproven(aurea, models, git: Git, tmp_path: Path):
    models.script = script
    text = json.loads(spec_text(provider="openai", model="local", output_dir="made here", unproven=True))
    text["checks"] = []
    key = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": models.url}
    done = aurea("run", "-", "--run-id", "from-stdin", stdin=json.dumps(text), **key)
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("run from-stdin · watch at http://127.0.0.1:")
    assert "sandbox process (does not prevent: " in first
    assert "unproven" in first
    assert "unproven: this run had no checks" in done.stdout
    for words in ("Landed", "first", "second", "inspect", "use ", "discard"):
        assert words in done.stdout
    made = tmp_path / "made here"
    assert (made / "first.txt").read_text() == TEXT
    assert git(made, "status", "--porcelain") == ""
    assert git(made, "rev-parse", "HEAD") == git(made, "rev-parse", "aurea/from-stdin")
    assert "unproven" in git(made, "log", "-1", "--format=%B").lower()
    again = aurea("run", "-", "--new", OPENAI_API_KEY="k")
    assert again.returncode == 2, "an empty standard input is a faulty spec"
    (tmp_path / "s.json").write_text(json.dumps(text))
    full = aurea("run", "s.json", "--new", OPENAI_API_KEY="k")
    assert full.returncode == 2
    assert "is not empty" in full.stderr


def test_the_same_command_goes_on_and_new_starts_another(aurea, models, repo: Path, git: Git, tmp_path: Path):
    models.script = script
    items = [{"id": "second", "goal": "write second.txt", "criteria": ["it is there"]}]
    text = spec_text(provider="openai", model="local", repo=str(repo), max_attempts=1, items=items)
    (tmp_path / "s.json").write_text(text)
    key = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": models.url}

    first = aurea("run", "s.json", "--run-id", "one-attempt", **key)
    assert first.returncode == 3, first.stderr
    assert "Did not land" in first.stdout
    assert "check sound failed (exit 1)" in first.stdout
    assert "go on    aurea resume one-attempt --set max_attempts=3" in first.stdout
    asked = len(models.asked)

    same = aurea("run", "s.json", "--json", **key)
    assert same.returncode == 3, same.stderr
    assert json.loads(same.stdout)["run"] == "one-attempt"
    assert "going on with run one-attempt of the same spec" in same.stderr
    assert len(models.asked) == asked, "no answered call is asked again"

    other = aurea("run", "s.json", "--new", "--json", **key)
    assert other.returncode == 3
    assert json.loads(other.stdout)["run"] != "one-attempt"

    before = json.loads(aurea("list", "--json").stdout)
    both = [aurea.start("run", "s.json", "--set", "concurrency=2", "--json", **key) for _ in range(2)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in both]
    made = json.loads(aurea("list", "--json").stdout)[: -len(before)]
    assert len(made) == 1, "of two at the same instant, one creates the run"
    for (_, said), code in ended:
        assert code == 3 or (code == 2 and f"run '{made[0]['run']}' is being worked on by process" in said), said

    raised = aurea("resume", "one-attempt", "--set", "max_attempts=3", **key)
    assert raised.returncode == 0, raised.stderr
    for purpose in ("Landed", "inspect", "compare", "merge", "discard"):
        assert purpose in raised.stdout
    merge = next(line for line in raised.stdout.splitlines() if line.startswith("merge"))
    subprocess.run(merge.removeprefix("merge").strip(), shell=True, check=True, capture_output=True)
    assert (repo / "second.txt").read_text() == TEXT
    over = aurea("resume", "one-attempt", **key)
    assert over.returncode == 0
    assert "has ended" in over.stderr
