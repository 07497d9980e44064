"""What the limits of a provider cost each model call in CPU, by how many requests the last minute has seen.

The traffic to a provider is in a file that all processes of the machine share. Measured is the layer alone, around a
model that answers at once, with no limit to wait for and with one that is never reached; in one process, and in four at
the same time. Run it as

    .venv/bin/python tests/benchmarks/limits.py [--calls 200] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path

from aurea.adapters.clock import SystemClock
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.spec import ProviderLimits
from aurea.models.limits import LimitsClient
from aurea.models.waiting import Waiting
from aurea.testing.models import asking

SIZES = (1, 50, 1000)


class Instant:
    """A model that answers at once."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The answer."""
        return ModelReply(text="ok")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--calls", type=int, default=200, help="measured calls of each process")
    words.add_argument("--rounds", type=int, default=3, help="how often each is measured; the least counts")
    chosen = words.parse_args()
    print(f"CPU ms of a call in the layer of limits, least of {chosen.rounds} rounds of {chosen.calls} calls")
    print(f"{'':24}" + "".join(f"{f'{size} before':>13}" for size in SIZES))
    for limited in (False, True):
        for processes in (1, 4):
            figures = [
                min(measure(processes, size, chosen.calls, limited) for _ in range(chosen.rounds)) for size in SIZES
            ]
            name = f"{'limited' if limited else 'no limit'}, {processes} process{'es' if processes > 1 else ''}"
            print(f"{name:24}" + "".join(f"{figure:13.3f}" for figure in figures), flush=True)


def measure(processes: int, before: int, calls: int, limited: bool) -> float:
    """Milliseconds of CPU for one call, where `before` requests were made in the last minute."""
    with tempfile.TemporaryDirectory(prefix="aurea-bench-") as folder:
        asyncio.run(talk(Path(folder), before, limited))
        context = multiprocessing.get_context("fork")
        with context.Pool(processes) as pool:
            spent = pool.starmap(share, [(folder, calls, limited)] * processes, chunksize=1)
    return sum(spent) / processes / calls * 1000


def share(folder: str, calls: int, limited: bool) -> float:
    """The CPU seconds of one process."""
    asyncio.run(talk(Path(folder), 1, limited))
    began = time.process_time()
    asyncio.run(talk(Path(folder), calls, limited))
    return time.process_time() - began


async def talk(folder: Path, calls: int, limited: bool) -> None:
    limits = ProviderLimits(requests_per_minute=100_000, tokens_per_minute=10**12) if limited else ProviderLimits()
    client = LimitsClient(
        Instant(), clock=SystemClock(), waiting=Waiting(), limits={"openai": limits}, folder=folder,
        address=lambda _: "http://127.0.0.1:1/v1",
    )  # fmt: skip
    for step in range(calls):
        await client.complete(asking(step=step))


if __name__ == "__main__":
    main()
