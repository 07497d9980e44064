"""Keeps the answers that are kept across runs within bounds: what nobody has used for long goes, and what is too much."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

UNUSED = timedelta(days=30)
MOST_BYTES = 512 * 1024 * 1024


def find_surplus(folder: Path, now: float, *, unused: timedelta = UNUSED, most: int = MOST_BYTES) -> list[Path]:
    """The files that nobody has used for `unused` before `now` (a timestamp), and the oldest of what is beyond `most` bytes."""
    known = []
    for path in folder.glob("*/*"):
        with suppress(OSError):  # another process may have removed it
            status = path.stat()
            known.append((status.st_mtime, status.st_size, path))
    found, size = [], 0
    for used, bytes_, path in sorted(known, reverse=True):
        size += bytes_
        if used < now - unused.total_seconds() or size > most:
            found.append(path)
    return found
