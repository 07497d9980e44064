"""Where a home keeps its local Prefect server: files, locks, the port it has for good, and whether it answers there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

HOST = "127.0.0.1"
# Below the ports that systems hand out by themselves: none kept for good is taken by a passing connection.
FIRST_PORT, PORTS = 21_000, 8_000

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Place:
    """The files of one home's server."""

    home: Path

    @property
    def prefect_home(self) -> Path:
        """Prefect's own data."""
        return self.home / "prefect"

    @property
    def log(self) -> Path:
        """What the server and its keeper print."""
        return self.home / "server.log"

    @property
    def state(self) -> Path:
        """`server.json`: the port, and the keeper's process while there is one."""
        return self.home / "server.json"

    def read(self) -> dict[str, Any]:
        """What `server.json` says; empty where it is missing or broken."""
        try:
            document = json.loads(self.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def write(self, port: int, keeper: int | None) -> None:
        """Store the port and the keeper's process id in one step."""
        fresh = self.state.with_name(f"server.json.{os.getpid()}")
        fresh.write_text(json.dumps({"port": port, "keeper": keeper}) + "\n", encoding="utf-8")
        fresh.replace(self.state)

    @contextlib.contextmanager
    def turn(self, *, shared: bool = False) -> Iterator[None]:
        """Wait for the one lock under which a server is started or stopped; `shared` is enough to use one."""
        with self._lock_file("server.lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def turn_if_free(self) -> Iterator[bool]:
        """The same lock alone, if nobody has it: whether it was had."""
        with self._lock_file("server.lock") as file:
            yield _try_lock(file)

    def keep(self) -> IO[str] | None:
        """The keeper's lock as an open file to hold for its life; None where another keeper has it."""
        file = self._lock_file("keeper.lock")
        if _try_lock(file):
            return file
        file.close()
        return None

    def kept(self) -> bool:
        """Whether a keeper lives."""
        held = self.keep()
        if held is None:
            return True
        held.close()
        return False

    def touch(self) -> None:
        """Note that the server is wanted now; it counts as work."""
        (self.home / "server.lock").touch()

    def touched(self) -> float:
        """When it was last wanted, as seconds since the epoch."""
        return (self.home / "server.lock").stat().st_mtime

    def _lock_file(self, name: str) -> IO[str]:
        self.home.mkdir(parents=True, exist_ok=True)
        return (self.home / name).open("a", encoding="utf-8")


def plain_environment() -> dict[str, str]:
    """What the server's processes get of the caller's environment: no keys, no settings of Prefect or Python."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def api_url(port: int) -> str:
    """Address of the API on a local port."""
    return f"http://{HOST}:{port}/api"


def choose_port(place: Place) -> int:
    """The port this home has for good: the stored one while it is free, else the first free one after a fixed place."""
    stored = place.read().get("port")
    if isinstance(stored, int) and is_free(stored):
        return stored
    start = int(hashlib.sha256(str(place.home).encode()).hexdigest(), 16)
    ports = (FIRST_PORT + (start + step) % PORTS for step in range(PORTS))
    return next(port for port in ports if is_free(port))


def answers(place: Place, timeout: float = 2.0) -> int | None:
    """The port at which this home's own server answers, or None."""
    port = place.read().get("port")
    if not isinstance(port, int):
        return None
    try:
        served = ask(api_url(port), "GET", "/admin/settings", timeout=timeout)["home"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return port if Path(served) == place.prefect_home else None


def ask(api: str, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout: float = 10.0) -> Any:
    """One request past any proxy; `OSError` where it does not answer, `ValueError` where it is not JSON.

    Asked again for a while where the server says that it is busy (503, its SQLite is locked): nothing was stored then.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(api + path, data, {"Content-Type": "application/json"}, method=method)
    for pause in (0.1, 0.3, 1.0, 2.0, None):
        try:
            with _direct.open(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as fault:
            if fault.code != 503 or pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def is_free(port: int) -> bool:
    """Whether a server can listen on a local port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
