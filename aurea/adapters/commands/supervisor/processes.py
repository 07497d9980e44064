"""Process trees: finding all that is below this process, ending it, and noticing that it ended."""

# ruff: noqa: PTH123, PTH208
# pathlib would double the start-up time

from __future__ import annotations

import os
import select
import signal
import sys
import time
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes

GIVE_UP_S = 10.0  # for processes that do not even end when killed (stuck in the kernel)
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38


def switch_on(option: int) -> None:
    """Switch on a property of this process, on Linux; elsewhere there is none of them."""
    if sys.platform == "linux":
        _libc().prctl(option, 1, 0, 0, 0)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    import ctypes  # once, in the server: keepers inherit it

    return ctypes.CDLL(None)


def _descendants(spare: set[int]) -> set[int]:
    """Living processes below this one, without those in `spare` and what is below them."""
    children: dict[int, list[int]] = {}
    try:
        entries = os.listdir("/proc")
    except OSError:
        return set()
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except (OSError, ValueError):
                continue  # it ended meanwhile
            children.setdefault(int(parent), []).append(int(entry) if state not in b"ZX" else -int(entry))
    found, todo = set(), [os.getpid()]
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid > 0 and pid not in spare:
                found.add(pid)
                todo.append(pid)
            elif pid < 0:
                todo.append(-pid)  # a zombie's threads may still have children
    return found


def kill_descendants(spare: set[int]) -> int:
    """Stop, then kill everything below this process but `spare`; how many there were.

    What is stopped cannot fork, so that a fork bomb is not chased but caught.
    """
    found: set[int] = set()
    for _ in range(100):
        new = _descendants(spare) - found
        if not new:
            break
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        found |= new
    for pid in found:
        _signal(pid, signal.SIGKILL)
    return len(found)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass  # gone, or not ours: `Tree.end` sees whether anything is left


class Wakeup:
    """A descriptor that becomes readable when a child of this process changes."""

    def __init__(self) -> None:
        self.read, self._write = os.pipe()
        os.set_blocking(self.read, False)
        os.set_blocking(self._write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def clear(self) -> None:
        """Forget what has been signalled."""
        try:
            while os.read(self.read, 4096):
                pass
        except BlockingIOError:
            pass

    def wait(self, seconds: float) -> None:
        """Until a child changes, or for so long."""
        select.select([self.read], [], [], seconds)
        self.clear()

    def close(self) -> None:
        """Let go of both ends."""
        signal.set_wakeup_fd(-1)
        os.close(self.read)
        os.close(self._write)


class Tree:
    """A command's first process and all that came of it."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.status: int | None = None

    def reap(self) -> bool:
        """Collect children that ended; False once there is none left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.first:
                    self.status = status
        except ChildProcessError:
            return False

    def ask(self) -> None:
        """Ask the command's process group to end."""
        if self.status is None:
            try:
                os.killpg(self.first, signal.SIGTERM)
            except OSError:
                pass  # it is ending already

    def end(self, wakeup: Wakeup) -> int:
        """Kill everything that lives; how many processes would not die."""
        if sys.platform != "linux":
            try:
                os.killpg(self.first, signal.SIGKILL)
            except OSError:
                pass
        give_up = time.monotonic() + GIVE_UP_S
        while self.reap():
            living = kill_descendants(set())
            if time.monotonic() > give_up:
                return living
            wakeup.wait(0.01)
        return 0
