"""A budget is a hard stop through kills and restarts, and what it stopped goes on where it was once there is more."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from waiting import until

LIMIT = 0.10
INPUT, OUTPUT = 1.0, 2.0  # USD for a million tokens
MOST = 4_000  # tokens of an answer, as the role's options say
KILLED_AT = (2, 4, 6)
DONE = 24
HALF = {"summary": "half of the log", "approach": "line by line", "unfinished": ["the other half"]}
REPORT = {"summary": "done", "approach": "line by line"}


class Till:
    """The server's side of the run: what it serves, what that costs, and the steps at which it waits to see a kill."""

    def __init__(self, models: Any) -> None:
        self.served: list[tuple[Any, float]] = []
        self.held = set(KILLED_AT)
        self.reached = threading.Event()
        self.release = threading.Event()
        self.models = models
        models.script, models.tokens = self.script, self.tokens

    def script(self, asked: Any) -> list[Any] | str:
        if asked.step in self.held:
            self.reached.set()
            self.release.wait(60)
        if len(asked.body["tools"]) == 1:
            return [("submit_report", HALF)]
        if asked.step >= DONE:
            return [("submit_report", REPORT)]
        return [("append_file", {"path": "log.txt", "content": f"{asked.step}\n"})]

    def tokens(self, asked: Any) -> tuple[int, int]:
        """What an answer takes: all that was allowed where nobody was left to hear it, the dearest case."""
        prompt = len(json.dumps(asked.body)) // 4
        completion = MOST if asked.step in self.held else 1_000
        self.served.append((asked, (prompt * INPUT + completion * OUTPUT) / 1_000_000))
        return prompt, completion

    @property
    def usd(self) -> float:
        return sum(usd for _, usd in self.served)

    def kill(self, process: Any) -> None:
        """Kill the command at the step where the server holds it, and let the server answer all the same."""
        until(self.reached.is_set)
        served = len(self.served)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        self.release.set()
        until(lambda: len(self.served) > served)
        self.held.discard(self.served[-1][0].step)
        self.reached.clear()
        self.release.clear()


@pytest.fixture
def till(models: Any) -> Till:
    return Till(models)


def events(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    lines = (Path(document["folder"]) / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def places(document: dict[str, Any]) -> set[tuple[str, int, str, int]]:
    """Where models have answered."""
    return {
        (e["item"], e["attempt"], e["payload"]["conversation"], e["payload"]["step"])
        for e in events(document, "model.answered")
    }


@pytest.mark.timeout(400)
@pytest.mark.long
def test_a_budget_holds_through_kills_and_the_work_goes_on(aurea, till: Till, models, repo: Path, tmp_path: Path, git):
    spec, run = tmp_path / "spec.json", f"budget-{time.time_ns()}"
    spec.write_text(json.dumps({
        "project": "log", "objective": "a log", "provider": "openai", "model": "local", "repo": str(repo),
        "checks": [{"name": "tests", "run": ["sh", "check.sh"]}], "reviewers": [], "budget_usd": LIMIT,
        "items": [{"id": "log", "goal": "keep a log", "criteria": ["log.txt has its lines"]}],
        "prices": {"openai:local": {"input": INPUT, "output": OUTPUT}},
        "roles": {"coder": {"options": {"max_tokens": MOST}}},
    }))  # fmt: skip
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url}
    till.kill(aurea.start("run", str(spec), "--run-id", run, **env))
    for _ in KILLED_AT[1:]:
        till.kill(aurea.start("resume", run, **env))
    document = aurea.run_document("resume", run, **env)

    one_call = max(e["payload"]["usd"] for e in events(document, "budget.reserved"))
    assert till.usd <= LIMIT + one_call
    assert till.usd <= document["budget"]["spent_usd"] + 1e-9, "what may have been billed counts"
    assert (document["state"], document["budget"]["limit_usd"]) == ("waiting", LIMIT)
    (question,) = document["questions"]
    assert (question["kind"], question["choices"]) == ("budget", ["raise", "switch_model", "stop"])
    assert question["title"].startswith("the budget of the run is used up: 0.")
    assert "half of the log; left to do: the other half" in question["why"]
    last = [asked for asked in models.asked if len(asked.body["tools"]) == 1]
    assert [tool["function"]["name"] for asked in last for tool in asked.body["tools"]] == ["submit_report"]
    assert "Your budget is used up" in last[0].text
    assert [asked.body.get("max_completion_tokens", asked.body.get("max_tokens")) for asked in last] == [1_500]
    shown = aurea("show", run, "--item", "log").stdout
    assert "when its money was used up: half of the log; left to do: the other half" in " ".join(shown.split())

    assert aurea.run_document("resume", run, **env)["state"] == "waiting"
    answered, asked = places(document), len(models.asked)
    assert [a.place for a in models.asked[asked:]] == []
    refused = aurea("decide", question["question"], "--choice", "raise", "--field", "usd=0.1")
    assert (refused.returncode, "the limit is 0.1 already" in refused.stderr) == (2, True)
    assert aurea("decide", question["question"], "--choice", "raise", "--field", "usd=5").returncode == 0
    document = aurea.run_document("resume", run, **env)

    assert document["state"] == "succeeded", document
    assert document["budget"]["limit_usd"] == 5
    (attempt,) = document["items"][0]["attempts"]
    assert (attempt["state"], attempt["report"]["summary"]) == ("landed", "done")
    assert not answered & {a.place for a in models.asked[asked:]}
    steps = [a.step for a in models.asked]
    assert {step: steps.count(step) for step in set(steps)} == {
        step: 2 if step in KILLED_AT else 1 for step in range(1, DONE + 1)
    }
    on = models.asked[asked]
    assert len(on.body["tools"]) > 5 and "There is money for your work again" in on.text
    lines = git(repo, "show", f"{document['target']['ref']}:log.txt").split()
    assert lines == [str(step) for step in range(1, DONE) if step != last[0].step]
    assert aurea("verify", run).returncode == 0
