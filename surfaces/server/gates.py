"""Questions on the Prefect server, from outside: what an answer or a cancel elsewhere closes there, or lets go on."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from surfaces.server.locate import named_server
from surfaces.server.place import ask
from surfaces.server.start import running_server

OPEN = ("RUNNING", "PENDING", "PAUSED", "SCHEDULED", "CRASHED")

_log = logging.getLogger(__name__)


def close_gate(home: Path, question: str, choice: str) -> None:
    """Complete the `human_gate` run of a question that was answered through another door."""
    _end(home, f"question:{question}", "COMPLETED", f"answered: {choice}")


def is_answered(home: Path, flow_run: str) -> bool:
    """Whether the server holds an answer to the last pause of a `human_gate` run that no process has taken up yet."""
    try:
        if (api := api_of(home)) is None:
            return False
        found = ask(api, "GET", f"/flow_runs/{flow_run}")
        if found["state_type"] not in ("RUNNING", "PENDING", "SCHEDULED"):
            return False
        last = max(found["empirical_policy"]["pause_keys"])
        return ask(api, "GET", f"/flow_runs/{flow_run}/input/paused-{last}-response") is not None
    except (OSError, ValueError):  # there is none, or nobody who could tell
        return False


def resume_suspended(home: Path, run: str) -> bool:
    """Let the deployed flow run of a run that was suspended go on where its deployment works; False where there is none."""
    suspended = {
        "tags": {"all_": [f"run:{run}"]},
        "state": {"type": {"any_": ["PAUSED"]}},
        "deployment_id": {"is_null_": False},
    }
    try:
        api = api_of(home)
        found = ask(api, "POST", "/flow_runs/filter", {"flow_runs": suspended}) if api else []
        said = [ask(api, "POST", f"/flow_runs/{flow_run['id']}/resume", {}) for flow_run in found if api]
    except (OSError, ValueError) as fault:
        _log.warning("the Prefect server was not told to go on with run %s: %s", run, fault)
        return False
    return any(answer["status"] == "ACCEPT" for answer in said)


def close_run(home: Path, run: str) -> None:
    """Set every open flow run of a cancelled run to Cancelled."""
    _end(home, f"run:{run}", "CANCELLED", "cancelled by a person")


def _end(home: Path, tag: str, state: str, message: str) -> None:
    """Best effort: the ledger has the truth, and a server that is away has nobody to show it to."""
    api = api_of(home)
    if api is None:
        return
    wanted = {"flow_runs": {"tags": {"all_": [tag]}, "state": {"type": {"any_": list(OPEN)}}}}
    try:
        found: list[dict[str, Any]] = ask(api, "POST", "/flow_runs/filter", wanted)
        for flow_run in found:
            body = {"state": {"type": state, "message": message}, "force": True}
            ask(api, "POST", f"/flow_runs/{flow_run['id']}/set_state", body)
    except (OSError, ValueError) as fault:
        _log.warning("the Prefect server was not told that %s is %s: %s", tag, state.lower(), fault)


def api_of(home: Path) -> str | None:
    """The server that the user names, else the local one of `home` if it runs."""
    if named := named_server(os.environ, Path.cwd()):
        return named.api_url
    server = running_server(home)
    return server.api_url if server else None
