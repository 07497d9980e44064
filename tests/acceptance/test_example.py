"""The example of the README, delivered by the real command: the application it leaves really starts and answers."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "notes_api" / "spec.yaml"


def call(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, json.load(answer)


@pytest.fixture
def delivered(aurea: Any) -> dict[str, Any]:
    done = aurea("run", str(EXAMPLE), "--new", "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_notes_api_lands_whole_and_its_application_answers(
    delivered: dict[str, Any], shared_home: Path, tmp_path: Path, aurea: Any
) -> None:
    assert delivered["state"] == "succeeded"
    assert len(delivered["items"]) >= 5
    assert delivered["replay"]["kinds"] == {}, "a cassette written by hand plays without noise"
    tries = {entry["id"]: [attempt["state"] for attempt in entry["attempts"]] for entry in delivered["items"]}
    assert tries["storage"] == ["failed", "landed"]
    begun = {entry["id"]: entry["attempts"][0] for entry in delivered["items"]}
    overlap = begun["models"]["started_at"] < begun["settings"]["ended_at"]
    assert overlap
    assert begun["settings"]["started_at"] < begun["models"]["ended_at"], "independent items are worked on side by side"

    folder, repo = Path(delivered["folder"]), Path(delivered["repo"])
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        assert hashlib.sha256((repo / entry["path"]).read_bytes()).hexdigest() == entry["sha256"], "main is checked out"
    for artifact in ("report.md", "plan.svg", "topology.json", "items.csv"):
        assert (folder / "artifacts" / artifact).stat().st_size > 0
    assert aurea("verify", delivered["run"]).returncode == 0

    port = json.loads((shared_home / "server.json").read_text())["port"]
    _, artifacts = call(f"http://127.0.0.1:{port}/api/artifacts/filter", {"sort": "CREATED_DESC", "limit": 200})
    keys = {artifact["key"] for artifact in artifacts}
    wanted = {f"{page}-{delivered['run']}" for page in ("report", "items", "checks", "files", "costs", "topology")}
    assert wanted | {"latest-notes-api"} <= keys

    assert_application_answers(repo, tmp_path)


def assert_application_answers(repo: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "NOTES_DB": str(tmp_path / "notes.db"), "NOTES_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "-m", "notes"], cwd=repo, env=env)
    try:
        url = f"http://127.0.0.1:{port}/notes"
        for _ in range(300):
            try:
                call(url)
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        status, note = call(url, {"text": "buy milk"})
        assert (status, note["text"]) == (201, "buy milk")
        assert [entry["text"] for entry in call(url)[1]] == ["buy milk"]
    finally:
        server.terminate()
        server.wait()
