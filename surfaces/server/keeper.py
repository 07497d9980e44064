"""`aurea-server`: starts the Prefect server of one home, keeps it while it is needed, and ends together with it."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from surfaces.server import idle
from surfaces.server.dead import crash_the_dead
from surfaces.server.place import HOST, Place, answers, api_url, plain_environment

LOG_LIMIT = 4 * 1024 * 1024
RESTARTS, RESTARTS_WITHIN_S = 3, 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Keep the server until it is idle for too long or this process is ended. 0 also where another keeper lives."""
    parser = argparse.ArgumentParser(prog="aurea-server", description="Keeps the local Prefect server of a home.")
    parser.add_argument("--home", type=Path, required=True, help="the home whose server this is")
    parser.add_argument("--port", type=int, required=True, help="the port it listens on")
    parser.add_argument("--idle", type=float, default=900.0, help="seconds without a use after which it stops")
    given = parser.parse_args(arguments)
    place = Place(given.home)
    lock = place.keep()
    if lock is None:
        return 0
    with lock:
        return Keeper(place, given.port, given.idle).run()


class Keeper:
    """The loop that looks after one server process."""

    def __init__(self, place: Place, port: int, idle_s: float) -> None:
        self.place = place
        self.port = port
        self.idle_s = idle_s
        self.pause_s = min(15.0, max(0.5, idle_s / 4))
        self.needed = time.time()
        self.starts: list[float] = []

    def run(self) -> int:
        """Start, watch, stop. Whatever ends this loop ends the server too."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.place.prefect_home.mkdir(parents=True, exist_ok=True)
        self.place.write(self.port, os.getpid())
        server = self._start()
        try:
            while True:
                try:
                    server.wait(self.pause_s)
                except subprocess.TimeoutExpired:
                    self._trim_log()
                    self._crash_the_dead()
                    if self._stop_if_idle(server):
                        return 0
                    continue
                self._say(f"the server ended by itself with {server.returncode}")
                if not self._may_restart():
                    return 1
                server = self._start()
        finally:
            end(server)
            self.place.write(self.port, None)

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts.append(time.monotonic())
        self._say(f"starting Prefect's server at {api_url(self.port)}")
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(self.port)]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            cwd=self.place.prefect_home,
            env=server_environment(self.place, self.port),
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        )

    def _may_restart(self) -> bool:
        recent = [start for start in self.starts if time.monotonic() - start < RESTARTS_WITHIN_S]
        return len(recent) <= RESTARTS

    def _stop_if_idle(self, server: subprocess.Popen[bytes]) -> bool:
        """End the server where nothing needed it for long enough; under the lock, so that nobody is just about to."""
        if self._is_needed():
            self.needed = time.time()
        if not self._is_idle():
            return False
        with self.place.turn_if_free() as free:
            if not free or not self._is_idle() or self._is_needed():
                return False
            self._say(f"nothing needed the server for {self.idle_s:g} s")
            end(server)
            return True

    def _is_idle(self) -> bool:
        return time.time() - max(self.needed, self.place.touched()) >= self.idle_s

    def _is_needed(self) -> bool:
        """True also where the server is too busy, or not ready, to say so."""
        try:
            return answers(self.place) is None or bool(idle.reasons(api_url(self.port), self.place.home))
        except (OSError, ValueError):
            return True

    def _crash_the_dead(self) -> None:
        """Say on the server which runs were killed. Where it is too busy to be told, the next time does."""
        with contextlib.suppress(OSError, ValueError):
            for name in crash_the_dead(api_url(self.port), self.place.home):
                self._say(f"run {name} was killed")

    def _trim_log(self) -> None:
        """Keep the log bounded: its end moves aside, and the file that the server appends to begins anew."""
        log = self.place.log
        if not log.exists() or log.stat().st_size <= LOG_LIMIT:
            return
        with log.open("r+b") as file:
            file.seek(-LOG_LIMIT // 4, os.SEEK_END)
            log.with_suffix(".log.1").write_bytes(file.read())
            file.truncate(0)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} aurea-server: {text}\n")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        for other in (signal.SIGTERM, signal.SIGINT):
            signal.signal(other, signal.SIG_IGN)  # a second one must not cut short the end of the server
        raise SystemExit(0)


def server_environment(place: Place, port: int) -> dict[str, str]:
    """The environment of the server process: Prefect's settings for a private local server, and none of the user's."""
    return plain_environment() | {
        "PREFECT_HOME": str(place.prefect_home),
        "PREFECT_SERVER_UI_API_URL": api_url(port),
        "PREFECT_UI_URL": api_url(port).removesuffix("/api"),  # for links in what automations send
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # it asks an analytics host on every page
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_LOGGING_COLORS": "false",
    }


def end(server: subprocess.Popen[bytes], grace_s: float = 5.0) -> None:
    """End the server process, gently first."""
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _die_with_parent() -> None:
    """Where the system can (Linux): the server ends with its keeper, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    raise SystemExit(main())
