"""Cancel, pause and halt from outside: whatever a run is doing, it stops as ordered, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from surfaces.server.place import Place, api_url, ask
from waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
REPORT = ("submit_report", {"summary": "done", "approach": "simple"})


@dataclass
class Working:
    """A run whose items `x`, `y` ... each write a file; `x` takes for ever at the point `during`, until released."""

    aurea: Any
    models: Any
    folder: Path
    repo: Path
    during: str = ""
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        number = time.time_ns() % 10**9
        self.name, self.marker = f"working-{number}", f"4000.{number:09}"
        self.models.script = self.script
        self.env = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": self.models.url}
        self.released = self.folder / "released"

    def script(self, asked: Any) -> list[tuple[str, dict[str, Any]]]:
        if asked.step == 1:
            return [("write_file", {"path": f"{asked.item}.txt", "content": "text\n"})]
        if asked.item == "x" and self.during == "model":
            self.go_on.wait(60)
        if asked.item == "x" and self.during == "shell" and asked.step == 2:
            return [("run_shell", {"command": f"test -e {self.released} || sleep {self.marker}"})]
        return [REPORT]

    def begin(self, *items: str, during: str = "", name: str = "", **more: Any) -> subprocess.Popen[str]:
        """Start the command and wait until it is at the point."""
        self.during = during
        slow = f"test ! -e x.txt -o -e {self.released} || exec sleep {self.marker}"
        when = during if during in ("attempt", "gate") else "both"
        run = ["sh", "-c", slow] if when != "both" else ["true"]
        document = {
            "project": "working", "objective": "files", "provider": "openai", "model": "local", "repo": str(self.repo),
            "reviewers": [], "checks": [{"name": "tests", "run": run, "when": when}, {"name": "other", "run": ["true"]}],
            "items": [{"id": item, "goal": f"write {item}", "criteria": ["there"]} for item in items], **more,
        }  # fmt: skip
        spec = self.folder / f"spec{name}.json"
        spec.write_text(json.dumps(document))
        return self.start("run", str(spec), "--run-id", name or self.name)

    def start(self, *words: str) -> subprocess.Popen[str]:
        asked = len(self.asked())
        self.processes.append(self.aurea.start(*words, "--json", **self.env))
        until(lambda: self.processes[-1].poll() is not None or (self.is_there() and len(self.asked()) > asked))
        return self.processes[-1]

    def asked(self) -> list[Any]:
        return [each.place for each in self.models.asked]

    def is_there(self) -> bool:
        if self.during == "model":
            return any(each.item == "x" and each.step == 2 and not each.ended for each in self.models.asked)
        return bool(self.left()) if self.during else True

    def left(self) -> list[str]:
        """Processes that the run has started and that still are there."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if self.marker in " ".join(words) and "aurea" not in words[0]:
                found.append(f"{entry.name}: {' '.join(words)}")
        return found

    def api(self, method: str, path: str, body: Any = None) -> Any:
        home = Path(self.aurea.env["AUREA_HOME"]).resolve()
        return ask(api_url(Place(home).read()["port"]), method, path, body)

    def flow_runs(self, flow: str = "deliver") -> list[dict[str, Any]]:
        wanted = {"flow_runs": {"tags": {"all_": [f"run:{self.name}"]}}, "flows": {"name": {"any_": [flow]}}}
        found: list[dict[str, Any]] = self.api("POST", "/flow_runs/filter", wanted)
        return found

    def gates(self) -> dict[str, str]:
        """The state of the question about each item, as Prefect shows it."""
        return {found["name"].split(": ")[1]: found["state_type"] for found in self.flow_runs("human_gate")}

    def task_runs(self) -> set[str]:
        """The states of the run's task runs."""
        wanted = {"flow_runs": {"tags": {"all_": [f"run:{self.name}"]}}}
        return {found["state_type"] for found in self.api("POST", "/task_runs/filter", wanted)}

    def cancel_in_prefect(self) -> None:
        [flow_run] = self.flow_runs()
        self.api("POST", f"/flow_runs/{flow_run['id']}/set_state", {"state": {"type": "CANCELLING"}})

    def is_cancelled(self, document: dict[str, Any] | None = None) -> None:
        """Nothing of it is left, and everybody says that it was cancelled."""
        document = document or json.loads(self.aurea("show", self.name, "--json").stdout)
        assert (document["state"], document["reason_code"]) == ("cancelled", "cancelled")
        assert {item["state"] for item in document["items"]} <= {"abandoned", "complete"}
        assert [found["state_type"] for found in self.flow_runs()] == ["CANCELLED"]
        assert not self.left()
        assert not (Path(self.aurea.env["AUREA_WORKSPACES"]) / self.name).exists()
        assert document["questions"] == []
        assert self.aurea("verify", self.name).returncode == 0


def ended(process: subprocess.Popen[str], code: int, timeout: float = 100) -> dict[str, Any]:
    """Wait until a command leaves with `code`; the document it printed."""
    printed, said = process.communicate(timeout=timeout)
    assert process.returncode == code, said + printed
    assert "Traceback" not in said, said
    document: dict[str, Any] = json.loads(printed)
    return document


