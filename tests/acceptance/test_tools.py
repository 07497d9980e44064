"""Agents with tools that are not Aurea's: an MCP server, a plugin, a denied tool; and a server outlives nobody."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from plugin_dist import install
from waiting import until

pytestmark = [pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc"), pytest.mark.timeout(400)]
SERVER = Path(__file__).parent.parent / "mcp_server.py"
REPORT = ("submit_report", {"summary": "done", "approach": "the simple one"})
INSIDE = '<untrusted source="MCP server docs">'


def write_spec(path: Path, repo: Path, **more: Any) -> Path:
    docs = {"name": "docs", "command": [sys.executable, str(SERVER), "stdio"], "effect": "read"}
    spec = {
        "project": "calc", "objective": "more", "provider": "openai", "model": "local", "repo": str(repo),
        "checks": [{"name": "tests", "run": ["sh", "check.sh"]}], "reviewers": [],
        "items": [{"id": "one", "goal": "write one", "criteria": ["it is there"]}], "mcp": [docs], **more,
    }  # fmt: skip
    path.write_text(json.dumps(spec))
    return path


def names(asked: Any) -> list[str]:
    return [tool["function"]["name"] for tool in asked.body["tools"]]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_run_with_an_mcp_server_a_plugin_and_a_denied_tool(aurea, models, repo: Path, tmp_path: Path):
    pid_file = tmp_path / "pid"
    calls = {
        1: [("search_tools", {"query": "find pages of the documentation"}), ("search_tools", {"query": "square"})],
        2: [("docs_find", {"query": "loops", "limit": 1}), ("docs_find", {"pages": 1}), ("square", {"n": 7})],
        3: [("run_shell", {"command": "touch forbidden"}), ("docs_pids", {"file": str(pid_file)})],
        4: [("write_file", {"path": "one.txt", "content": "1\n"}), REPORT],
    }
    models.script = lambda asked: calls[asked.step]
    spec = write_spec(tmp_path / "spec.json", repo, plugins=["squares"], roles={"coder": {"deny": ["run_shell"]}})
    site = install(tmp_path / "site")
    options = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url, "PYTHONPATH": str(site)}
    planned = aurea("run", str(spec), "--dry-run", **options).stdout
    assert "mcp         docs (read): " in planned and "plugins     squares" in planned
    document = aurea.run_document("run", str(spec), **options)
    assert document["state"] == "succeeded", document

    first, second, third, last = models.asked
    assert "run_shell" not in names(first) and not {"docs_find", "square"} & set(names(first))
    assert names(second)[: len(names(first))] == names(first)
    assert {"docs_find", "square"} <= set(names(second))
    assert f"{INSIDE}\npage 1 about loops\n</untrusted>" in third.text
    assert "the arguments are not valid" in third.text and "49, " in third.text and "for coder of one" in third.text
    assert "the spec denies run_shell to the role coder" in last.text
    events = [json.loads(line) for line in (Path(document["folder"]) / "events.jsonl").read_text().splitlines()]
    ended = [(e["payload"]["tool"], e["payload"]["outcome"]) for e in events if e["type"] == "tool.ended"]
    assert ended[2:7] == [
        ("docs_find", "ok"), ("docs_find", "refused"), ("square", "ok"), ("run_shell", "refused"), ("docs_pids", "ok"),
    ]  # fmt: skip
    (equipped,) = [e["payload"] for e in events if e["type"] == "agent.equipped"]
    assert {"docs_find", "docs_pids", "square", "search_tools"} <= set(equipped["tools"])
    assert list(equipped["withheld"]) == ["run_shell"] and equipped["model"] == "openai:local"
    assert equipped["commit"] == document["base"]["sha"] and equipped["sandbox"] == "process"
    assert not alive(int(pid_file.read_text())), "the server ended with the run"
    assert not (repo / "forbidden").exists()
    shown = aurea("show", document["run"], "--item", "one").stdout
    assert "attempt 1: coder began with openai:local" in shown and "without run_shell" in shown
    kept = json.loads(aurea("show", document["run"], "--item", "one", "--json").stdout)
    (snapshot,) = kept["equipment"]
    origins = {tool["name"]: tool["origin"] for tool in snapshot["tools"]}
    assert (origins["docs_find"], origins["square"], origins["read_file"]) == ("mcp:docs", "plugin:squares", "aurea")
    assert aurea("verify", document["run"]).returncode == 0


@pytest.mark.long
def test_a_killed_run_leaves_no_server_and_repeats_no_call_that_may_have_done_something(
    aurea, models, repo: Path, tmp_path: Path
):
    pid_file = tmp_path / "pid"
    calls = {
        1: [("docs_pids", {"file": str(pid_file)}), ("docs_slow", {"seconds": 3600})],
        2: [("write_file", {"path": "one.txt", "content": "1\n"}), REPORT],
    }
    models.script = lambda asked: calls[asked.step]
    spec = write_spec(tmp_path / "spec.json", repo)
    document = json.loads(spec.read_text())
    document["mcp"][0]["effect"] = "write"
    spec.write_text(json.dumps(document))
    options = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url}
    process = aurea.start("run", str(spec), "--run-id", "tools-killed", **options)
    log = Path(aurea.env["AUREA_HOME"]) / "runs" / "tools-killed" / "events.jsonl"
    until(lambda: log.exists() and '"tool": "docs_slow"' in log.read_text().replace('":"', '": "'))
    server = int(pid_file.read_text())
    assert alive(server)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not alive(server))

    done = aurea.run_document("resume", "tools-killed", **options)
    assert done["state"] == "succeeded", done
    assert "Interrupted: this was under way" in models.asked[-1].text and len(models.asked) == 2
    assert int(pid_file.read_text()) == server, "the finished call was not made again"


@pytest.mark.long
def test_a_server_that_cannot_start_asks_a_person(aurea, models, repo: Path, tmp_path: Path):
    models.script = lambda asked: [REPORT]
    broken = {"name": "docs", "command": ["sh", "-c", "echo no licence >&2; exit 1"], "effect": "read"}
    spec = write_spec(tmp_path / "spec.json", repo, mcp=[broken])
    document = aurea.run_document("run", str(spec), OPENAI_API_KEY="k", OPENAI_BASE_URL=models.url)
    assert document["state"] == "waiting" and not models.asked
    (question,) = document["questions"]
    assert question["kind"] == "blocked" and "no licence" in question["why"]
