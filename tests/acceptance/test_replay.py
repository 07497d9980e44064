"""A recorded run, played again elsewhere: the same result without a network, and a report of what is asked otherwise."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from waiting import until

AUREA = Path(sys.executable).with_name("aurea")
Git = Callable[..., str]
Document = dict[str, Any]

SPEC = """\
project: calc
objective: Subtraction for calc.
provider: openai
model: local
repo: .
checks: [{name: tests, run: [sh, check.sh]}]
reviewers: [{}]
items:
  - {id: minus, goal: Write minus.py., criteria: [minus.py is there]}
  - {id: notes, goal: Write notes.txt., criteria: [notes.txt is there], depends_on: [minus]}
"""
SOUND = "date; pwd; echo $TMPDIR; git log -1; ls -l calc.py"  # nothing of which is the same twice
RANDOM = "od -An -N8 -tu8 /dev/urandom"  # whatever is taken out of an output, this differs
FILES = {"minus": "minus.py", "notes": "notes.txt"}


def script(asked: Any) -> list[tuple[str, dict[str, Any]]]:
    if asked.conversation.startswith("reviewer"):
        return [("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "good"})]
    steps = [
        ("run_shell", {"command": SOUND}),
        ("run_shell", {"command": RANDOM if asked.item == "notes" else SOUND}),
        ("write_file", {"path": FILES[asked.item], "content": f"# {asked.item}\n"}),
        ("submit_report", {"summary": "done", "approach": "plainly"}),
    ]
    return [steps[asked.step - 1]]


@pytest.fixture
def project(repo: Path, git: Git) -> Path:
    """The user's repository with a spec and rules of its own, all committed."""
    (repo / "spec.yaml").write_text(SPEC)
    (repo / "AGENTS.md").write_text("Write short lines.\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "a spec")
    return repo


def cut_off(words: list[str | Path], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command where nothing but this machine's own loopback can be reached, and that is another one than ours."""
    isolated = ["unshare", "-rn", "sh", "-c"]
    if (
        shutil.which("unshare")
        and subprocess.run([*isolated, "ip link set lo up"], capture_output=True).returncode == 0
    ):
        line = shlex.join(map(str, [AUREA, *words]))
        down = shlex.join([str(AUREA), "down", "--force"])
        words = [*isolated, f"ip link set lo up; {line}; code=$?; {down} >/dev/null 2>&1; exit $code"]
        return subprocess.run(words, cwd=cwd, env=env, text=True, capture_output=True, timeout=300)
    nowhere = {f"{scheme}_PROXY": "http://127.0.0.1:9" for scheme in ("HTTP", "HTTPS", "ALL")}
    env = {**env, **nowhere, "NO_PROXY": "127.0.0.1,localhost"}
    return subprocess.run([AUREA, *words], cwd=cwd, env=env, text=True, capture_output=True, timeout=300)


def landed(document: Document) -> list[Any]:
    """What a run came to, without what differs from run to run."""
    return [
        (entry["id"], entry["landed"]["tree"], [(a["number"], a["state"], a["files"]) for a in entry["attempts"]])
        for entry in document["items"]
    ]


def told(document: Document) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """What differs, without results of tools: by kind and part the conversations."""
    drift = json.loads((Path(document["folder"]) / "artifacts" / "drift.json").read_text())
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for place in drift["places"]:
        for one in place["differences"]:
            if one["kind"] != "result":
                found.setdefault((one["kind"], one["name"]), set()).add((place["item"], place["conversation"]))
    return found


@pytest.mark.timeout(600)
def test_a_recording_plays_in_a_fresh_clone_without_a_network_and_tells_what_differs(
    aurea: Any, models: Any, git: Git, project: Path, tmp_path: Path, prepare_server: Callable[[Path], Path]
) -> None:
    models.script = script
    tape = tmp_path / "tape.yaml"
    key = {"OPENAI_API_KEY": "sk-secret-1", "OPENAI_BASE_URL": models.url}
    live = aurea.run_document("run", "spec.yaml", "--record", str(tape), cwd=project, timeout=250, **key)
    assert live["state"] == "succeeded", live["reason"]
    assert live["replay"] is None
    asked = len(models.asked)
    assert asked == 10

    clone, home = tmp_path / "elsewhere" / "clone", prepare_server(tmp_path / "other home")
    git(tmp_path, "clone", "-q", str(project), str(clone))
    env = {**aurea.env, "AUREA_HOME": str(home), "AUREA_WORKSPACES": str(tmp_path / "other workspaces")}
    play: list[str | Path] = ["run", "spec.yaml", "--provider", "replay", "--set", f"cassette={tape}"]
    done = cut_off([*play, "--json"], clone, env)
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)
    assert landed(played) == landed(live)
    assert git(clone, "rev-parse", f"aurea/{played['run']}^{{tree}}") == git(
        project, "rev-parse", f"aurea/{live['run']}^{{tree}}"
    )
    assert len(models.asked) == asked, "no model was asked"
    replay = played["replay"]
    assert (replay["answers"], replay["drifted"], replay["kinds"]) == (asked, 1, {"result": 1})
    assert replay["summary"] == "replayed 10 answers; 1 tool result differs"
    report = (Path(played["folder"]) / replay["file"]).read_text()
    assert "- `coder` of `notes`, attempt 1, step 3: `run_shell " in report
    manifest = json.loads((Path(played["folder"]) / "manifest.json").read_text())
    assert manifest["replay"] == replay

    def again(change: Callable[[], None], *words: str) -> Document:
        change()
        document: Document = aurea.run_document(*map(str, play), *words, "--new", cwd=clone, timeout=250)
        assert document["state"] == "succeeded", document["reason"]
        assert len(models.asked) == asked
        return document

    spec = clone / "spec.yaml"
    changed = again(lambda: spec.write_text(SPEC.replace("Write minus.py.", "Write minus.py quickly.")))
    assert told(changed) == {
        ("task", "item"): {("minus", "coder"), ("minus", "reviewer-1")},
        ("task", "plan"): {("notes", "coder")},
    }
    report = (Path(changed["folder"]) / "artifacts" / "drift.md").read_text()
    assert "-Write minus.py.\n+Write minus.py quickly." in report

    def rules() -> None:
        spec.write_text(SPEC)
        (clone / "AGENTS.md").write_text("Write long lines.\n")
        git(clone, "commit", "-q", "-a", "-m", "other rules")

    changed = again(rules)
    every = {(item, who) for item in FILES for who in ("coder", "reviewer-1")}
    assert told(changed) == {("task", "rules"): every}
    assert "the task of 4 conversations differs" in changed["replay"]["summary"]


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_recording_survives_a_kill_and_another_way_of_going_on(
    aurea: Any, models: Any, project: Path, tmp_path: Path
) -> None:
    models.script = script
    models.delay = 0.5
    tape = tmp_path / "tape.yaml"
    key = {"OPENAI_API_KEY": "sk-secret-1", "OPENAI_BASE_URL": models.url}
    going = aurea.start("run", "spec.yaml", "--run-id", "cut-off", "--record", str(tape), cwd=project, **key)
    until(lambda: tape.is_file() and tape.read_text().count("\n---\n") >= 2)
    os.killpg(going.pid, signal.SIGKILL)
    going.communicate()

    done = aurea("resume", "cut-off", cwd=project, **key)  # which is not told that it records
    assert done.returncode == 0, done.stderr
    assert f"recorded 10 answers in {tape}" in done.stderr
    asked = len(models.asked)
    assert asked in (10, 11), "the call under way when it was killed may have been made again"

    text = tape.read_text()
    assert text.count("\n---\n") == 10
    assert "sk-secret-1" not in text
    played = aurea.run_document(
        "run", "spec.yaml", "--provider", "replay", "--set", f"cassette={tape}", "--new", cwd=project
    )
    assert played["state"] == "succeeded", played["reason"]
    assert set(played["replay"]["kinds"]) <= {"result"}
    assert len(models.asked) == asked
