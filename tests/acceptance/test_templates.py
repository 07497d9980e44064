"""The shipped templates and one of the user's own, through the real command against a scripted model server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Git = Callable[..., str]
Calls = list[tuple[str, dict[str, Any]]]

CRITERIA = {"criteria": [], "findings": [], "summary": "good"}
REPORT: Calls = [("submit_report", {"summary": "done", "approach": "the simple one"})]


def write_spec(folder: Path, repo: Path, **more: Any) -> str:
    spec = {"project": "calc", "objective": "Subtraction.", "provider": "openai", "model": "local", "repo": str(repo)}
    checks = [{"name": "tests", "run": ["sh", "check.sh"]}]
    path = folder / "spec.json"
    path.write_text(json.dumps({**spec, "acceptance": ["sub(5, 3) is 2"], "checks": checks, **more}))
    return str(path)


def key(models: Any) -> dict[str, str]:
    return {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": models.url}


def events(document: dict[str, Any]) -> list[dict[str, Any]]:
    lines = (Path(document["folder"]) / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def module(text: str) -> Calls:
    return [("write_file", {"path": "sub.py", "content": f"def sub(a, b):\n    return {text}\n"})]


def test_loop_goes_back_to_the_plan_while_rejected(aurea, models, repo: Path, git: Git, tmp_path: Path):
    """Rejected by a review, then by a check; then the planner words the item anew, and it lands."""
    planned = {"id": "sub", "goal": "write sub", "criteria": ["sub(5, 3) is 2"], "files": ["sub.py"]}

    def script(asked: Any) -> Calls:
        if asked.conversation == "planner-1":
            goal = "write sub" if asked.attempt == 1 else "write sub as the difference of its arguments"
            return [("submit_plan", {"items": [{**planned, "goal": goal}]})]
        if asked.conversation.startswith("reviewer"):
            if asked.attempt == 1:
                found = {"file": "sub.py", "line": 2, "severity": "blocker", "text": "it adds"}
                return [("submit_review", {**CRITERIA, "decision": "return", "findings": [found]})]
            return [("submit_review", {**CRITERIA, "decision": "approve"})]
        if asked.step > 1:
            return REPORT
        if asked.attempt == 2:
            return [
                *module("b - a"),
                ("write_file", {"path": "tests/sub.sh", "content": "echo wrong way round; exit 1\n"}),
            ]
        return module("a + b" if asked.attempt == 1 else "a - b")

    models.script = script
    document = aurea.run_document("run", write_spec(tmp_path, repo, template="loop"), **key(models))
    assert document["state"] == "succeeded"
    (item,) = document["items"]
    assert [attempt["state"] for attempt in item["attempts"]] == ["failed", "failed", "landed"]
    assert item["goal"] == "write sub as the difference of its arguments"
    assert document["template"] == "loop"
    places = list(dict.fromkeys((asked.conversation, asked.item, asked.attempt) for asked in models.asked))
    assert places == [
        ("planner-1", "-", 1), ("coder", "sub", 1), ("reviewer-1", "sub", 1), ("coder", "sub", 2),
        ("planner-1", "-", 2), ("coder", "sub", 3), ("reviewer-1", "sub", 3),
    ]  # fmt: skip
    again = next(asked for asked in models.asked if asked.conversation == "planner-1" and asked.attempt == 2)
    assert "it adds" in again.text and "wrong way round" in again.text
    last = next(asked for asked in models.asked if asked.item == "sub" and asked.attempt == 3)
    assert "as the difference of its arguments" in last.text
    assert git(repo, "show", f"{document['target']['ref']}:sub.py").endswith("a - b\n")


def test_pipeline_designs_then_builds_and_documents_at_once_then_proves(
    aurea, models, repo: Path, git: Git, tmp_path: Path
):
    files = {
        "architect": ("docs/design.md", "# Design\nsub(a, b) in sub.py\n"),
        "builder": ("sub.py", "def sub(a, b):\n    return a - b\n"),
        "docs": ("README.md", "# Calc\nsub(5, 3) is 2\n"),
        "qa": ("tests/sub.sh", "grep -q 'return a - b' sub.py\n"),
    }

    def script(asked: Any) -> Calls:
        if asked.conversation.startswith("reviewer"):
            return [("submit_review", {**CRITERIA, "decision": "approve"})]
        if asked.step > 1:
            return REPORT
        path, content = files[asked.item]
        decided = ("log_design_decision", {"title": "one module", "text": "sub stands in sub.py"})
        return [("write_file", {"path": path, "content": content}), *([decided] if asked.item == "architect" else [])]

    models.script, models.delay = script, 0.3
    spec = write_spec(tmp_path, repo, template="pipeline")
    plan = aurea("run", spec, "--dry-run", **key(models))
    assert "template    pipeline: implement > check + review_precheck > review > land\n" in plan.stdout
    assert "critical path architect -> builder -> qa" in plan.stdout
    assert models.asked == []

    document = aurea.run_document("run", spec, **key(models))
    assert (document["state"], document["template"]) == ("succeeded", "pipeline")
    assert {item["id"]: item["role"] for item in document["items"]} == {
        "architect": "architect", "builder": "builder", "docs": "docs", "qa": "tester",
    }  # fmt: skip
    assert all(item["landed"] for item in document["items"])
    assert not [asked for asked in models.asked if asked.conversation == "planner-1"]
    happened = [(event["type"], event["item"]) for event in events(document)]
    order = [happened.index(place) for place in [
        ("landing.landed", "architect"), ("attempt.started", "builder"), ("attempt.started", "docs"),
    ]]  # fmt: skip
    assert order[0] < min(order[1:])
    first_end = min(happened.index(("attempt.ended", name)) for name in ("builder", "docs"))
    assert max(order[1:]) < first_end, "both begin before one of them ends"
    assert happened.index(("attempt.started", "qa")) > max(
        happened.index(("landing.landed", name)) for name in ("builder", "docs")
    )
    built = next(asked for asked in models.asked if asked.item == "builder")
    assert "sub stands in sub.py" in built.text, "decisions of the design reach who builds it"
    proved = next(asked for asked in models.asked if asked.item == "qa")
    assert proved.headers["x-aurea-role"] == "tester" and "- sub(5, 3) is 2" in proved.text
    shown = aurea("show", document["run"])
    assert "template pipeline" in shown.stdout
    listed = git(repo, "ls-tree", "-r", "--name-only", document["target"]["ref"]).split()
    assert {path for path, _ in files.values()} <= set(listed)


@pytest.mark.long
def test_a_template_of_ones_own_goes_on_as_it_was_begun(aurea, models, repo: Path, git: Git, tmp_path: Path):
    """Begun, left without a key, gone on with after its file was edited; the same command then begins another run."""
    own = repo / ".aurea" / "templates"
    own.mkdir(parents=True)
    template = (
        "schema: aurea.template/1\nitems:\n"
        "  - {id: code, goal: 'Write it: {objective}', criteria: ['{acceptance}'],\n"
        "     line: [implement, [check, review_precheck]]}\n"
        "  - {id: notes, goal: note it, criteria: [it is noted], depends_on: [code]}\n"
    )
    (own / "ours.yaml").write_text(template)

    def script(asked: Any) -> Calls:
        if asked.conversation.startswith("reviewer"):
            return [("submit_review", {**CRITERIA, "decision": "approve"})]
        if asked.step > 1:
            return REPORT
        return module("a - b") if asked.item == "code" else [("write_file", {"path": "NOTES", "content": "noted\n"})]

    models.script = script
    models.status = lambda asked: (401, {}, {"error": {"message": "no such key"}}) if asked.item == "notes" else None
    spec = write_spec(tmp_path, repo, template="ours")
    begun = aurea.run_document("run", spec, "--run-id", "own-template", "--wait", "0", **key(models))
    assert begun["state"] == "waiting"
    (own / "ours.yaml").write_text(template.replace("note it", "forget it").replace("line:", "lines:"))
    models.status = lambda asked: None
    document = aurea.run_document("resume", "own-template", **key(models))
    assert (document["state"], document["template"]) == ("succeeded", "ours")
    assert [item["goal"] for item in document["items"]] == ["Write it: Subtraction.", "note it"]
    judged = [(asked.item, asked.conversation) for asked in models.asked if asked.conversation.startswith("reviewer")]
    assert set(judged) == {("notes", "reviewer-1")}, "the item `code` walks a line without review"
    gates = [entry for entry in document["evidence"] if entry["kind"] == "gate"]
    assert len(gates) == 2, "and is gated all the same"

    faulty = aurea("run", spec, **key(models))
    assert faulty.returncode == 2
    assert "project/.aurea/templates/ours.yaml:4:6: items.0.lines: unknown key" in faulty.stderr


@pytest.mark.long
def test_an_agent_gives_its_item_back_to_the_plan(aurea, models, repo: Path, git: Git, tmp_path: Path):
    (tmp_path / "asking.yaml").write_text("schema: aurea.template/1\nrejected: {to: plan, on_request: true}\n")
    item = {"id": "sub", "goal": "write sub", "criteria": ["sub(5, 3) is 2"]}
    ground = {"id": "ground", "goal": "lay the ground", "criteria": ["there is ground"]}

    def script(asked: Any) -> Calls:
        if asked.conversation == "planner-1":
            return [("submit_plan", {"items": [item] if asked.attempt == 1 else [item, ground]})]
        if asked.conversation.startswith("reviewer"):
            return [("submit_review", {**CRITERIA, "decision": "approve"})]
        if (asked.item, asked.attempt) == ("sub", 1):
            return [("raise_escalation", {"kind": "needs_replanning", "text": "there is no ground to stand on"})]
        if asked.step > 1:
            return REPORT
        return module("a - b") if asked.item == "sub" else [("write_file", {"path": "ground.txt", "content": "firm\n"})]

    models.script = script
    document = aurea.run_document("run", write_spec(tmp_path, repo, template="./asking.yaml"), **key(models))
    assert (document["state"], document["template"], document["questions"]) == ("succeeded", "asking", [])
    landed = [event["item"] for event in events(document) if event["type"] == "landing.landed"]
    assert landed == ["ground", "sub"]
    again = next(asked for asked in models.asked if asked.conversation == "planner-1" and asked.attempt == 2)
    assert "there is no ground to stand on" in again.text
