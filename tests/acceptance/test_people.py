"""Questions to people as the command and Prefect ask them: answered through every door, once, and through every crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from surfaces.server.place import Place, api_url, ask
from waiting import until

CHECK = 'for file in *.txt; do test ! -e "$file" || grep -q good "$file" || exit 1; done\n'


def replies(item: str, attempt: int, text: str, delay: float = 0.0) -> list[str]:
    """A cassette's answers of one attempt: a file with this text, and the report."""
    place = f"item: {item}, attempt: {attempt}, role: coder, conversation: coder"
    write = f"calls: [{{name: write_file, arguments: {{path: {item}.txt, content: {text}}}}}]"
    report = "calls: [{name: submit_report, arguments: {summary: done, approach: simple}}]"
    return [f"{{{place}, step: 1, {write}}}", f"{{{place}, step: 2, delay_s: {delay}, {report}}}"]


@dataclass
class Asking:
    """A run that asks: what its models answer, and what can be done about it from outside."""

    aurea: Any
    folder: Path
    repo: Path
    name: str
    answers: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    @property
    def home(self) -> Path:
        return Path(self.aurea.env["AUREA_HOME"])

    def plays(self, item: str, *texts: str, delay: float = 0.0) -> dict[str, Any]:
        """The work item, whose attempts write these texts."""
        for attempt, text in enumerate(texts, start=1):
            self.answers += replies(item, attempt, text, delay)
        return {"id": item, "goal": f"write {item}", "criteria": ["it is good"]}

    def begin(self, *items: dict[str, Any], wait: float = 0, **spec: Any) -> subprocess.Popen[str]:
        (self.folder / "c.yaml").write_text("\n---\n".join(["schema: aurea.cassette/1", *self.answers]) + "\n")
        checks = [{"name": "tests", "run": ["sh", "check.sh"]}]
        document = {
            "project": "asking", "objective": "files", "provider": "replay", "cassette": "c.yaml", "max_attempts": 1,
            "repo": str(self.repo), "reviewers": [], "checks": checks, "items": list(items), **spec,
        }  # fmt: skip
        (self.folder / "spec.json").write_text(json.dumps(document))
        return self.start("run", str(self.folder / "spec.json"), "--run-id", self.name, "--wait", str(wait))

    def start(self, *words: str) -> subprocess.Popen[str]:
        self.process = self.aurea.start(*words, "--json")
        assert self.process is not None
        return self.process

    def resume(self, wait: float = 0) -> subprocess.Popen[str]:
        return self.start("resume", self.name, "--wait", str(wait))

    def ends(self, code: int, timeout: float = 60) -> dict[str, Any]:
        """Wait until the command leaves with `code`; what it printed."""
        assert self.process is not None
        printed, said = self.process.communicate(timeout=timeout)
        assert self.process.returncode == code, said + printed
        assert "Traceback" not in said, said
        document: dict[str, Any] = json.loads(printed)
        return document

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return ask(api_url(Place(self.home.resolve()).read()["port"]), method, path, body)

    def inbox(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.aurea("inbox", "--run", self.name, "--json").stdout)
        return found

    def question(self, item: str | None = "a") -> dict[str, Any]:
        """The open question about an item, as soon as Prefect shows it, as `inbox` lists it."""
        until(lambda: any(event["item"] == item for event in self.events("question.shown")))
        return next(found for found in self.inbox() if found["item"] == item)

    def gate(self, question: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/flow_runs/{question['flow_run']}")
        return found

    def text(self, question: dict[str, Any]) -> str:
        """What the form shows above its fields; nothing for the moment between a pause and the storing of its form."""
        key = self.gate(question)["state"]["state_details"]["run_input_keyset"]["description"]
        try:
            return str(self.api("GET", f"/flow_runs/{question['flow_run']}/input/{key}"))
        except HTTPError as fault:
            assert fault.code == 404, fault
            return ""

    def answer(self, question: dict[str, Any], **values: Any) -> str:
        """Answer over REST, as the UI does; what the server made of it."""
        said = self.api("POST", f"/flow_runs/{question['flow_run']}/resume", {"run_input": values})
        return str(said["status"])

    def decide(self, question: dict[str, Any], choice: str, *words: str) -> Any:
        return self.aurea("decide", question["question"], "--choice", choice, *words)

    def events(self, kind: str) -> list[dict[str, Any]]:
        path = self.home / "runs" / self.name / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = (json.loads(line) for line in lines if line.endswith("\n"))
        return [event for event in whole if event["type"] == kind]

    def gates(self) -> dict[str, str]:
        """The questions' flow runs, with their states."""
        wanted = {"flow_runs": {"tags": {"all_": [f"run:{self.name}"]}}, "flows": {"name": {"any_": ["human_gate"]}}}
        return {found["id"]: found["state_type"] for found in self.api("POST", "/flow_runs/filter", wanted)}

    def is_whole(self) -> None:
        done = self.aurea("verify", self.name)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def asking(aurea: Any, repo: Path, git: Callable[..., str], tmp_path: Path) -> Iterator[Asking]:
    (repo / "check.sh").write_text(CHECK)
    git(repo, "commit", "-q", "-a", "-m", "a check")
    made = Asking(aurea, tmp_path, repo, f"asking-{time.time_ns() % 10**9}")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def test_an_answer_over_rest_while_the_command_waits(asking: Asking):
    asking.begin(asking.plays("a", "bad", "good"), asking.plays("b", "good", delay=6), wait=60)
    question = asking.question()
    assert question["ui_url"].endswith(question["flow_run"])
    assert "1 of 1 attempts" in asking.text(question)
    assert asking.answer(question, choice="fly") == "REJECT"
    assert asking.gate(question)["state_type"] == "PAUSED"
    assert asking.answer(question, choice="spawn_item", goal="more") == "ACCEPT"  # the form alone cannot tell
    until(lambda: asking.gate(question)["state_type"] == "PAUSED" and "Refused:" in asking.text(question))
    assert "criteria" in asking.text(question).splitlines()[0]
    assert [q["question"] for q in asking.inbox()] == [question["question"]]

    assert asking.answer(question, choice="retry", hint="the trick is to be good", reason="so it is") == "ACCEPT"
    until(lambda: any(e["item"] == "a" and e["attempt"] == 2 for e in asking.events("attempt.started")))
    document = asking.ends(0)
    assert {item["id"]: item["state"] for item in document["items"]} == {"a": "complete", "b": "complete"}
    [event] = asking.events("question.answered")
    assert (event["actor"], event["payload"]["door"], event["payload"]["authenticated"]) == ("unknown", "ui", False)
    assert (event["payload"]["choice"], event["payload"]["reason"]) == ("retry", "so it is")
    assert {event["item"] for event in asking.events("landing.landed")} == {"a", "b"}, (
        "the other item went on meanwhile"
    )
    spoken = Path(document["folder"]) / "logs" / "a" / "2" / "conversation.jsonl"
    assert "the trick is to be good" in spoken.read_text()
    assert asking.gates() == {question["flow_run"]: "COMPLETED"}
    asking.is_whole()


def test_two_answers_at_once(asking: Asking):
    asking.begin(asking.plays("a", "bad", "good"), wait=60)
    question = asking.question()
    words = ["decide", question["question"], "--choice"]
    both = [asking.aurea.start(*words, choice) for choice in ("retry", "abandon_item")]
    rest = asking.answer(question, choice="retry", hint="over rest")
    ended = [(process.communicate(timeout=20), process.returncode) for process in both]
    document = asking.ends(ended[1][1] == 0)  # nothing lands where the item was abandoned
    [event] = asking.events("question.answered")
    doors = [code == 0 for _, code in ended] + [event["payload"]["door"] == "ui"]
    assert sorted(doors) == [False, False, True], (ended, rest)
    assert (rest == "ACCEPT") == doors[2], "nobody is told that an answer is taken which is not"
    for (_, said), code in ended:
        assert code in (0, 2)
        assert code == 0 or ("answered" in said and "already" in said), said
    assert asking.gates() == {question["flow_run"]: "COMPLETED"}
    assert f": {event['payload']['choice']}" in asking.gate(question)["state"]["message"]
    assert document["questions"] == []
    late = asking.answer(question, choice="retry")
    assert late == "ABORT"


@pytest.mark.long
def test_nobody_at_work_and_processes_killed(asking: Asking):
    asking.begin(asking.plays("a", "bad", "bad", "bad", "good"))
    assert asking.ends(3)["state"] == "waiting"
    [first] = asking.inbox()
    assert asking.gate(first)["state_type"] == "PAUSED"
    assert asking.answer(first, choice="spawn_item", goal="more") == "ACCEPT"
    asking.resume()
    assert asking.ends(3)["questions"][0]["flow_run"] == first["flow_run"], "asked once"
    assert "Refused:" in asking.text(first)

    assert asking.answer(first, choice="retry") == "ACCEPT"
    asking.resume(wait=60)
    second = until(
        lambda: next((q for q in asking.inbox() if q["question"] != first["question"] and q["flow_run"]), None)
    )
    asking.kill()
    assert asking.gate(second)["state_type"] == "PAUSED"
    links = len(asking.events("run.linked"))
    asking.resume(wait=60)  # adopts it as it is: at no moment would an answer be refused
    until(lambda: len(asking.events("run.linked")) > links)
    asking.kill()
    assert asking.gate(second)["state"]["state_details"]["pause_key"] == "a0001"
    assert asking.answer(second, choice="retry") == "ACCEPT"

    asking.resume(wait=60)
    seen = {first["question"], second["question"]}
    third = until(lambda: next((q for q in asking.inbox() if q["question"] not in seen and q["flow_run"]), None))
    assert asking.answer(third, choice="retry") == "ACCEPT"
    asking.kill()
    asking.resume()
    document = asking.ends(0)
    assert [attempt["state"] for attempt in document["items"][0]["attempts"]] == [
        "failed",
        "failed",
        "failed",
        "landed",
    ]
    asked = [event["payload"]["question"]["id"] for event in asking.events("question.asked")]
    assert asked == [first["question"], second["question"], third["question"]]
    assert len(asking.events("question.answered")) == 3
    assert asking.gates() == dict.fromkeys((q["flow_run"] for q in (first, second, third)), "COMPLETED")
    asking.is_whole()


def test_what_may_be_decided(asking: Asking):
    items = [asking.plays(name, "good", "good") for name in ("a", "b", "d", "e")]
    asking.plays("d-2", "good")
    after = {"id": "c", "goal": "more", "criteria": ["there"], "depends_on": ["a"]}
    red = asking.folder / "red"
    red.touch()
    strict = {"name": "strict", "run": ["test", "!", "-e", str(red)], "when": "attempt"}
    asking.begin(*items, after, checks=[strict, {"name": "tests", "run": ["sh", "check.sh"]}])
    asked = {question["item"]: question for question in asking.ends(3)["questions"]}
    assert set(asked) == {"a", "b", "d", "e"}

    for words, reason in (
        (["fly"], "does not offer 'fly'"),
        (["retry", "--field", "usd=3"], "takes no field 'usd'"),
        (["spawn_item", "--field", "goal=more"], "needs the field 'criteria'"),
        (["approve_anyway"], "needs the field 'reason'"),
    ):
        refused = asking.decide(asked["e"], *words)
        assert (refused.returncode, reason in refused.stderr) == (2, True), refused.stderr
    spawned = ["--field", "goal=help", "--field", "criteria=it helps", "--field", "criteria=it is small"]
    for item, choice, words in (
        ("a", "abandon_item", ["--reason", "not worth it"]),
        ("b", "approve_anyway", ["--reason", "good enough"]),
        ("d", "spawn_item", spawned),
    ):
        done = asking.decide(asked[item], choice, *words)
        assert done.returncode == 0, done.stderr
    red.unlink()
    asking.resume()
    document = asking.ends(3)
    found = {item["id"]: item for item in document["items"]}
    assert {name: item["state"] for name, item in found.items()} == {
        "a": "abandoned", "b": "complete", "c": "abandoned", "d": "complete", "d-2": "complete", "e": "waiting_human",
    }  # fmt: skip
    assert (found["a"]["cause"], found["c"]["cause"]) == ("not worth it", "it depends on a, which was abandoned")
    assert (found["d-2"]["goal"], found["d-2"]["criteria"]) == ("help", ["it helps", "it is small"])
    assert "d-2" in found["d"]["depends_on"]

    assert asking.decide(asked["e"], "stop").returncode == 0
    asking.resume()
    document = asking.ends(1)
    assert (document["state"], document["reason_code"]) == ("failed", "partial")
    assert "answered already" in asking.decide(asked["e"], "retry").stderr
    assert set(asking.gates().values()) == {"COMPLETED"}
    asking.is_whole()


@pytest.mark.long
def test_nobody_answers_in_time(asking: Asking):
    asking.begin(asking.plays("a", "bad"), asking.plays("b", "good"), answer_within_s=3600)
    [asked] = asking.ends(3, timeout=120)["questions"]
    assert (asked["default"], bool(asked["deadline"])) == ("abandon_item", True)
    moment = asked["deadline"][:19].replace("T", " ")
    for told in (asking.text(asked).casefold(), asking.aurea("inbox").stdout, asking.aurea("show", asking.name).stdout):
        assert f"if nobody answers by {moment} utc: abandon_item" in told.casefold()

    asking.start("resume", asking.name, "--set", "answer_within_s=15", "--wait", "60")
    until(lambda: [q["deadline"] for q in asking.inbox()] != [asked["deadline"]], 90)
    until(lambda: not asking.inbox() or moment not in asking.text(asked), 90)
    asking.kill()
    until(lambda: asking.inbox() == [])  # a look after the deadline applies it
    late = asking.decide(asked, "retry")
    assert (late.returncode, "its default was applied: abandon_item" in late.stderr) == (2, True)
    gate = asking.gate(asked)["state"]
    assert (gate["type"], gate["message"].rpartition(": ")[2]) == ("COMPLETED", "abandon_item")
    asking.resume()
    document = asking.ends(0, timeout=120)
    assert {item["id"]: item["state"] for item in document["items"]} == {"a": "abandoned", "b": "complete"}
    [event] = asking.events("question.answered")
    assert (event["actor"], event["item"], event["payload"]["door"]) == ("policy", "a", "deadline")
    asking.is_whole()
