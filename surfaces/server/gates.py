"""Questions on the Prefect server, from outside: what an answer or a cancel elsewhere closes there, or lets go on."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from aurea.domain.errors import Permanent
from surfaces.server.locate import named_server
from surfaces.server.place import ask
from surfaces.server.start import running_server

OPEN = ("RUNNING", "PENDING", "PAUSED", "SCHEDULED", "CRASHED")
SUSPENDING_S, LOOK_S = 15.0, 0.2

_log = logging.getLogger(__name__)


def close_gate(home: Path, question: str, choice: str) -> None:
    """Complete the `human_gate` run of a question that was answered through another door."""
    _end(home, _tag(question), "COMPLETED", f"answered: {choice}")


@contextmanager
def answering(home: Path, question: str) -> Iterator[bool]:
    """Keep the server from taking an answer while one from another door is recorded; whether that one is the first.

    Prefect ends a pause and stores the answer to it in one step, so whoever ends the pause is the first. False where the
    server holds an answer that no process has taken up yet: it counts. An error within opens the question again, unless
    it says that the question is closed; whoever records the answer closes the gate.
    """
    if (api := api_of(home)) is None:
        yield True
        return
    shut, first = None, True
    try:
        shut, first = _shut(api, question)
    except (OSError, ValueError) as fault:  # nobody can tell then; the ledger decides
        _log.debug("the Prefect server did not say whether %s is answered there: %s", question, fault)
    try:
        yield first
    except BaseException as fault:
        if shut is not None and first and not isinstance(fault, Permanent):  # those close the question, if not this one
            with suppress(OSError, ValueError):
                _set(api, shut, {name: shut["state"][name] for name in ("type", "name", "message", "state_details")})
        raise


def resume_suspended(home: Path, run: str) -> bool:
    """Let the deployed flow run of a run that waits go on where its deployment works; False where there is none.

    Between the end of its work and its state *Suspended* there is a moment, which is waited for.
    """
    wanted = {
        "tags": {"all_": [f"run:{run}"]},
        "state": {"type": {"any_": ["PAUSED", "RUNNING"]}},
        "deployment_id": {"is_null_": False},
    }
    until = time.monotonic() + SUSPENDING_S
    try:
        api = api_of(home)
        while api and (found := ask(api, "POST", "/flow_runs/filter", {"flow_runs": wanted})):
            suspended = [flow_run for flow_run in found if flow_run["state_type"] == "PAUSED"]
            said = [ask(api, "POST", f"/flow_runs/{flow_run['id']}/resume", {}) for flow_run in suspended]
            if any(answer["status"] == "ACCEPT" for answer in said):
                return True
            if time.monotonic() > until:
                break
            time.sleep(LOOK_S)
    except (OSError, ValueError) as fault:
        _log.warning("the Prefect server was not told to go on with run %s: %s", run, fault)
    return False


def close_run(home: Path, run: str) -> None:
    """Set every open flow run of a cancelled run to Cancelled."""
    _end(home, f"run:{run}", "CANCELLED", "cancelled by a person")


def api_of(home: Path) -> str | None:
    """The server that the user names, else the local one of `home` if it runs."""
    if named := named_server(os.environ, Path.cwd()):
        return named.api_url
    server = running_server(home)
    return server.api_url if server else None


def _end(home: Path, tag: str, state: str, message: str) -> None:
    """Best effort: the ledger has the truth, and a server that is away has nobody to show it to."""
    api = api_of(home)
    if api is None:
        return
    try:
        for flow_run in _tagged(api, tag):
            _set(api, flow_run, {"type": state, "message": message})
    except (OSError, ValueError) as fault:
        _log.warning("the Prefect server was not told that %s is %s: %s", tag, state.lower(), fault)


def _shut(api: str, question: str) -> tuple[dict[str, Any] | None, bool]:
    """End the pause of a question: the flow run as it was paused, if it was, and whether nobody has answered there."""
    for gate in _tagged(api, _tag(question))[:1]:
        if gate["state_type"] != "PAUSED":
            return None, not _holds_answer(api, gate)
        _set(api, gate, {"type": "PENDING", "message": "answered elsewhere at this moment"})
        if _holds_answer(api, gate):  # it came between the two requests
            _set(api, gate, {"type": "RUNNING", "message": "answered"})
            return gate, False
        return gate, True
    return None, True


def _holds_answer(api: str, gate: dict[str, Any]) -> bool:
    """Whether the last pause of a gate has been answered."""
    if not (keys := gate["empirical_policy"]["pause_keys"]):
        return False
    try:
        return ask(api, "GET", f"/flow_runs/{gate['id']}/input/paused-{max(keys)}-response") is not None
    except HTTPError as fault:
        if fault.code == 404:
            return False
        raise


def _tag(question: str) -> str:
    return f"question:{question}"


def _tagged(api: str, tag: str) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"tags": {"all_": [tag]}, "state": {"type": {"any_": list(OPEN)}}}}
    found: list[dict[str, Any]] = ask(api, "POST", "/flow_runs/filter", wanted)
    return found


def _set(api: str, flow_run: dict[str, Any], state: dict[str, Any]) -> None:
    ask(api, "POST", f"/flow_runs/{flow_run['id']}/set_state", {"state": state, "force": True})
