"""CPU and wall time per command `true`: the fork server of sandbox `process` against a plain asyncio subprocess.

    python tests/benchmarks/commands.py [COMMANDS] [MEGABYTES]

MEGABYTES is what the calling process holds, as one that runs Aurea would: starting a process from it costs more.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aurea.adapters.commands.runner import ProcessRunner
from aurea.ports import CommandLine

ENV = {"PATH": os.environ["PATH"]}


def main() -> None:
    """Measure both, one after the other and many at once."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    held = [bytearray(os.urandom(1 << 20)) for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 200)]
    print(f"{count} commands, {len(held)} MB held\n{'':28}{'wall ms':>9}{'CPU ms':>9}{'of it here':>12}")
    for at_once in (1, 20):
        asyncio.run(_compare(count, at_once))


async def _compare(count: int, at_once: int) -> None:
    command = CommandLine(("true",), Path("/"), ENV, 60, 60)

    async def plain() -> None:
        process = await asyncio.create_subprocess_exec(
            "true",
            env=ENV,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        await process.communicate()

    async def supervised() -> None:
        runner = ProcessRunner()
        try:
            await _many(lambda: runner.run(command), count, at_once)
        finally:
            await runner.close()  # its CPU time counts once it has ended

    await _measure(f"plain, {at_once} at once", count, lambda: _many(plain, count, at_once))
    await _measure(f"fork server, {at_once} at once", count, supervised)


async def _many(start: Callable[[], Awaitable[object]], count: int, at_once: int) -> None:
    slots = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with slots:
            await start()

    await asyncio.gather(*(one() for _ in range(count)))


async def _measure(name: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    started, here, all_of_it = time.perf_counter(), time.process_time(), _cpu()
    await work()
    figures = (time.perf_counter() - started, _cpu() - all_of_it, time.process_time() - here)
    wall, total, own = (1000 * seconds / count for seconds in figures)
    print(f"{name:28}{wall:9.2f}{total:9.2f}{own:12.2f}")


def _cpu() -> float:
    """Seconds of CPU of this process and of all below it that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))


if __name__ == "__main__":
    main()
