"""The fork server: forks a keeper for each connection, and cleans up behind keepers that were killed."""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from .keeper import keep
from .processes import GIVE_UP_S, PR_SET_CHILD_SUBREAPER, Wakeup, kill_descendants, switch_on
from .wire import ACK, pack


class Server:
    """Forks a keeper for each connection and cleans up behind keepers that were killed."""

    def __init__(self, lifeline: socket.socket) -> None:
        self._lifeline = lifeline
        self._keepers: dict[int, socket.socket] = {}
        self._wakeup = Wakeup()

    def serve(self) -> None:
        """Until the lifeline ends; then until the keepers, who saw the same end, are gone."""
        while True:
            ready, _, _ = select.select([self._lifeline.fileno(), self._wakeup.read], [], [])
            self._wakeup.clear()
            self._reap()
            if self._lifeline.fileno() in ready and not self._accept():
                break
        give_up = time.monotonic() + GIVE_UP_S + 5
        while self._keepers and time.monotonic() < give_up:
            self._wakeup.wait(0.1)
            self._reap()

    def _accept(self) -> bool:
        data, received, _, _ = socket.recv_fds(self._lifeline, 1, 1)
        for descriptor in received:
            os.set_inheritable(descriptor, False)
            line = socket.socket(fileno=descriptor)
            try:
                pid = os.fork()
            except OSError as error:
                line.sendall(ACK.pack(os.getpid()) + pack({"fault": f"no process can be started: {error.strerror}"}))
                line.close()
                continue
            if pid == 0:
                self._turn_keeper(line)
            self._keepers[pid] = line  # held until its keeper has ended: an end that the client sees is the tree's
        return bool(data)

    def _turn_keeper(self, line: socket.socket) -> None:
        """In the child: let go of what is the server's, and keep one command."""
        status = 1
        try:
            self._lifeline.close()
            self._wakeup.close()
            for other in self._keepers.values():
                other.close()
            keep(line)
            status = 0
        except (EOFError, ConnectionError):
            status = 0  # the client was gone before the command began, or when it ended
        except BaseException as error:
            line.sendall(pack({"fault": f"{type(error).__name__}: {error}"}))
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._keepers:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            line = self._keepers.pop(pid, None)
            if line is None:
                continue
            if status != 0:
                self._sweep()
            line.close()

    def _sweep(self) -> None:
        """End what a dead keeper has left to this process."""
        give_up = time.monotonic() + GIVE_UP_S
        while kill_descendants(set(self._keepers)) and time.monotonic() < give_up:
            self._wakeup.wait(0.005)


def main() -> None:
    """Serve the socket that is standard input."""
    import gc

    lifeline = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # commands are not to inherit what a caller's `nohup` ignores
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    switch_on(PR_SET_CHILD_SUBREAPER)
    gc.disable()  # keepers live for one command; a collection would only copy pages
    gc.freeze()
    Server(lifeline).serve()
