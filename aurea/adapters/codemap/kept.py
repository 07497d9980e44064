"""What was read of a file, kept by the id of its content: for other trees and runs of a home. Losing it costs time only."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

LARGEST = 64 * 2**20  # bytes of the file; then it begins anew
PATIENCE_S = 2.0
AT_ONCE = 500


class KeptTags:
    """A small SQLite file in `folder`. Whatever is wrong with it, reading answers less and writing does nothing."""

    def __init__(self, folder: Path, version: int) -> None:
        self._path = folder / f"tags-{version}.db"

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """What is kept under those of `keys` that are known."""
        wanted = list(keys)
        found: dict[str, Any] = {}
        with suppress(sqlite3.Error, OSError, ValueError, zlib.error), self._open() as rows:
            for at in range(0, len(wanted), AT_ONCE):
                some = wanted[at : at + AT_ONCE]
                marks = ",".join("?" * len(some))
                for key, body in rows.execute(f"select key, body from tags where key in ({marks})", some):  # noqa: S608
                    found[key] = json.loads(zlib.decompress(body))
        return found

    def put(self, entries: Mapping[str, Any]) -> None:
        """Keep `entries`."""
        with suppress(sqlite3.Error, OSError), self._open() as rows:
            bodies = [(key, zlib.compress(json.dumps(body).encode(), 1)) for key, body in entries.items()]
            rows.executemany("insert or replace into tags values (?, ?)", bodies)
            rows.commit()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size > LARGEST:
            self._path.unlink()
        with closing(sqlite3.connect(self._path, timeout=PATIENCE_S)) as rows:
            try:
                rows.execute("pragma synchronous = off")  # it can be made again
                rows.execute("create table if not exists tags (key text primary key, body blob) without rowid")
            except sqlite3.OperationalError:
                raise  # somebody else writes
            except sqlite3.DatabaseError:  # not a database, or a broken one
                self._path.unlink(missing_ok=True)
                raise
            yield rows
