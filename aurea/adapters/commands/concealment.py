"""Conceals what this process was started with: on Linux every process of an account can read it in `/proc`."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

STAT = Path("/proc/self/stat")
# Where the variables begin and end in memory, counted behind the command's name, which may hold spaces.
START, END = 47, 48


def conceal_environment() -> None:
    """Blank the values in `/proc/<pid>/environ`, where commands of agents would find keys that they are not given.

    `os.environ` and what children inherit stay as they are. Elsewhere than on Linux nothing is done, or needed.
    """
    if sys.platform != "linux" or not STAT.is_file():
        return
    fields = STAT.read_text().rpartition(")")[2].split()
    start, end = int(fields[START]), int(fields[END])
    for variable, text in list(os.environ.items()):
        os.environ[variable] = text  # from here on the C library has a copy of its own
    at = start
    for entry in ctypes.string_at(start, end - start).split(b"\0"):
        name, equals, value = entry.partition(b"=")
        ctypes.memset(at + len(name) + len(equals), 0, len(value))
        at += len(entry) + 1