@pytest.fixture
def working(aurea: Any, models: Any, repo: Path, tmp_path: Path) -> Iterator[Working]:
    made = Working(aurea, models, tmp_path, repo)
    yield made
    made.go_on.set()
    for process in made.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.mark.parametrize(("door", "during"), [("command", "shell"), ("prefect", "gate")])
def test_a_run_at_work_is_cancelled(working: Working, door: str, during: str):
    process = working.begin("x", "y", during=during)
    if door == "command":
        done = working.aurea("cancel", working.name, "--reason", "enough")
        assert done.returncode == 0, done.stderr
        assert "is cancelled" in done.stdout
    else:
        working.cancel_in_prefect()
    document = ended(process, 4)
    assert document["reason"] == "cancelled by a person" + (": enough" if door == "command" else "")
    working.is_cancelled(document)


@pytest.mark.long
def test_a_waiting_run_is_cancelled(working: Working):
    checks = [{"name": "never", "run": ["false"]}]
    ended(working.begin("x", "y", checks=checks, max_attempts=1), 3)
    assert working.gates() == {"x": "PAUSED", "y": "PAUSED"}
    assert working.aurea("cancel", working.name, "--item", "x").returncode == 0
    [left] = ended(working.start("resume", working.name), 3)["questions"]
    assert (left["item"], working.gates()) == ("y", {"x": "CANCELLED", "y": "PAUSED"})
    again = working.aurea("cancel", working.name, "--item", "x")
    assert (again.returncode, "x is abandoned already" in again.stderr) == (2, True)

    assert working.aurea("halt").returncode == 0  # forbids no end
    try:
        done = working.aurea("cancel", working.name)
    finally:
        working.aurea("unhalt")
    assert done.returncode == 0, done.stderr
    working.is_cancelled()
    assert working.gates() == {"x": "CANCELLED", "y": "CANCELLED"}
    again = working.aurea("cancel", working.name)
    assert (again.returncode, "has ended already" in again.stderr) == (2, True)
    assert working.aurea("resume", working.name).returncode == 4


@pytest.mark.long
def test_a_killed_run_is_cancelled(working: Working):
    process = working.begin("x", during="shell")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "interrupted" in working.aurea("show", working.name).stdout
    assert [found["state_type"] for found in working.flow_runs()] == ["CRASHED"]
    assert "RUNNING" not in working.task_runs()
    assert working.aurea("cancel", working.name).returncode == 0
    working.is_cancelled()


@pytest.mark.long
def test_a_killed_run_that_was_cancelled_in_prefect_does_not_go_on(working: Working):
    process = working.begin("x", during="model")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    working.cancel_in_prefect()
    ended(working.aurea.start("resume", working.name, "--json", **working.env), 4)
    working.is_cancelled()


def test_one_item_is_cancelled(working: Working):
    process = working.begin("x", "y", during="model")
    done = working.aurea("cancel", working.name, "--item", "x", "--reason", "too slow")
    assert done.returncode == 0, done.stderr
    document = ended(process, 0)
    assert {item["id"]: item["state"] for item in document["items"]} == {"x": "abandoned", "y": "complete"}
    assert document["items"][0]["cause"] == "cancelled by a person: too slow"


@pytest.mark.long
def test_a_pause_interrupts_or_lets_attempts_finish(working: Working):
    process = working.begin("x", "y", during="model", concurrency=1)
    assert working.aurea("pause", working.name, "--interrupt", "--reason", "lunch").returncode == 0
    document = ended(process, 3)
    assert (document["state"], document["reason"]) == ("paused", "lunch")
    assert [found["state_type"] for found in working.flow_runs()] == ["PAUSED"]
    refused = working.aurea("pause", working.name)
    assert (refused.returncode, "nothing to pause" in refused.stderr) == (2, True)

    asked = len(working.models.asked)
    process = working.start("resume", working.name)
    assert working.asked()[asked:] == [("x", 1, "coder", 2)], "nothing that was answered is asked again"
    assert working.aurea("pause", working.name).returncode == 0
    working.go_on.set()
    document = ended(process, 3)
    assert {item["id"]: item["state"] for item in document["items"]} == {"x": "complete", "y": "ready"}
    document = ended(working.start("resume", working.name), 0)
    assert [len(item["attempts"]) for item in document["items"]] == [1, 1]


def test_a_halt_freezes_everything(working: Working):
    names = [working.name, f"{working.name}-b"]
    working.begin("x", during="shell", name=names[0])
    working.begin("x", during="shell", name=names[1])
    processes = working.processes[:]
    assert working.aurea("halt", "--reason", "fire").returncode == 0
    try:
        assert [ended(process, 3)["state"] for process in processes] == ["paused", "paused"]
        assert not working.left()
        for words in (["resume", names[0]], ["run", str(working.folder / f"spec{names[1]}.json"), "--new"]):
            refused = working.aurea(*words, **working.env)
            assert (refused.returncode, "halted: fire" in refused.stderr) == (2, True), refused.stderr
        assert "paused" in working.aurea("list").stdout
    finally:
        freed = working.aurea("unhalt")
    assert all(f"aurea resume {name}" in freed.stdout for name in names)
    working.released.touch()
    for process in [working.aurea.start("resume", name, "--json", **working.env) for name in names]:
        assert ended(process, 0)["state"] == "succeeded"
    assert working.aurea("unhalt").returncode == 2
