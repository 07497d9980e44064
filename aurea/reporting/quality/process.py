"""The gate's process as its owner sees it: started early, asked once, killed where it hangs or is not needed."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aurea.domain.errors import AureaError
from aurea.reporting.quality.suite import Expectation
from aurea.reporting.quality.tables import COLUMNS, KEYS

MODULE = "aurea.reporting.quality.child"
JUDGING_S = 60.0
_LONGEST_LINE = 16 * 2**20
# What the process gets of the caller's environment: enough to find Python's libraries, and no keys.
_PASSED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "LD_LIBRARY_PATH")


class GateFault(AureaError):
    """The gate's process did not do its work."""


class GateProcess:
    """One process that judges once. `start` returns at once; `ready` is over when its library is imported."""

    def __init__(
        self, environ: Mapping[str, str], command: Sequence[str] = (sys.executable, "-P", "-m", MODULE)
    ) -> None:
        self._env = {name: environ[name] for name in _PASSED if name in environ}
        self._command = command
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._process: asyncio.subprocess.Process | None = None
        self._version = ""

    async def start(self) -> None:
        """Let the process begin with its import. `GateFault` where there can be none."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=self._said,
                env=self._env,
                limit=_LONGEST_LINE,
                start_new_session=True,  # Ctrl-C on the terminal is for Aurea, which ends this one
            )
        except OSError as fault:
            raise GateFault(f"the quality gate's process cannot start: {fault.strerror or fault}") from fault

    async def ready(self, seconds: float) -> str:
        """Wait until the library is imported; returns its version. `GateFault` where that takes longer or fails."""
        if not self._version:
            try:
                async with asyncio.timeout(seconds):
                    self._version = str((await self._line())["ready"])
            except TimeoutError:
                raise GateFault(f"the quality gate's process was not ready after {seconds:g} s") from None
        return self._version

    async def judge(
        self, tables: Mapping[str, Iterable[Mapping[str, Any]]], expected: Sequence[Expectation]
    ) -> list[dict[str, Any]]:
        """The result of every expectation, in their order. `GateFault` where the process hangs or dies."""
        assert self._process is not None and self._process.stdin is not None
        try:
            async with asyncio.timeout(JUDGING_S):
                feeding = asyncio.ensure_future(self._feed(self._process.stdin, tables, expected))
                try:
                    found = await self._results()
                finally:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)
        except TimeoutError:
            raise GateFault(f"the quality gate's process gave no result within {JUDGING_S:g} s") from None
        missing: dict[str, Any] = {
            "outcome": "error",
            "observed": None,
            "unexpected": 0,
            "rows": [],
            "message": "it gave no result",
        }
        return [found.get(number, missing) for number in range(len(expected))]

    async def close(self) -> None:
        """End the process, whatever it does: it holds nothing that would be lost."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
        self._said.close()

    async def _feed(
        self,
        stream: asyncio.StreamWriter,
        tables: Mapping[str, Iterable[Mapping[str, Any]]],
        expected: Sequence[Expectation],
    ) -> None:
        for name, rows in tables.items():
            stream.write(_line({"table": name, "key": KEYS[name], "columns": COLUMNS[name]}))
            for row in rows:
                stream.write(_line({"row": row}))
            await stream.drain()
        for number, entry in enumerate(expected):
            stream.write(
                _line({"expect": number, "table": entry.table, "name": entry.expect, "given": dict(entry.given)})
            )
        stream.write(_line({"judge": True}))
        await stream.drain()

    async def _results(self) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        while "done" not in (line := await self._line()):
            found[line.pop("result")] = line
        return found

    async def _line(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        text = await self._process.stdout.readline()
        if not text.endswith(b"\n"):
            code = await self._process.wait()
            raise GateFault(f"the quality gate's process ended by itself with {code}: {self._tail()}")
        line: dict[str, Any] = json.loads(text)
        return line

    def _tail(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, default=str).encode() + b"\n"
