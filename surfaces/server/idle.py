"""What keeps a local server from stopping: work, open questions, schedules, served deployments and workers."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from surfaces.server.place import ask

OPEN = ("RUNNING", "PENDING", "CANCELLING", "PAUSED", "SCHEDULED")
LIMIT = 200


def reasons(api: str, home: Path) -> list[str]:
    """Why this home's server is needed, one line each, none where it is not; `OSError` where it does not answer."""
    return [*at_work(api, home), *_expected(api)]


def at_work(api: str, home: Path) -> list[str]:
    """The runs that a process works on now, one line each."""
    return [f"run {_name(run)} is at work" for run in _runs(api, OPEN[:3]) if _is_alive(run, home)]


def _expected(api: str) -> Iterator[str]:
    for run in _runs(api, OPEN[3:]):
        waits = "waits for a person" if run["state_type"] == "PAUSED" else "is scheduled"
        yield f"run {_name(run)} {waits}"
    for deployment in ask(api, "POST", "/deployments/filter", {"limit": LIMIT}):
        if deployment.get("status") == "READY":
            yield f"deployment {deployment['name']} is served"
        if not deployment["paused"] and any(schedule["active"] for schedule in deployment["schedules"]):
            yield f"deployment {deployment['name']} has an active schedule"
    for pool in ask(api, "POST", "/work_pools/filter", {"limit": LIMIT}):
        if pool.get("status") == "READY":
            yield f"work pool {pool['name']} has a worker"


def _runs(api: str, states: tuple[str, ...]) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"state": {"type": {"any_": list(states)}}}, "limit": LIMIT}
    found: list[dict[str, Any]] = ask(api, "POST", "/flow_runs/filter", wanted)
    return found


def _name(run: Mapping[str, Any]) -> str:
    return run_id(run) or str(run["name"])


def run_id(run: Mapping[str, Any]) -> str | None:
    """The run that a flow run carries out; None where it is none of Aurea's."""
    return next((tag.removeprefix("run:") for tag in run["tags"] if tag.startswith("run:")), None)


def of_another_home(parameters: Mapping[str, Any], home: Path) -> bool:
    """Whether a flow run's spec is a file of a home beside this one: homes that share a server may have runs of one id."""
    spec = parameters.get("spec")
    if not isinstance(spec, str) or "\n" in spec or not spec.endswith("/inputs/resolved.json"):
        return False
    return not Path(spec).resolve().is_relative_to(home.resolve()) and Path(spec).exists()


def _is_alive(run: Mapping[str, Any], home: Path) -> bool:
    """Whether somebody works on it: a process that was killed leaves `Running` behind, but not its lock."""
    name = run_id(run)
    lock = home / "runs" / name / "lock" if name else None
    if lock is None or not lock.exists() or of_another_home(run["parameters"], home):
        return True
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
