"""Agents as they are: a weak model is understood, a limit hands in what there is, a long conversation goes on."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

REPORT = ("submit_report", {"summary": "done", "approach": "the simple one"})
APPROVE = {"decision": "approve", "criteria": [], "findings": [], "summary": "good"}


def say(name: str, arguments: dict[str, Any]) -> str:
    return f"Now I do it.\n```json\n{json.dumps({'name': name, 'arguments': arguments}, indent=1)}\n```"


def test_weak_models_limits_and_long_conversations(aurea, models, repo: Path, tmp_path: Path, git):
    sizes = defaultdict(list)

    def script(asked: Any) -> list[Any] | str:
        if asked.conversation.startswith("reviewer"):
            return json.dumps(APPROVE)
        sizes[asked.item].append(len(asked.text))
        if asked.item == "weak":
            turns = [say("write_file", {"path": "weak.txt", "content": "x\n"}), json.dumps(REPORT[1])]
            return turns[asked.step - 1]
        if asked.item == "partial":
            if asked.attempt == 2:
                return [("write_file", {"path": "partial.txt", "content": "both\n"})] if asked.step == 1 else [REPORT]
            if "Call submit_report now" in asked.text:
                assert [tool["function"]["name"] for tool in asked.body["tools"]] == ["submit_report"]
                return [("submit_report", {**REPORT[1], "unfinished": ["the other half"]})]
            return [("write_file", {"path": f"half-{asked.step}.txt", "content": "x\n"})]
        if asked.step == 26:
            return [REPORT]
        return [("write_file", {"path": f"long/{asked.step}.txt", "content": f"{asked.step} " * 1500})]

    def status(asked: Any) -> Any:
        if asked.conversation == "builder" and len(asked.text) > 60_000:
            return 400, {}, {"error": {"message": "maximum context length exceeded", "code": "context_length_exceeded"}}
        return None

    models.script, models.status = script, status
    spec = tmp_path / "spec.json"
    items = [{"id": name, "goal": f"write {name}", "criteria": ["it is there"]} for name in ("weak", "partial", "long")]
    items[2]["role"] = "builder"
    spec.write_text(json.dumps({
        "project": "calc", "objective": "more", "provider": "openai", "model": "local", "repo": str(repo),
        "checks": [{"name": "tests", "run": ["sh", "check.sh"]}], "items": items,
        "roles": {"coder": {"attempt_tokens": 600}, "builder": {"context_tokens": 16_000}},
    }))  # fmt: skip
    began = time.monotonic()
    document = aurea.run_document("run", str(spec), OPENAI_API_KEY="k", OPENAI_BASE_URL=models.url)
    assert time.monotonic() - began < 90
    assert document["state"] == "succeeded", document
    attempts = {item["id"]: [attempt["state"] for attempt in item["attempts"]] for item in document["items"]}
    assert attempts == {"weak": ["landed"], "partial": ["failed", "landed"], "long": ["landed"]}

    events = [json.loads(line) for line in (Path(document["folder"]) / "events.jsonl").read_text().splitlines()]
    of = lambda kind, item: [e["payload"] for e in events if (e["type"], e["item"]) == (kind, item)]  # noqa: E731
    mended = [entry["conversation"] for entry in of("model.repaired", "weak")]
    assert mended == ["coder", "coder", "reviewer-1"]
    first = of("attempt.ended", "partial")[0]
    assert (first["outcome"], first["limit"], first["report"]["unfinished"]) == (
        "exhausted",
        "tokens",
        ["the other half"],
    )
    assert "with this left to do: the other half" in first["reason"]
    assert "the other half" in next(a.text for a in models.asked if (a.item, a.attempt) == ("partial", 2))
    assert of("conversation.compacted", "long") and max(sizes["long"]) < 60_000
    shown = git(repo, "ls-tree", "-r", "--name-only", document["target"]["ref"])
    assert len([name for name in shown.split() if name.startswith("long/")]) == 25
    log = (Path(document["folder"]) / "logs/weak/1/conversation.jsonl").read_text()
    assert "mended: write_file: the call stood in the text" in log
    assert aurea("verify", document["run"]).returncode == 0
    told = aurea("tail", document["run"], "--item", "partial").stdout
    assert "out of tokens, asked for what there is" in told
