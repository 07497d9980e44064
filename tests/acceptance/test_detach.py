"""`--detach`: the command leaves at once with the id; the run goes on in a process that holds nothing of the caller's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")

REPORT = [("submit_report", {"summary": "done", "approach": "simple"})]


@pytest.fixture
def words(aurea: Any, models: Any, repo: Path) -> list[str]:
    """A spec whose one item is written in two steps, and the words that name it."""
    models.script = lambda asked: (
        [("write_file", {"path": "made.txt", "content": "made\n"})] if asked.step == 1 else REPORT
    )
    spec = {
        "project": "left", "objective": "a file", "provider": "openai", "model": "local", "repo": str(repo),
        "checks": [{"name": "there", "run": ["test", "-f", "check.sh"]}], "reviewers": [],
        "items": [{"id": "make", "goal": "write it", "criteria": ["it is there"]}],
    }  # fmt: skip
    path = aurea.cwd / "spec.json"
    path.write_text(json.dumps(spec))
    return ["run", str(path)]


def worker_of(log: str) -> int:
    return int(log.partition("in process ")[2].partition(";")[0])


def test_a_detached_run_goes_on_without_the_caller(aurea: Any, models: Any, words: list[str]) -> None:
    models.delay = 1.0
    key = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url}
    left = aurea(*words, "--detach", "--run-id", "left-one", **key)
    assert (left.returncode, left.stdout) == (0, "left-one\n"), left.stderr
    worker = worker_of(left.stderr)
    assert os.getsid(worker) == worker
    outputs = {Path(f"/proc/{worker}/fd/{number}").readlink() for number in (1, 2)}
    log = Path(aurea.env["AUREA_HOME"]) / "runs" / "left-one" / "logs" / "run.log"
    assert outputs == {log}
    busy = aurea("resume", "left-one", "--detach", **key)
    assert busy.returncode == 2
    assert f"process {worker}" in busy.stderr

    told = aurea("tail", "left-one", "-f")
    assert "run.ended" not in told.stdout
    assert told.stdout.splitlines()[-1].endswith("succeeded")
    assert "make #1       landed as" in log.read_text()
    assert aurea("list", "--state", "succeeded", "--json").stdout.find("left-one") > 0


def test_resume_goes_on_detached_with_what_is_changed(aurea: Any, models: Any, words: list[str]) -> None:
    key = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url}
    begun = aurea.start(*words, "--run-id", "left-two", **key)
    models.delay = 3.0
    until(lambda: models.asked)
    begun.terminate()
    begun.communicate()
    models.delay = 0.0
    left = aurea("resume", "left-two", "--detach", "--json", "--set", "concurrency=2", **key)
    assert left.returncode == 0, left.stderr
    assert json.loads(left.stdout)["run"] == "left-two"
    told: subprocess.CompletedProcess[str] = aurea("tail", "left-two", "-f")
    assert "resumed with concurrency=2" in told.stdout
    assert told.stdout.splitlines()[-1].endswith("succeeded")


def test_a_process_that_cannot_begin_is_told_of(aurea: Any, models: Any, words: list[str]) -> None:
    wrong = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url, "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    left = aurea(*words, "--detach", "--run-id", "left-three", **wrong)
    assert (left.returncode, left.stdout) == (1, "")
    assert "127.0.0.1:9" in left.stderr
