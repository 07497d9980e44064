"""Questions on the Prefect server, from outside: gates and flow runs that an answer or a cancel elsewhere has closed."""

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


def close_run(home: Path, run: str) -> None:
    """Set every open flow run of a cancelled run to Cancelled."""
    _end(home, f"run:{run}", "CANCELLED", "cancelled by a person")


def _end(home: Path, tag: str, state: str, message: str) -> None:
    """Best effort: the ledger has the truth, and a server that is away has nobody to show it to."""
    named = named_server(os.environ, Path.cwd())
    server = None if named else running_server(home)
    api = named.api_url if named else server.api_url if server else None
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
