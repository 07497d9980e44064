"""The report of a run that the real line has walked, on fakes: what it says is what was done."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping

from aurea.delivery.conduct import conduct
from aurea.domain.spec import Spec
from aurea.ports import Assignment, CommandLine, CommandResult
from aurea.reporting.document import run_document
from aurea.reporting.report import report
from aurea.reporting.schemas import Manifest
from aurea.testing.clock import SimulatedClock
from aurea.testing.line import memory_run, plain_phases
from aurea.topology.shape import topology


class Runner:
    """A check is red where a file says so."""

    name = "scripted"
    cannot = "anything"

    async def run(self, command: CommandLine) -> CommandResult:
        await asyncio.sleep(0)
        red = any("red" in path.read_text() for path in command.folder.glob("*.txt"))
        return CommandResult("exited", int(red), "it is red" if red else "green", 9, 0.25)

    async def close(self) -> None:
        """Nothing runs."""


async def agent(assignment: Assignment) -> Mapping[str, object]:
    """Writes a file for the item, a red one at the first attempt of `api`; reviewers approve."""
    await asyncio.sleep(0)
    if assignment.role == "reviewer":
        met = [{"criterion": "it works", "met": "yes", "reason": "shown"}]
        return {"decision": "approve", "criteria": met, "findings": [], "summary": "fine"}
    assert assignment.workspace is not None
    text = "red\n" if (assignment.item, assignment.attempt) == ("api", 1) else f"{assignment.item}\n"
    (assignment.workspace.tree / f"{assignment.item}.txt").write_text(text)
    return {"summary": f"wrote {assignment.item}", "approach": "plain"}


async def test_a_run_of_the_real_line(tmp_path):
    wanted = Spec.model_validate(
        {
            "project": "notes",
            "objective": "notes",
            "checks": [{"name": "tests", "run": ["true"]}],
            "items": [
                {"id": "storage", "goal": "store", "criteria": ["it works"]},
                {"id": "api", "goal": "serve", "criteria": ["it works"], "depends_on": ["storage"]},
            ],
        }
    )
    run = memory_run(tmp_path, wanted, agent, Runner(), SimulatedClock())
    await asyncio.wait_for(conduct(run, plain_phases(run)), 20)
    pages = await report(run)

    document = run_document(run.state, alive=False, folder=run.folder, now=run.clock.now())
    assert document["state"] == "succeeded" and document["ended_at"]
    assert [[a["state"] for a in item["attempts"]] for item in document["items"]] == [["landed"], ["failed", "landed"]]
    assert "tests" in document["items"][1]["attempts"][0]["reason"]
    known = {entry["id"] for entry in document["evidence"]}
    for item in document["items"]:
        for criterion in item["verdict"]["criteria"]:
            assert criterion["met"] is True and criterion["evidence"] and set(criterion["evidence"]) <= known

    manifest = json.loads((run.folder / "manifest.json").read_text())
    Manifest.model_validate(manifest)
    assert {file["path"]: file["item"] for file in manifest["files"]} == {"api.txt": "api", "storage.txt": "storage"}
    for file in manifest["files"]:
        content = await run.repository.read(run.state.tip, file["path"])
        assert content is not None and file["sha256"] == hashlib.sha256(content).hexdigest()
    events = list(run.ledger.events(run.id))
    assert manifest["ledger"] == {"seq": events[-1].seq, "hash": events[-1].hash, "events": len(events)}

    shape = topology(run.state, events)
    assert shape["difference"] == {
        "added": [], "skipped": [], "extra_edges": [], "missing_edges": [], "items_added": [], "items_skipped": [],
    }  # fmt: skip
    assert [(loop["item"], loop["attempt"], loop["by"]) for loop in shape["loops"]] == [("api", 1, "gate")]
    assert "it is red" in pages["report"] and "wrote api" in pages["report"]
