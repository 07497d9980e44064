"""`aurea show --diff`: what a run, or one of its items, landed, read from the repository that it landed in."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from aurea.domain.state import RunState

LIMIT = 20_000_000  # characters
STYLES = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m", "d": "\x1b[1m"}
PLAIN = "\x1b[0m"


def landed_diff(state: RunState, item: str | None = None) -> str:
    """What landed against the base, or one item's landing against the tip before it; empty where nothing landed."""
    if state.created is None or not state.landings:
        return ""
    if item is None:
        return asyncio.run(_between(Path(state.created.repo), state.created.base.sha, state.tip))
    landed = state.items[item].landed
    landing = next((one for one in state.landings if landed is not None and one.landed.sha == landed.sha), None)
    if landing is None:
        return ""
    return asyncio.run(_between(Path(state.created.repo), landing.parent, landing.landed.sha))


def print_diff(diff: str) -> None:
    """Print a diff as it is; on a terminal in colours, and without what could steer it."""
    from aurea.reporting.text import clean
    from surfaces.cli.console import console

    if not diff:
        print("nothing has landed")
    elif not sys.stdout.isatty():
        sys.stdout.write(diff)
    else:
        colours = not console().no_color
        for line in diff.splitlines():
            style = STYLES.get(line[:1], "") if colours else ""
            print(f"{style}{clean(line)}{PLAIN if style else ''}")


async def _between(repo: Path, old: str, new: str) -> str:
    from aurea.adapters.git.repository import GitRepository

    with tempfile.TemporaryDirectory(prefix="aurea-") as folder:
        repository = await GitRepository.open(repo, Path(folder) / "git")
        return await repository.diff(old, new, limit=LIMIT)
