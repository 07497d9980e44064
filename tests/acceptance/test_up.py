"""`aurea up` and `aurea down`: server and deployments in the foreground, and nothing left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from surfaces.server.place import ask
from surfaces.server.start import stop_server
from waiting import until

pytestmark = [pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc"), pytest.mark.timeout(300)]

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
REPORT = [("submit_report", {"summary": "done", "approach": "simple"})]


@contextmanager
def up(aurea: Any, *words: str, **env: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`aurea up` until the block ends: the address of its API, and its process."""
    process = aurea.start("up", *words, **env)
    try:
        url = process.stdout.readline().strip()
        assert url, process.communicate()[1]
        yield f"{url}/api", process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def begin(api: str, deployment: str, **parameters: Any) -> str:
    found = ask(api, "GET", f"/deployments/name/{deployment}")["id"]
    return str(ask(api, "POST", f"/deployments/{found}/create_flow_run", {"parameters": parameters})["id"])


def comes_to(api: str, flow_run: str, name: str) -> None:
    """Wait until a flow run's state has this name."""

    def has_come() -> bool:
        state = ask(api, "GET", f"/flow_runs/{flow_run}")["state"]
        assert state["name"] == name or state["type"] not in FINAL, f"{state['name']}: {state['message']}"
        return bool(state["name"] == name)

    until(has_come)


def processes(marker: str) -> list[str]:
    """Command lines of living processes that know of the home, by their environment or their words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            if int(entry.name) != os.getpid() and marker.encode() in told:
                found.append((entry / "cmdline").read_bytes().decode().replace("\0", " "))
        except OSError:
            continue
    return found


def lives(process: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return (Path("/proc") / str(process) / "cmdline").read_bytes() != b""
    except OSError:
        return False


@pytest.fixture
def aurea(aurea: Any, prepare_server: Callable[[Path], Path], tmp_path: Path) -> Iterator[Any]:
    """The command on a home of its own, since upkeep looks at all of it."""
    home = prepare_server(tmp_path / "home")
    yield replace(aurea, env={**aurea.env, "AUREA_HOME": str(home)})
    stop_server(home, force=True)


@pytest.fixture
def spec(aurea: Any, models: Any, repo: Path) -> Path:
    models.script = lambda asked: (
        [("write_file", {"path": "made.txt", "content": "made\n"})] if asked.step == 1 else REPORT
    )
    document = {
        "project": "served", "objective": "a file", "provider": "openai", "model": "local", "repo": str(repo),
        "checks": [{"name": "there", "run": ["test", "-f", "check.sh"]}], "reviewers": [],
        "items": [{"id": "make", "goal": "write it", "criteria": ["it is there"]}],
    }  # fmt: skip
    path = aurea.cwd / "spec.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.long
def test_served_deployments_run_and_nothing_is_left(
    aurea: Any, models: Any, spec: Path, offspring: Callable[[int], set[int]]
) -> None:
    home = aurea.env["AUREA_HOME"]
    key = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url}
    with up(aurea, **key) as (api, process):
        asking = begin(api, "deliver/deliver", spec=str(spec), run_id="served-one", overrides={"approvals": ["plan"]})
        comes_to(api, asking, "Suspended")
        [question] = json.loads(aurea("inbox", "--run", "served-one", "--json").stdout)
        answer = {"run_input": {"choice": "approve"}}
        assert ask(api, "POST", f"/flow_runs/{question['flow_run']}/resume", answer)["status"] == "ACCEPT"
        comes_to(api, asking, "Completed")
        upkeep = ask(api, "GET", "/deployments/name/upkeep/upkeep")
        assert (upkeep["paused"], [schedule["active"] for schedule in upkeep["schedules"]]) == (False, [True])

        models.delay = 60.0
        asked = len(models.asked)
        spec.write_text(spec.read_text().replace("a file", "another file"))
        begin(api, "deliver/deliver", spec=str(spec), run_id="served-two")
        until(lambda: len(models.asked) > asked)
        refused = aurea("down")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "run served-two is at work" in refused.stderr
        started = offspring(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    until(lambda: not any(map(lives, started)))
    assert processes(home) == []
    assert aurea("down").stdout == "no local server of this home is running\n"
    shown = json.loads(aurea("show", "served-two", "--json").stdout)
    assert shown["state"] == "interrupted"

    models.delay = 0.0
    assert aurea.run_document("resume", "served-two", **key)["state"] == "succeeded"
    assert aurea("down").stdout == "the local server is stopped\n"
    until(lambda: processes(home) == [], 10)  # the keeper lets go of its lock a moment before it is gone


def test_a_port_is_kept_and_only_a_free_one_is_taken(aurea: Any, models: Any) -> None:
    taken = aurea("up", "--port", models.url.rpartition(":")[2].partition("/")[0])
    assert taken.returncode == 2
    assert "is taken" in taken.stderr
    named = aurea("up", "--port", "23000", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert named.returncode == 2
    assert "the environment names" in named.stderr
