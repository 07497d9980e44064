"""Find or start the Prefect server that a command works with, and stop the local one. Does not import Prefect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aurea.domain.errors import Permanent, UsageError
from surfaces.server import idle
from surfaces.server.locate import NamedServer, named_server
from surfaces.server.place import Place, answers, api_url, choose_port, is_free, plain_environment

START_LIMIT_S = 120.0
STOP_LIMIT_S = 15.0


@dataclass(frozen=True)
class ServerInfo:
    """The server to work with. `env` is to be in this process's environment before Prefect is imported."""

    api_url: str
    ui_url: str
    local: bool
    env: Mapping[str, str] = field(default_factory=dict)


def ensure_server(
    home: Path,
    *,
    idle_s: float = 900.0,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    port: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ServerInfo:
    """The server that the user names, else the local one of `home`, started where it does not answer.

    `port` is the one that the home has from now on. `say` is told what is waited for. `UsageError` where the port is not
    to be had, `Permanent` where there is no server in the end, with the reason.
    """
    if named := named_server(environ, folder or Path.cwd()):
        if port is not None:
            raise UsageError(
                f"{named.source} names the Prefect server {named.api_url}, so there is none to start on port {port}",
                remedy="leave --port out, or take the name away",
            )
        _require(named)
        return ServerInfo(named.api_url, _ui_url(named.api_url), local=False, env=_quiet(environ))
    place = Place(home.resolve())
    found = _use(place)
    if found is None:
        say("starting the local Prefect server")
        with place.turn():
            place.touch()
            found = answers(place) or _start(place, idle_s, say, port)
    if port not in (None, found):
        raise UsageError(
            f"the local server of this home listens on port {found} already", remedy="`aurea down` stops it first"
        )
    local = {
        "PREFECT_API_URL": api_url(found),
        "PREFECT_HOME": str(place.prefect_home),
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true",  # there is no TLS on loopback; each client would load all roots
    }
    return ServerInfo(
        api_url(found), _ui_url(api_url(found)), local=True, env=local | _quiet(environ) | _past_proxies(environ)
    )


def where_to_watch(home: Path, *, environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> str:
    """The address of the UI that `ensure_server` will lead to, without waiting for it: a home's port is for good."""
    if named := named_server(environ, folder or Path.cwd()):
        return _ui_url(named.api_url)
    place = Place(home.resolve())
    return _ui_url(api_url(answers(place) or choose_port(place)))


def running_server(home: Path) -> ServerInfo | None:
    """The local server of `home` if it answers; starts nothing and does not count as a use."""
    port = answers(Place(home.resolve()))
    return None if port is None else ServerInfo(api_url(port), _ui_url(api_url(port)), local=True)


def stop_server(home: Path, *, force: bool = False) -> bool:
    """Stop the local server of `home`; False where there was none. `UsageError` while runs work, unless forced."""
    place = Place(home.resolve())
    with place.turn():
        port = answers(place)
        if port is not None and not force and (busy := idle.at_work(api_url(port), place.home)):
            raise UsageError(
                "the local server is not stopped: " + "; ".join(busy), remedy="`aurea down --force` stops it"
            )
        return _end_keeper(place)


def _use(place: Place) -> int | None:
    """The port of a server that answers. The shared lock keeps it from stopping just now."""
    if not place.state.exists():
        return None
    with place.turn(shared=True):
        place.touch()
        return answers(place)


def _start(place: Place, idle_s: float, say: Callable[[str], None], port: int | None) -> int:
    """Start a keeper, unless one lives that is starting the server, and wait until the server answers."""
    if port is not None and not is_free(port) and not place.kept():
        raise UsageError(f"port {port} is taken", remedy="name another one, or leave --port out")
    began = time.monotonic()
    keeper: subprocess.Popen[bytes] | None = None
    told = 5.0
    while (waited := time.monotonic() - began) < START_LIMIT_S:
        if (found := answers(place)) is not None:
            return found
        if (keeper is None or keeper.poll() is not None) and not place.kept():
            if keeper is not None and keeper.returncode:
                break
            keeper = _spawn(place, port or choose_port(place), idle_s)
        if waited > told:
            say(f"the local Prefect server is starting ({waited:.0f} s; the first start of a home takes the longest)")
            told += 5.0
        time.sleep(0.05)
    raise Permanent(
        f"the local Prefect server did not start within {time.monotonic() - began:.0f} s\n{_tail(place.log)}",
        remedy=f"the whole log is {place.log}; `PREFECT_API_URL` names another server",
    )


def _spawn(place: Place, port: int, idle_s: float) -> subprocess.Popen[bytes]:
    place.prefect_home.mkdir(parents=True, exist_ok=True)
    place.write(port, None)
    script = Path(sys.executable).with_name("aurea-server")
    program = [str(script)] if script.exists() else ["-m", "surfaces.server.keeper"]
    environment = plain_environment()  # without PYTHONDONTWRITEBYTECODE: compiled modules save two seconds of three
    if not script.exists():
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with place.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *program, "--home", str(place.home), "--port", str(port), "--idle", f"{idle_s:g}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=place.home,
            env=environment,
            start_new_session=True,
        )


def _end_keeper(place: Place) -> bool:
    """End the keeper, which ends the server. Its process id is trusted only while its lock is held."""
    keeper = place.read().get("keeper")
    if not isinstance(keeper, int) or not place.kept():
        return False
    os.kill(keeper, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_S
    while place.kept():
        if time.monotonic() > deadline:
            os.kill(keeper, signal.SIGKILL)
            return True
        time.sleep(0.05)
    return True


def _require(named: NamedServer) -> None:
    """Raise where a named server cannot be reached at all; everything else is Prefect's to say."""
    try:
        with urllib.request.urlopen(named.api_url + "/health", timeout=10):
            return
    except urllib.error.HTTPError:
        return
    except (urllib.error.URLError, TimeoutError) as fault:
        reason = getattr(fault, "reason", fault)
        if isinstance(reason, (ConnectionError, TimeoutError)) or type(reason).__name__ == "gaierror":
            raise Permanent(
                f"the Prefect server {named.api_url}, named by {named.source}, does not answer: {reason}",
                remedy="start it, or take the name away: Aurea then uses a local server of its own",
            ) from fault
    except ValueError as fault:
        raise UsageError(f"PREFECT_API_URL, from {named.source}, is not an address: {named.api_url}") from fault


def _ui_url(api: str) -> str:
    return api.removesuffix("/api")


def _quiet(environ: Mapping[str, str]) -> dict[str, str]:
    """Prefect's own messages stay out of the terminal and, below warnings, out of the API; the ledger has the story."""
    if "PREFECT_LOGGING_LEVEL" in environ:
        return {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
    return {
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy for the world is none for this machine."""
    if not any(name.lower().endswith("_proxy") for name in environ):
        return {}
    known = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    bypass = ",".join(filter(None, [known, "127.0.0.1", "localhost"]))
    return {"NO_PROXY": bypass, "no_proxy": bypass}


def _tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
