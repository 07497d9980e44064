"""A run that is killed at any point, or stopped by a signal, is gone on with: nothing twice, nothing lost, nothing left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from surfaces.server.place import Place, api_url, ask
from surfaces.server.start import stop_server

Git = Callable[..., str]

PLAN = {"items": [{"id": "log", "goal": "keep a log", "criteria": ["log.txt holds one line"]}]}
REPORT = {"summary": "done", "approach": "simple"}
REVIEW = {"decision": "approve", "criteria": [], "findings": [], "summary": "good"}

# Hangs at the point that is armed, once, and says so; every other time it passes.
SNAG = """test $1 = stubborn && trap '' TERM
mv {armed}/$1 {reached} 2>/dev/null || exit 0
exec sleep {marker}
"""
# Stands before git on the PATH, to hang around the move of a target.
GIT = """#!/bin/sh
case "$*" in *"update-ref --no-deref refs/heads/aurea/"*)
    trap '' TERM
    sh {snag} stubborn || exit 1
    sh {snag} before-move || exit 1
    {git} "$@" || exit $?
    sh {snag} after-move; exit 0;;
esac
exec {git} "$@"
"""
CHECK = """case $PWD in *_baseline*) at=baseline;; *_gate*) at=gate;; *) at=check;; esac
sh {snag} $at; sh check.sh; test $at != check -o ! -e {red}"""


@dataclass
class Run:
    """One run of the command on a spec, which can be made to hang at a point and be killed there."""

    aurea: Any
    models: Any
    folder: Path
    repo: Path
    marker: str = field(default_factory=lambda: str(time.time_ns())[-10:])
    point: str = ""
    release: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.name = f"kept-log-{self.marker}"
        self.armed, self.reached = self.folder / "armed", self.folder / "reached"
        self.armed.mkdir()
        snag, git = self.folder / "snag.sh", self.folder / "bin" / "git"
        snag.write_text(SNAG.format(armed=self.armed, reached=self.reached, marker=self.marker))
        git.parent.mkdir()
        git.write_text(GIT.format(snag=snag, git=shutil.which("git")))
        git.chmod(0o755)
        self.shell = f"sh {snag} shell"
        spec = {
            "project": "log", "objective": "a log", "provider": "openai", "model": "local", "repo": str(self.repo),
            "setup": [["sh", str(snag), "setup"]],
            "checks": [{"name": "tests", "run": ["sh", "-c", CHECK.format(snag=snag, red=self.folder / "red")]}],
        }  # fmt: skip
        self.spec = self.folder / "spec.json"
        self.spec.write_text(json.dumps(spec))
        path = f"{git.parent}:{os.environ['PATH']}"
        self.env = {"PATH": path, "OPENAI_API_KEY": "test", "OPENAI_BASE_URL": self.models.url}
        self.models.script = self.script
        self.home = Path(self.aurea.env["AUREA_HOME"])
        self.start_words = ["run", str(self.spec), "--run-id", self.name, "--json"]
        self.resume_words = ["resume", self.name, "--json"]

    def script(self, asked: Any) -> list[tuple[str, dict[str, Any]]]:
        if self.point == f"{asked.conversation} {asked.step}" and not self.reached.exists():
            self.reached.touch()
            self.release.wait(90)
        if asked.conversation == "planner-1":
            return [("submit_plan", PLAN)]
        if asked.conversation.startswith("reviewer"):
            return [("submit_review", REVIEW)]
        if asked.step == 1:
            return [("append_file", {"path": "log.txt", "content": "once\n"})]
        return [("run_shell", {"command": self.shell}) if asked.step == 2 else ("submit_report", REPORT)]

    @property
    def server(self) -> dict[str, Any]:
        """What the home's server says of itself: its port and its keeper."""
        return Place(self.home.resolve()).read()

    @property
    def events(self) -> list[dict[str, Any]]:
        path = self.home / "runs" / self.name / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def answered(self) -> set[tuple[str, int, str, int]]:
        """Where models have answered, as the server sees it."""
        found = [e for e in self.events if e["type"] == "model.answered"]
        return {(e["item"] or "-", e["attempt"], e["payload"]["conversation"], e["payload"]["step"]) for e in found}

    def told(self, seen: int) -> set[str]:
        """What events say beyond the first `seen` ones: their types, those of items with the item."""
        return {f"{event['type']} {event['item'] or ''}".strip() for event in self.events[seen:]}

    def start(self, *words: str, point: str) -> subprocess.Popen[str]:
        """Start the command and wait until it has come to `point`: of a command, a conversation, or an event."""
        self.reached.unlink(missing_ok=True)
        self.release.clear()
        self.point = point
        (self.armed / point).touch()
        seen = len(self.events)
        process = self.process = self.aurea.start(*words, **self.env)
        deadline = time.monotonic() + 60
        while not self.reached.exists() and point not in self.told(seen):
            assert process.poll() is None, f"ended before {point}: {process.communicate()}"
            assert time.monotonic() < deadline, f"{point} is never reached; {self.events[-1]}"
            time.sleep(0.002)
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        self.release.set()
        if self.point.endswith("move"):  # git has a session of its own, so that Ctrl-C does not break it halfway
            self.kill_left()
        deadline = time.monotonic() + 5
        while left := self.left():
            assert time.monotonic() < deadline, f"{left} outlive a kill at {self.point}"
            time.sleep(0.05)

    def finish(self, *words: str) -> dict[str, Any]:
        done = self.aurea(*words, **self.env)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def show(self) -> str:
        """The state that others see."""
        return str(self.finish("show", self.name, "--json")["state"])

    def left(self) -> list[int]:
        """Processes that hang at a point."""
        listed = subprocess.run(["ps", "-Ao", "pid=,args="], text=True, capture_output=True, check=True).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if line.endswith(f"sleep {self.marker}")]

    def kill_left(self) -> None:
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)

    def assert_landed_once(self, document: dict[str, Any], git: Git) -> None:
        """One commit of the one item, every tool call done once, one flow run, nothing left of the workspaces."""
        target = document["target"]["ref"]
        assert git(self.repo, "log", "--format=%(trailers:key=Aurea-Item,valueonly)", target).split() == ["log"]
        assert git(self.repo, "show", f"{target}:log.txt") == "once\n"
        assert not (Path(self.aurea.env["AUREA_WORKSPACES"]) / self.name).exists()
        assert self.flow_runs() == ["COMPLETED"]
        verified = self.aurea("verify", self.name)
        assert verified.returncode == 0, verified.stdout

    def flow_runs(self) -> list[str]:
        """The states of its flow runs, questions apart, as the home's server has them."""
        api = api_url(self.server["port"])
        wanted = {"flow_runs": {"tags": {"all_": [f"run:{self.name}"]}, "name": {"like_": "deliver"}}}
        return [found["state"]["type"] for found in ask(api, "POST", "/flow_runs/filter", wanted)]


