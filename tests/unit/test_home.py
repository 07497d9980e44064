"""A home: who works on a run, who only looks, and when a run has come to its end."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurea.bootstrap import create_run
from aurea.domain.errors import RunBusy, UsageError
from aurea.domain.events import Draft, RunEnded, timestamp
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.settings import Settings

RUN = "a-run"
SPEC = {"project": "p", "objective": "o", "provider": "openai", "model": "m", "checks": [], "unproven": True}


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    """The same home as two commands have it open."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AUREA_HOME": str(tmp_path / "home"),
        "OPENAI_API_KEY": "k",
    }
    settings = Settings.read(env)
    with Home(settings) as one, Home(settings) as other:
        yield one, other


async def create(home: Home, folder: Path) -> str:
    resolved = resolve(SPEC, Flags(), cwd=folder, settings=home.settings)
    return await create_run(home, resolved, RUN, say=lambda line: None)


def test_a_run_has_one_worker_whose_process_is_named(homes: tuple[Home, Home]) -> None:
    one, other = homes
    assert not one.alive(RUN)
    with one.lock(RUN), one.lock(RUN):
        assert (one.alive(RUN), other.alive(RUN)) == (True, True)
        with pytest.raises(RunBusy, match=f"process {os.getpid()}"), other.lock(RUN):
            pass
    assert not other.alive(RUN)
    with other.lock(RUN):
        assert one.holder(RUN) == f"process {os.getpid()}"


def test_looking_disturbs_nobody(homes: tuple[Home, Home]) -> None:
    one, other = homes
    with one.lock(RUN):
        pass
    with (one.folder(RUN) / "lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not other.alive(RUN), "another who looks is nobody at work"
        done = threading.Timer(0.1, lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        done.start()
        began = time.monotonic()
        with other.lock(RUN):
            assert time.monotonic() - began >= 0.05
        done.join()


async def test_of_two_commands_with_the_same_id_one_begins(homes: tuple[Home, Home], tmp_path: Path) -> None:
    told = await asyncio.gather(*(create(home, tmp_path) for home in homes), return_exceptions=True)
    assert sorted(type(each).__name__ for each in told if each != RUN) in (["UsageError"], ["RunBusy"])
    assert homes[0].ledger.runs() == [RUN]
    with pytest.raises(UsageError, match="exists already"):
        await create(homes[1], tmp_path)


async def test_a_run_is_finished_once_its_end_is_reported(homes: tuple[Home, Home], tmp_path: Path) -> None:
    home = homes[0]
    await create(home, tmp_path)
    digest = home.state(RUN).created.spec_digest  # type: ignore[union-attr]
    await home.ledger.record(RUN, [Draft(fact=RunEnded(state="waiting"))])
    assert (home.finished(RUN), home.unfinished(digest)) == (False, RUN)
    await home.ledger.record(RUN, [Draft(fact=RunEnded(state="succeeded"))])
    assert (home.finished(RUN), home.unfinished(digest)) == (False, RUN), "its process died before the report"
    closed = home.state(RUN).closed
    assert closed is not None
    (home.folder(RUN) / "manifest.json").write_text(json.dumps({"ended_at": timestamp(closed)}))
    assert (home.finished(RUN), home.unfinished(digest)) == (True, None)
    home.folder(RUN).rename(tmp_path / "cleaned away")
    assert home.finished(RUN)


async def test_a_run_is_gone_on_with_in_the_home_that_started_it(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OPENAI_API_KEY": "k"}
    env["AUREA_LEDGER_URL"] = f"sqlite:///{tmp_path}/shared.db"
    one, other = (Settings.read(env | {"AUREA_HOME": str(tmp_path / name)}) for name in ("one", "other"))
    with Home(one) as here, Home(other) as there:
        name = await create(here, tmp_path)
        digest = here.state(name).created.spec_digest  # type: ignore[union-attr]
        assert (here.elsewhere(name), here.unfinished(digest)) == (None, name)
        assert there.unfinished(digest) is None
        assert str(here.folder(name)) in (there.holder(name) or "")
        with pytest.raises(UsageError, match="another home"), there.lock(name):
            pass
        with there.claim(name) as free:
            assert not free
        await here.ledger.record(name, [Draft(fact=RunEnded(state="succeeded"))])
        assert not there.alive(name)
