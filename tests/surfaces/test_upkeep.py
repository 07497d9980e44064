"""The gate run again on what has landed: which targets, and what it says of a branch that somebody broke."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from aurea.home import Home
from aurea.settings import Settings
from aurea.upkeep import Regated, regate, targets


def again(used: Any) -> dict[str, Regated]:
    async def each(home: Home) -> dict[str, Regated]:
        return {run: await regate(home, run) for run in targets(home)}

    with Home(Settings.read(used.env)) as home:
        return asyncio.run(each(home))


def git(folder: Path, *words: str) -> None:
    user = ("-c", "user.name=User", "-c", "user.email=user@example.org")
    subprocess.run(["git", "-C", folder, *user, *words], check=True, capture_output=True)


def test_the_newest_run_that_succeeded_of_each_project_is_looked_at(used: Any) -> None:
    found = again(used)
    assert set(found) == {"alpha-made", "loose-1"}, "a run that waits has no target yet"
    assert found["alpha-made"].passed is True
    assert found["alpha-made"].checks == {"sound": "passed"}
    assert (found["loose-1"].passed, found["loose-1"].reason) == (None, "the run has no checks")
    assert used("verify").code == 0, "nothing was recorded, nothing was left"
    assert not list((Path(used.env["AUREA_WORKSPACES"])).rglob("tree"))


def test_a_target_that_somebody_broke_is_red(used: Any) -> None:
    made = used.home / "runs" / "alpha-made" / "outputs" / "alpha"
    git(made, "switch", "-q", "aurea/alpha-made")
    (made / "bad.txt").touch()
    git(made, "add", "bad.txt")
    git(made, "commit", "-q", "-m", "break it")
    red = again(used)["alpha-made"]
    assert (red.passed, red.checks) == (False, {"sound": "ended with 1"})


def test_a_target_that_is_gone_is_not_looked_at(used: Any) -> None:
    git(used.home / "runs" / "alpha-made" / "outputs" / "alpha", "branch", "-q", "-D", "aurea/alpha-made")
    gone = again(used)["alpha-made"]
    assert (gone.passed, gone.reason) == (None, "the branch is gone")
