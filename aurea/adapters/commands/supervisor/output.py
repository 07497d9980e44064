"""The output of a command: drained without end, kept in bounded memory, its head and tail in the log."""

# ruff: noqa: PTH103, PTH120
# pathlib would double the start-up time

from __future__ import annotations

import os

from .wire import CHUNK, left_out

LOG_HALF = 512 * 1024  # kept of an output's head on disk, and as much of its tail


class Output:
    """What a command prints: counted, head and tail kept in bounded memory and in the log."""

    def __init__(self, log: str | None) -> None:
        self.total = 0
        self.fault = ""
        self._head = bytearray()
        self._tail = bytearray()
        self._log = -1
        if log is not None:
            os.makedirs(os.path.dirname(log), exist_ok=True)
            self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def take(self, chunk: bytes) -> None:
        """Add what was just printed; the head goes to the log at once, for those who watch."""
        self.total += len(chunk)
        room = LOG_HALF - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            self._write(chunk[:room])
            chunk = chunk[room:]
        if chunk:
            self._tail += chunk
            if len(self._tail) > 2 * LOG_HALF:
                del self._tail[:-LOG_HALF]

    def drain(self, pipe: int, limit: int) -> bool:
        """Take what is there to be read, about `limit` bytes of it; False once the pipe has ended."""
        while limit > 0:
            try:
                chunk = os.read(pipe, CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self.take(chunk)
            limit -= len(chunk)
        return True

    def ends(self, half: int) -> tuple[bytes, bytes]:
        """First and last `half` bytes; all of it, and nothing, where it is no longer than both."""
        if self.total <= 2 * half:
            return bytes(self._head + self._tail), b""
        return bytes(self._head[:half]), bytes((self._head[-half:] + self._tail)[-half:])

    def close(self, note: str) -> None:
        """Complete the log with the tail, and with `note` as its last line."""
        tail = self._tail[-LOG_HALF:]
        missing = self.total - len(self._head) - len(tail)
        if missing:
            self._write(left_out(missing).encode())
        self._write(tail)
        if note:
            inside_a_line = self.total and not (tail or self._head).endswith(b"\n")
            self._write((b"\n" if inside_a_line else b"") + f"[{note}]\n".encode())
        if self._log >= 0:
            os.close(self._log)

    def _write(self, data: bytes | bytearray) -> None:
        if self._log >= 0 and not self.fault:
            try:
                while data:
                    data = data[os.write(self._log, data) :]
            except OSError as fault:
                self.fault = f"its log is incomplete: {fault.strerror}"
