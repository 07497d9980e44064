"""Flow runs whose process was killed: the server believes them Running until somebody tells it that they crashed."""

from __future__ import annotations

import contextlib
import fcntl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from surfaces.server.gates import api_of
from surfaces.server.idle import LIMIT, of_another_home, run_id
from surfaces.server.place import ask

GRACE_S = 30.0
ANSWER_S = 5.0
MESSAGE = "the process that worked on it is gone; `aurea resume` goes on"
ANSWERED = "nobody works on the run now; `aurea resume` takes the answer up"


def tell_of_the_dead(home: Path) -> None:
    """Say on the server that `home` works with which of its runs were killed; its keeper does where this cannot."""
    with contextlib.suppress(OSError, ValueError):
        if api := api_of(home):
            crash_the_dead(api, home)


def crash_the_dead(api: str, home: Path, grace_s: float = GRACE_S) -> list[str]:
    """Set to Crashed, task runs included, what is Running on the server while nobody has the lock of its run.

    Returns the ids of the runs. A deployed flow run that goes on is Running for a moment before its process has the
    lock: it is left alone for `grace_s`. A question that was answered while nobody was at work has not crashed: its flow
    run is Pending until somebody is.

    `OSError` or `ValueError` where the server does not answer. A run that is taken up meanwhile waits for this, since
    its lock is held here: a resumed flow run is never set back.
    """
    before = datetime.now(UTC) - timedelta(seconds=grace_s)
    crashed: list[str] = []
    for flow_run in _running(api, "flow_runs", {}):
        name = None if of_another_home(flow_run["parameters"], home) else run_id(flow_run)
        lock = home / "runs" / name / "lock" if name else None
        since = datetime.fromisoformat(flow_run["state"]["timestamp"].replace("Z", "+00:00"))
        if name is None or lock is None or not lock.exists() or (flow_run["deployment_id"] and since > before):
            continue
        with lock.open("rb") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(tag.startswith("question:") for tag in flow_run["tags"]):
                _set(api, "flow_runs", flow_run["id"], "PENDING", ANSWERED)
                continue
            for task_run in _running(api, "task_runs", {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}):
                _set(api, "task_runs", task_run["id"], "CRASHED", MESSAGE)
            _set(api, "flow_runs", flow_run["id"], "CRASHED", MESSAGE)
            crashed.append(name)
    return crashed


def _running(api: str, kind: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    body = {**wanted, kind: {"state": {"type": {"any_": ["RUNNING"]}}}, "limit": LIMIT}
    found: list[dict[str, Any]] = ask(api, "POST", f"/{kind}/filter", body, timeout=ANSWER_S)
    return found


def _set(api: str, kind: str, name: str, state: str, message: str) -> None:
    wanted = {"state": {"type": state, "message": message}, "force": True}
    ask(api, "POST", f"/{kind}/{name}/set_state", wanted, timeout=ANSWER_S)
