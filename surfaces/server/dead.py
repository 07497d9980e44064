"""Flow runs whose process was killed: the server believes them Running until somebody tells it that they crashed."""

from __future__ import annotations

import contextlib
import fcntl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from surfaces.server.idle import LIMIT, run_id
from surfaces.server.place import ask

# A flow run is Running for a moment before its process has the lock of the run.
GRACE_S = 30.0
MESSAGE = "the process that worked on it is gone; `aurea resume` goes on"
ANSWERED = "nobody works on the run now; `aurea resume` takes the answer up"


def crash_the_dead(api: str, home: Path, grace_s: float = GRACE_S) -> list[str]:
    """Set to Crashed what is Running on the server while nobody has the lock of its run; returns the ids of the runs.

    A question that was answered while nobody was at work has not crashed: its flow run is Pending until somebody is.

    `OSError` or `ValueError` where the server does not answer. A run that is taken up meanwhile waits for this, since
    its lock is held here: a resumed flow run is never set back.
    """
    before = datetime.now(UTC) - timedelta(seconds=grace_s)
    state = {"type": {"any_": ["RUNNING"]}}
    crashed: list[str] = []
    for flow_run in ask(api, "POST", "/flow_runs/filter", {"flow_runs": {"state": state}, "limit": LIMIT}):
        name = run_id(flow_run)
        lock = home / "runs" / name / "lock" if name else None
        since = datetime.fromisoformat(flow_run["state"]["timestamp"].replace("Z", "+00:00"))
        if name is None or lock is None or not lock.exists() or since > before:
            continue
        with lock.open("rb") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            asks = any(tag.startswith("question:") for tag in flow_run["tags"])
            now = {"type": "PENDING", "message": ANSWERED} if asks else {"type": "CRASHED", "message": MESSAGE}
            wanted = {"state": now, "force": True}
            ask(api, "POST", f"/flow_runs/{flow_run['id']}/set_state", wanted, timeout=5.0)
            crashed += [] if asks else [name]
    return crashed