@pytest.fixture
def run(aurea: Any, models: Any, repo: Path, tmp_path: Path) -> Iterator[Run]:
    """A run that keeps a log."""
    (tmp_path / "run").mkdir()
    made = Run(aurea, models, tmp_path / "run", repo)
    yield made
    made.release.set()
    if made.process is not None and made.process.poll() is None:
        os.killpg(made.process.pid, signal.SIGKILL)
        made.process.communicate()
    made.kill_left()


BEGUN = "setup, planner-1 1, coder 2"
WELL_ON = "shell, gate, before-move, after-move, run.ended"


@pytest.mark.parametrize("points", [pytest.param(BEGUN, marks=pytest.mark.long), WELL_ON], ids=["begun", "well-on"])
def test_killed(run: Run, git: Git, points: str):
    words, other, told = run.start_words, run.resume_words, list[tuple[set[Any], int]]()
    for point in points.split(", "):
        process = run.start(*words, point=point)
        before = run.answered()
        run.kill(process)
        told.append((before, len(run.models.asked)))
        words, other = other, words
    assert run.show() == ("succeeded" if point == "run.ended" else "interrupted")
    document = run.finish(*words)

    assert (document["state"], len(document["items"][0]["attempts"])) == ("succeeded", 1)
    places = [asked.place for asked in run.models.asked]
    for before, asked in told:
        assert before <= set(places[:asked])
        assert not before & set(places[asked:]), "an answered call is not asked again"
    run.assert_landed_once(document, git)
    if "shell" in points:
        assert "effects are unknown" in run.models.asked[places.index(("log", 1, "coder", 3))].text
    events = run.events
    again = run.aurea(*run.resume_words, **run.env)
    assert (again.returncode, json.loads(again.stdout)) == (0, document)
    assert "has ended" in again.stderr
    assert run.events == events


