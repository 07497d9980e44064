"""The quality gate through the real command: a fix with suites of its own, what fails a run, a library that is broken."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fix_a_bug"


@pytest.fixture
def durations(tmp_path: Path) -> Path:
    folder = tmp_path / "durations"
    subprocess.run(["sh", EXAMPLE / "prepare.sh", folder], check=True)
    return folder


def judged(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(document["folder"]) / "artifacts" / "quality.json").read_text())
    return found


def expect(folder: Path, git: Callable[..., str], text: str) -> None:
    """Commit a suite of the project's own."""
    (folder / ".aurea/quality/own.yaml").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "what we expect")


def test_a_bug_is_fixed_and_the_run_judged_by_great_expectations(aurea: Any, durations: Path, git: Any) -> None:
    words = ("run", str(EXAMPLE / "spec.yaml"), "--repo", str(durations))
    document = aurea.run_document(*words, AUREA_QUALITY_WAIT_S="60")
    assert document["state"] == "succeeded"
    (item,) = document["items"]
    assert [attempt["state"] for attempt in item["attempts"]] == ["failed", "landed"]
    assert all(criterion["met"] for criterion in item["verdict"]["criteria"])
    git(durations, "merge", "-q", document["target"]["ref"])
    assert "1h later" in (durations / "tests/test_durations.py").read_text()

    quality = judged(document)
    assert quality["passed"] and quality["judged_by"].startswith("great_expectations 1.") and not quality["note"]
    assert {entry["outcome"] for entry in quality["expectations"]} == {"passed"}
    assert {entry["suite"] for entry in quality["expectations"]} == {"delivery", "small-fix.yaml"}
    page = (Path(document["folder"]) / "artifacts" / "report.html").read_text()
    assert "a fix changes at most three files" in page
    assert not re.search(r"<script(?! type=\"application/json\")|\son\w+=|src=|url\((?!#)|@import", page)
    assert json.loads(page.split('id="aurea-run">')[1].split("</script>")[0])["run"]["run"] == document["run"]
    assert aurea("verify", document["run"]).returncode == 0


@pytest.mark.long
def test_what_the_project_expects_fails_the_run_and_names_the_row_also_without_the_library(
    aurea: Any, durations: Path, git: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "broken" / "great_expectations"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('damaged')\n")
    expect(
        durations,
        git,
        """expectations:
- {table: files, expect: expect_column_values_to_not_match_regex, with: {column: path, regex: ^tests/},
   why: no fix changes a test}
- {table: files, expect: expect_column_values_to_be_between, with: {column: bytes, max_value: 1}, severity: warning}
""",
    )
    words = ("run", str(EXAMPLE / "spec.yaml"), "--repo", str(durations), "--land", "target")
    git(durations, "checkout", "-q", "--detach")
    before = git(durations, "rev-parse", "main")
    env = {"PYTHONPATH": str(broken.parent), "AUREA_QUALITY_WAIT_S": "60"}
    done = aurea(*words, "--base", "main", "--json", **env)
    document = json.loads(done.stdout)
    assert (done.returncode, document["state"], document["reason_code"]) == (1, "failed", "quality")
    assert "no fix changes a test" in document["reason"] and "tests/test_durations.py" in document["reason"]
    assert document["items"][0]["state"] == "complete", "what has landed stays"
    assert git(durations, "rev-parse", "main") == before, "the base does not move past a failed gate"
    quality = judged(document)
    assert len(quality["warnings"]) == 1
    assert quality["judged_by"] == "aurea" and "damaged" in quality["note"]


def test_a_faulty_suite_is_refused_before_anything_is_written(aurea: Any, durations: Path, git: Any) -> None:
    expect(durations, git, "expectations:\n- {table: itmes, expect: expect_table_row_count_to_equal}\n")
    done = aurea("run", str(EXAMPLE / "spec.yaml"), "--repo", str(durations), "--run-id", "faulty-suite")
    assert done.returncode == 2 and "own.yaml" in done.stderr and "did you mean 'items'" in done.stderr
    assert aurea("show", "faulty-suite").returncode == 2
