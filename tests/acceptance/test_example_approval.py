"""The example `with_approval`: nothing begins and nothing lands before a person has said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SPEC = Path(__file__).parents[2] / "examples" / "with_approval" / "spec.yaml"


@pytest.mark.long
def test_every_question_is_asked_and_every_approval_lets_the_run_go_on(aurea: Any) -> None:
    done = aurea("run", str(SPEC), "--new", "--run-id", "with-approval", "--json")
    asked = []
    for _ in range(3):
        assert done.returncode == 3, done.stderr
        [question] = json.loads(aurea("inbox", "--run", "with-approval", "--json").stdout)
        asked.append((question["kind"], question["item"]))
        assert aurea("decide", question["question"], "--choice", "approve").returncode == 0
        done = aurea("resume", "with-approval", "--json")
    assert asked == [("plan", None), ("land", "greet"), ("land", "readme")]
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["state"] == "succeeded"
    assert document["landed_to_base"] is True