def test_stopped_by_signals(run: Run, git: Git):
    words = run.start_words
    for point, number in (("baseline", signal.SIGTERM), ("shell", signal.SIGINT)):
        process = run.start(*words, point=point)
        assert run.left()
        process.send_signal(number)
        printed, said = process.communicate(timeout=20)
        assert (process.returncode, json.loads(printed)["state"]) == (5, "interrupted"), said
        assert not run.left(), point
        assert (run.events[-1]["type"], run.flow_runs()) == ("run.ended", ["CRASHED"])
        words = run.resume_words
    process = run.start(*words, point="stubborn")  # takes two seconds to end
    process.send_signal(signal.SIGINT)
    time.sleep(0.8)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, "left at once" in said) == (5, True), said
    assert run.show() == "interrupted"
    run.kill_left()
    run.assert_landed_once(run.finish(*words), git)


def test_stopped_while_the_server_starts(run: Run, tmp_path: Path):
    home = tmp_path / "fresh"
    process = run.aurea.start(*run.start_words, AUREA_HOME=str(home), **run.env)
    try:
        assert process.stderr is not None
        while "starting the local Prefect server" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        printed, said = process.communicate(timeout=5)
        assert (process.returncode, json.loads(printed)["state"]) == (5, "interrupted"), said
        assert run.name in run.aurea("list", AUREA_HOME=str(home)).stdout
    finally:
        stop_server(home, force=True)


def test_one_process_works_on_a_run(run: Run, git: Git):
    first = run.start(*run.start_words, point="coder 2")
    keeper = run.server["keeper"]
    assert run.show() == "running"
    for words in (run.resume_words, run.start_words, ["run", str(run.spec)]):
        refused = run.aurea(*words, **run.env)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"process {first.pid}" in refused.stderr
        assert "--new" in refused.stderr
    other = run.finish("run", str(run.spec), "--new", "--json")
    assert (other["state"], run.show()) == ("succeeded", "running")
    run.release.set()
    printed, _ = first.communicate(timeout=60)
    run.assert_landed_once(json.loads(printed), git)
    assert run.server["keeper"] == keeper


@pytest.mark.long
def test_a_lost_workspace_ends_its_attempt_unspent(run: Run, git: Git):
    run.kill(run.start(*run.start_words, "--set", "max_attempts=1", point="shell"))
    shutil.rmtree(Path(run.aurea.env["AUREA_WORKSPACES"]) / run.name)
    with (run.home / "runs" / run.name / "events.jsonl").open("a") as file:
        file.write('{"seq": 9')
    refused = run.aurea(*run.resume_words, "--set", "objective=x", **run.env)
    assert (refused.returncode, "objective" in refused.stderr) == (2, True)
    asked = len(run.models.asked)
    document = run.finish(*run.resume_words, "--set", "concurrency=1", "--model", "another")
    attempts = document["items"][0]["attempts"]
    assert [(a["state"], a["spent"]) for a in attempts] == [("abandoned", False), ("landed", True)]
    assert {document["model"], *(each.body["model"] for each in run.models.asked[asked:])} == {"another"}
    run.assert_landed_once(document, git)


def test_more_attempts_answer_an_escalation(run: Run, git: Git):
    (run.folder / "red").touch()
    waiting = run.aurea(*run.start_words, "--set", "max_attempts=1", **run.env)
    assert waiting.returncode == 3, waiting.stderr
    assert [q["kind"] for q in json.loads(waiting.stdout)["questions"]] == ["escalation"]
    (run.folder / "red").unlink()
    document = run.finish(*run.resume_words, "--set", "max_attempts=2")
    assert [a["state"] for a in document["items"][0]["attempts"]] == ["failed", "landed"]
    run.assert_landed_once(document, git)
