"""The reading process as its owner sees it: started when a file is to be read, ended where it hangs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULE = "aurea.adapters.codemap.worker"
FILE_S = 5.0  # seconds that one file may take; a file that people wrote takes some thousandths
START_S = 30.0
READY = "ready"  # the first that it says; without it no file is to blame
LONGEST_ANSWER = 16 * 2**20
_PASSED = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "LD_LIBRARY_PATH")


class CannotStart(Exception):
    """There is no reading process, and will be none."""


class ReadingProcess:
    """One process for all files of a run, made anew after a file that it did not come to an end with."""

    def __init__(
        self,
        environ: Mapping[str, str],
        command: Sequence[str] = (sys.executable, "-P", "-m", MODULE),
        file_s: float = FILE_S,
    ) -> None:
        self._env = {name: environ[name] for name in _PASSED if name in environ}
        self._command = command
        self._file_s = file_s
        self._process: asyncio.subprocess.Process | None = None

    async def read(self, files: Sequence[tuple[str, bytes]], until: float) -> list[Any]:
        """The tags of files, given as path and content, in their order; None for what is not to be read or cannot be.

        Fewer where the loop's clock comes to `until`. `CannotStart` where there is no process.
        """
        found: list[Any] = []
        loop = asyncio.get_running_loop()
        while len(found) < len(files) and loop.time() < until:
            process = self._process or await self._start()
            feeding = asyncio.ensure_future(_feed(process, files[len(found) :]))
            try:
                while len(found) < len(files) and loop.time() < until:
                    async with asyncio.timeout(self._file_s):
                        found.append(json.loads(await _line(process)))
            except (TimeoutError, OSError, ValueError):
                found.append(None)
                await self.close()
            finally:
                whole = feeding.done() and len(found) == len(files)
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
                if not whole:  # what it was given last, nobody would ask for
                    await self.close()
        return found

    async def close(self) -> None:
        """End the process: it holds nothing that would be lost."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._env,
                cwd=Path("/"),
                limit=LONGEST_ANSWER,
                start_new_session=True,  # Ctrl-C on the terminal is for Aurea, which ends this one
            )
            async with asyncio.timeout(START_S):
                if json.loads(await _line(self._process)) != READY:
                    raise CannotStart
        except (OSError, ValueError, TimeoutError) as fault:
            await self.close()
            raise CannotStart from fault
        return self._process


async def _feed(process: asyncio.subprocess.Process, files: Sequence[tuple[str, bytes]]) -> None:
    """Give it files ahead of its answers, so that neither waits for the other."""
    assert process.stdin is not None
    for path, source in files:
        process.stdin.write(json.dumps({"path": path, "size": len(source)}).encode() + b"\n" + source)
        await process.stdin.drain()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()
