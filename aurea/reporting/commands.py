"""The commands with which a person inspects, merges, discards or goes on with a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from aurea.domain.caps import Cap


class NextCommand(NamedTuple):
    """A command line ready to be pasted, and what it is for."""

    purpose: str
    line: str


def next_commands(document: Mapping[str, Any]) -> list[NextCommand]:
    """What can be done with a run now, in the order in which a person would want it."""
    run, repo = document["run"], shlex.quote(document["repo"])
    branch = document["target"]["ref"].removeprefix("refs/heads/")
    base, ended = document["base"]["sha"][:12], document["state"] != "running"
    landed = document["target"]["sha"] != document["base"]["sha"]
    found = []
    if document["questions"]:
        found.append(NextCommand("answer", f"aurea inbox --run {run}"))
    if document["state"] in ("waiting", "paused", "interrupted"):
        found.append(NextCommand("go on", _resume(document)))
    if landed:
        found.append(NextCommand("inspect", f"git -C {repo} log --oneline {base}..{branch}"))
        found.append(NextCommand("compare", f"git -C {repo} diff {base} {branch}"))
    if document["landed_to_base"] and document["made_repo"]:
        found.append(NextCommand("use", f"cd {repo}"))
    elif landed and not document["landed_to_base"] and not document["made_repo"]:
        found.append(NextCommand("merge", f"git -C {repo} merge {branch}"))
    if landed and ended and (document["made_repo"] or not document["landed_to_base"]):
        drop = f"rm -rf {repo}" if document["made_repo"] else f"git -C {repo} branch -D {branch}"
        found.append(NextCommand("discard", drop))
    if not ended:
        found.append(NextCommand("watch", f"aurea tail {run} --follow"))
    found.append(NextCommand("details", f"aurea show {run}"))
    return found


def _resume(document: Mapping[str, Any]) -> str:
    kinds = {question["kind"] for question in document["questions"]}
    line = f"aurea resume {document['run']}"
    for question in document["questions"]:
        if question["kind"] == "budget":
            line += _raise(document["budget"], question["cap"] or {"scope": "run", "name": ""})
    if "escalation" in kinds:
        asked = [item["attempts"] for item in document["items"] if item["question"]]
        spent = [len(attempts) for attempts in asked if not attempts or attempts[-1]["spent"]]  # else an agent asks
        line += f" --set max_attempts={max(spent) + 2}" if spent else ""
    return line


def _raise(budget: Mapping[str, Any], cap: Mapping[str, str]) -> str:
    """What gives a cap twice the money that it has."""
    if cap["scope"] == "run":
        limit = budget["limit_usd"]
        return "" if limit is None else f" --budget {max(limit * 2, 1):g}"
    limits = [c["limit_usd"] for c in budget["caps"] if (c["scope"], c["name"]) == (cap["scope"], cap["name"])]
    return "".join(f" --set {Cap.model_validate(cap).key}={max(limit * 2, 1):g}" for limit in limits)
