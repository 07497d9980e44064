"""Deployments carried out by a worker that knows nothing but the server: questions, cancel, a kill, upkeep, a block."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from surfaces.server.place import ask
from surfaces.server.start import ensure_server
from waiting import until

pytestmark = [pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc"), pytest.mark.timeout(400)]

CLONE = Path(__file__).parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
REPORT = [("submit_report", {"summary": "done", "approach": "simple"})]
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Deployed:
    """The deployments of `prefect.yaml` on a server, and a worker of theirs that was started in `/`."""

    api: str
    env: dict[str, str]
    offspring: Callable[[int], set[int]]
    log: Path
    worker: subprocess.Popen[bytes] | None = None

    def prefect(self, *words: str) -> None:
        done = subprocess.run([PREFECT, *words], cwd=CLONE, env=self.env, text=True, capture_output=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr

    def save(self, kind: str, name: str, data: dict[str, Any]) -> None:
        """A block, as the form of the UI saves it."""
        kind_of = ask(self.api, "GET", f"/block_types/slug/aurea-{kind}")["id"]
        wanted = {"block_schemas": {"block_type_id": {"any_": [kind_of]}}}
        schema = ask(self.api, "POST", "/block_schemas/filter", wanted)[0]["id"]
        body = {"name": name, "data": data, "block_schema_id": schema, "block_type_id": kind_of}
        ask(self.api, "POST", "/block_documents/", body)

    def work(self) -> None:
        command = [PREFECT, "worker", "start", "--pool", "aurea", "--type", "process"]
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
        with self.log.open("w") as log:
            self.worker = subprocess.Popen(
                command, cwd="/", env=self.env | quick, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def at_work(self) -> set[int]:
        """The processes that the worker has started, each in a session of its own."""
        return self.offspring(self.worker.pid) if self.worker else set()

    def kill(self) -> None:
        """End the worker and all that it started as if by `kill -9`."""
        if self.worker is not None:
            for process in self.at_work() | {self.worker.pid}:
                os.kill(process, signal.SIGKILL)
            self.worker.wait(60)
            self.worker = None

    def begin(self, deployment: str, **parameters: Any) -> str:
        found = ask(self.api, "GET", f"/deployments/name/{deployment}")["id"]
        return str(ask(self.api, "POST", f"/deployments/{found}/create_flow_run", {"parameters": parameters})["id"])

    def comes_to(self, flow_run: str, name: str) -> dict[str, Any]:
        """The flow run, as soon as its state has this name."""
        found: dict[str, Any] = {}

        def is_there() -> bool:
            found.update(ask(self.api, "GET", f"/flow_runs/{flow_run}"))
            has_come = found["state"]["name"] == name
            assert has_come or found["state"]["type"] not in FINAL, self.log.read_text()
            return bool(has_come)

        until(is_there)
        return found

    def planned(self, deployment: str) -> int:
        """How many runs of a deployment are scheduled."""
        found = ask(self.api, "GET", f"/deployments/name/{deployment}")["id"]
        wanted = {"deployment_id": {"any_": [found]}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        return int(ask(self.api, "POST", "/flow_runs/count", {"flow_runs": wanted}))

    def flow_runs(self, flow: str) -> list[tuple[str, str]]:
        """State and message of all that there are of a flow."""
        found = ask(self.api, "POST", "/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})
        return [(each["state"]["type"], each["state"]["message"]) for each in found]


@pytest.fixture
def command(aurea: Any, shared_home: Path, tmp_path: Path) -> Any:
    """The command on a home of its own, since upkeep looks at all of it, and on the server of the session."""
    server = ensure_server(shared_home, idle_s=120, environ={"HOME": str(tmp_path)}, folder=tmp_path)
    own = {"AUREA_HOME": str(tmp_path / "home"), "PREFECT_API_URL": server.api_url}
    return replace(aurea, env={**aurea.env, **own})


@pytest.fixture
def deployed(command: Any, models: Any, offspring: Callable[[int], set[int]]) -> Iterator[Deployed]:
    made = Deployed(command.env["PREFECT_API_URL"], command.env, offspring, command.cwd / "worker.log")
    made.prefect("work-pool", "create", "aurea", "--type", "process", "--overwrite")
    made.prefect("deploy", "--all", "--no-prompt")
    made.prefect("block", "register", "--module", "blocks")
    made.save("provider", "team", {"provider": "openai", "key": "sk-of-the-block", "base_url": models.url})
    made.work()
    yield made
    made.kill()
    made.prefect("--no-prompt", "deployment", "delete", "--all")


@pytest.fixture
def spec(command: Any, models: Any, repo: Path) -> Callable[..., str]:
    models.script = lambda asked: (
        [("write_file", {"path": "made.txt", "content": "made\n"})] if asked.step == 1 else REPORT
    )

    def written(**more: Any) -> str:
        document = {
            "project": "deployed", "objective": "a file", "blocks": {"provider": "team"}, "model": "local", "repo": str(repo),
            "checks": [{"name": "there", "run": ["test", "-f", "check.sh"]}], "reviewers": [],
            "items": [{"id": "make", "goal": "write it", "criteria": ["it is there"]}], **more,
        }  # fmt: skip
        path = command.cwd / f"spec{len(list(command.cwd.glob('spec*')))}.json"
        path.write_text(json.dumps(document))
        return str(path)

    return written


def test_a_worker_carries_runs_out(deployed: Deployed, command: Any, models: Any, spec: Callable[..., str]) -> None:
    # Questions: one answered as the UI does, one by the command, while no process of the run is left.
    run = deployed.begin("deliver/deliver", spec=spec(approvals=["plan", "land"]), run_id="asks")
    deployed.comes_to(run, "Suspended")
    until(lambda: not deployed.at_work())
    [plan] = json.loads(command("inbox", "--json").stdout)
    answer = {"run_input": {"choice": "approve"}}
    assert ask(deployed.api, "POST", f"/flow_runs/{plan['flow_run']}/resume", answer)["status"] == "ACCEPT"
    land = until(lambda: [q for q in json.loads(command("inbox", "--json").stdout) if q["kind"] == "land"])[0]
    deployed.comes_to(run, "Suspended")
    decided = command("decide", land["question"], "--choice", "approve")
    assert "goes on where its deployment works" in decided.stdout, decided.stderr
    assert deployed.comes_to(run, "Completed")["name"] == "deliver asks"
    assert deployed.flow_runs("pick_up") == [("COMPLETED", "resumed deliver asks")]
    assert [event["payload"]["door"] for event in answers(command)] == ["ui", "cli"]

    # Upkeep, on what has landed.
    stray = Path(command.env["AUREA_WORKSPACES"]) / "asks" / "make-1"
    stray.mkdir(parents=True)
    (stray / "aurea-workspace").touch()
    kept = deployed.comes_to(deployed.begin("upkeep/upkeep"), "Completed")
    assert not stray.exists()
    assert "sound; removed 1 workspace" in kept["state"]["message"]
    pages = ask(deployed.api, "POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [kept["id"]]}}})
    assert any("| deployed | asks | green | there passed |" in str(page["data"]) for page in pages)

    # Schedules: only those that are active have the server plan runs.
    until(lambda: deployed.planned("upkeep/upkeep"))
    assert deployed.planned("deliver/deliver-nightly") == 0

    # A cancel in the UI, in the middle of a model call.
    models.delay = 120.0
    run = begun(deployed, models, spec(), "cancelled")
    ask(deployed.api, "POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    deployed.comes_to(run, "Cancelled")
    until(lambda: not deployed.at_work())
    assert json.loads(command("show", "cancelled", "--json").stdout)["state"] == "cancelled"

    # A worker that is killed with all that it started.
    run = begun(deployed, models, spec(), "killed")
    deployed.kill()
    assert json.loads(command("show", "killed", "--json").stdout)["state"] == "interrupted"
    models.delay = 0.0
    resumed = command("resume", "killed")
    assert resumed.returncode == 0, resumed.stderr
    deployed.comes_to(run, "Completed")
    assert {asked.headers["authorization"] for asked in models.asked} == {"Bearer sk-of-the-block"}


def begun(deployed: Deployed, models: Any, spec: str, name: str) -> str:
    """A run that waits for its model."""
    asked = len(models.asked)
    run = deployed.begin("deliver/deliver", spec=spec, run_id=name)
    deployed.comes_to(run, "Running")
    until(lambda: len(models.asked) > asked)
    return run


def answers(command: Any) -> list[dict[str, Any]]:
    lines = (Path(command.env["AUREA_HOME"]) / "runs" / "asks" / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == "question.answered"]
