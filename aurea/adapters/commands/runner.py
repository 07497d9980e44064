"""Sandbox `process`: runs commands through a fork server of this process, each with its whole process tree in hand."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from aurea.adapters.commands.line import Line, ServerGone
from aurea.domain.errors import Blocked
from aurea.ports import CommandLine, CommandResult

STARTS = 3  # fork servers tried for one command
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from supervisor.server import main; main()"


class ProcessRunner:
    """Runs commands in process groups of their own under a keeper each. Belongs to one event loop.

    At most `limit` commands run at a time (None: any number); the others wait, and their time counts from their start.
    The fork server starts with the first command and again when it died; commands that ran under it go on.
    """

    name = "process"
    cannot = "use of the network, or of this account's files outside the workspace" + (
        "" if sys.platform == "linux" else "; daemons that leave their process group"
    )

    def __init__(self, limit: int | None = None) -> None:
        self._slots = asyncio.Semaphore(limit) if limit is not None else nullcontext()
        self._server: ForkServer | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, command: CommandLine) -> CommandResult:
        """Run to the end. Nothing of the command lives on when this returns or is cancelled.

        Raises `Transient` where the machine has no room for a process, `Blocked` where no fork server can be started.
        """
        task = asyncio.current_task()
        assert task is not None
        async with self._slots:
            self._running.add(task)
            try:
                for _ in range(STARTS):
                    with suppress(ServerGone):
                        return await self._attempt(command)
                said = self._server.last_words() if self._server else ""
                raise Blocked(
                    f"commands cannot be started: their supervisor ended {STARTS} times; it said: {said or 'nothing'}",
                    remedy=f"check that {sys.executable!r} works and that memory and processes are left",
                )
            finally:
                self._running.discard(task)

    async def close(self) -> None:
        """Cancel what still runs, and end the fork server."""
        running = self._running - {asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._server is not None:
            await self._server.close()
            self._server = None

    async def _attempt(self, command: CommandLine) -> CommandResult:
        if self._server is not None and not self._server.alive:
            self._server.kill()
            self._server = None
        server = self._server = self._server or ForkServer()
        try:
            return await (await server.connect()).run(command)
        except ServerGone:
            server.kill()  # it may merely not answer
            raise


class ForkServer:
    """The fork server as a child process, held by a socket: when this process ends in whatever way, so does it."""

    def __init__(self) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server lives
        self._lifeline, theirs = socket.socketpair()
        self._lifeline.setblocking(False)
        libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", "-X", "utf8", "-c", PROGRAM, str(Path(__file__).parent)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                cwd="/",
                env=libraries,  # keys in this process's environment are nothing for the parent of commands
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    async def connect(self) -> Line:
        """The connection for one command; `ServerGone` where there is nobody to give it to."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            while True:
                try:
                    socket.send_fds(self._lifeline, [b"c"], [theirs.fileno()])
                    return Line(ours)
                except BlockingIOError:
                    await asyncio.sleep(0.002)  # hundreds at once: it is still forking
                except OSError:
                    ours.close()
                    raise ServerGone from None

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace").strip()[-1000:]

    def kill(self) -> None:
        """End it at once; commands that it started go on under their keepers."""
        self._lifeline.close()
        self._process.kill()
        self._process.wait()

    async def close(self) -> None:
        """Let go of it, and see it end."""
        self._lifeline.close()
        pause = 0.002
        for _ in range(40):
            if not self.alive:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        else:
            self.kill()
        self._said.close()
