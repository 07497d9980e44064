"""`aurea clean`: what goes, what never goes, and that the ledger knows."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

MARK = "aurea-workspace"


def workspace(shell: Any, run: str, name: str) -> Path:
    path = Path(shell.env["AUREA_WORKSPACES"]) / run / name
    path.mkdir(parents=True)
    (path / MARK).touch()
    (path / "locked").mkdir(mode=0o500)
    return path


def refs(folder: Path) -> list[str]:
    said = subprocess.run(
        ["git", "-C", folder, "for-each-ref", "--format=%(refname)"], text=True, capture_output=True, check=True
    )
    return said.stdout.split()


def document(shell: Any, run: str) -> Mapping[str, Any]:
    return dict(json.loads(shell("show", run, "--json").out))


def test_workspaces_of_no_living_attempt_go(used: Any) -> None:
    stray = workspace(used, "alpha-made", "first-1")
    foreign = workspace(used, "unknown-run", "x-1")
    unmarked = Path(used.env["AUREA_WORKSPACES"]) / "mine"
    unmarked.mkdir()
    told = used("clean", "--dry-run")
    assert (told.code, told.out) == (0, f"{stray}\n")
    assert stray.exists()
    told = used("clean")
    assert (told.code, told.out) == (0, f"{stray}\n")
    assert "removed 1 workspace, 0 attempt refs, 0 run folders" in told.err
    assert "unknown-run" in told.err
    assert not stray.parent.exists()
    assert foreign.exists()
    assert unmarked.exists()
    assert "nothing to remove" in used("clean").err


def test_a_run_at_work_is_left_alone(used: Any) -> None:
    stray = workspace(used, "alpha-made", "first-1")
    with (used.home / "runs" / "alpha-made" / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert used("clean", "--older-than", "0").code == 0
        assert stray.exists()
        assert (used.home / "runs" / "alpha-made").is_dir()
    assert used("clean").code == 0
    assert not stray.exists()


def test_what_old_runs_left_goes_and_the_ledger_knows(used: Any, delivered: Path) -> None:
    before = document(used, "alpha-made")
    assert "nothing to remove" in used("clean", "--older-than", "1").err
    told = used("clean", "--older-than", "0", "--dry-run")
    assert str(used.home / "runs" / "alpha-made") in told.out
    assert (used.home / "runs" / "alpha-made").is_dir()

    told = used("clean", "--older-than", "0")
    assert told.code == 0, told.err
    runs = used.home / "runs"
    assert [path.name for path in runs.iterdir()] == ["alpha-waits"], "a run that waits is not over"
    assert "refs/aurea/alpha-waits/good/1" in refs(delivered / "repo")

    after = document(used, "alpha-made")
    assert {key: after[key] for key in ("state", "items", "cost")} == {
        key: before[key] for key in ("state", "items", "cost")
    }
    last = used("tail", "alpha-made").out.splitlines()[-1]
    assert "cleaned" in last
    assert used("verify").code == 0
    assert used("verify", "alpha-made").code == 0
    told = used("resume", "alpha-made")
    assert told.code == 0
    assert "has ended" in told.err


def test_attempt_refs_of_old_runs_go_and_what_landed_stays(used: Any, delivered: Path) -> None:
    repo = delivered / "repo"
    assert used("cancel", "alpha-waits").code == 0
    attempts = [ref for ref in refs(repo) if ref.startswith("refs/aurea/alpha-waits/")]
    assert attempts
    told = used("clean", "--older-than", "0")
    assert set(attempts) <= set(told.out.split())
    assert [ref for ref in refs(repo) if "aurea" in ref] == ["refs/heads/aurea/alpha-waits"]
    assert used("verify").code == 0


def test_a_folder_that_was_not_cleaned_but_is_gone_is_damage(used: Any) -> None:
    shutil.rmtree(used.home / "runs" / "loose-1")
    told = used("verify", "--json")
    assert told.code == 1
    assert json.loads(told.out)["problems"] == [
        "the folder of run 'loose-1' is missing, and nothing says that it was cleaned away"
    ]
    assert used("verify", "alpha-made").code == 0


def test_a_cleaning_that_was_broken_off_is_no_damage_and_is_ended(used: Any) -> None:
    folder = used.home / "runs" / "loose-1"
    keep = used.cwd / "kept"
    shutil.copytree(folder, keep)
    used("clean", "--older-than", "0")
    shutil.copytree(keep, folder)
    (folder / "events.jsonl").unlink()
    assert used("verify").code == 0
    assert str(folder) in used("clean", "--older-than", "0").out
    assert not folder.exists()
    assert used("tail", "loose-1").out.count("cleaned") == 1


@pytest.mark.parametrize("days", ["-1", "soon"])
def test_days_are_days(days: str, shell: Any) -> None:
    told = shell("clean", "--older-than", days)
    assert (told.code, told.out) == (2, "")
