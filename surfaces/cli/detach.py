"""`--detach`: a run is left to a process of its own that holds no terminal and writes to the run folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aurea.domain.errors import Permanent
from aurea.home import Home, busy
from surfaces.cli import context

if TYPE_CHECKING:
    from aurea.intake.layers import Flags

LOG = "run.log"
BEGIN_S = 20.0
POLL_S = 0.05


def leave_at_work(home: Home, name: str, flags: Flags | None = None, *, wait: float | None, json: bool) -> int:
    """Start a process that works on the run, with `flags` of a resume; print the id once it does, and leave.

    `RunBusy` where another process has the run, `Permanent` where the new one ended before it had begun.
    """
    if (holder := home.holder(name)) is not None:
        raise busy(name, holder)
    before = home.state(name).last_seq
    log = home.folder(name) / "logs" / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        began = file.tell()
        worker = subprocess.Popen(
            [*_program(), "--home", str(home.settings.home), "resume", name, *_words(flags, wait)],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=context.current().cwd, env=_environment(),
            start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + BEGIN_S
    while not home.alive(name) and time.monotonic() < deadline:
        if worker.poll() not in (None, 0) and home.state(name).last_seq == before:
            said = log.read_bytes()[began:].decode(errors="replace").strip()
            raise Permanent(
                f"run {name!r} could not be left at work: its process ended with {worker.returncode}\n{said}"
            )
        if worker.returncode is not None:
            break
        time.sleep(POLL_S)
    context.say(f"run {name} goes on in process {worker.pid}; it writes to {log}", f"watch it: aurea tail {name} -f")
    if not json:
        print(name)
        return 0
    from aurea.reporting.document import run_document

    context.print_json(
        run_document(home.state(name), alive=home.alive(name), folder=home.folder(name), now=home.clock.now())
    )
    return 0


def _program() -> list[str]:
    script = Path(sys.executable).with_name("aurea")
    return [sys.executable, str(script)] if script.exists() else [sys.executable, "-m", "surfaces.cli.app"]


def _environment() -> dict[str, str]:
    """The environment of this process; where Aurea is not installed, with the place of its packages."""
    if Path(sys.executable).with_name("aurea").exists():
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def _words(flags: Flags | None, wait: float | None) -> list[str]:
    """The options of `aurea resume` that say the same."""
    words = ["--wait", f"{wait:g}"] if wait is not None else []
    if flags is not None:
        words += ["--model", flags.model] if flags.model is not None else []
        words += ["--budget", str(flags.budget)] if flags.budget is not None else []
        words += [word for one in flags.sets for word in ("--set", one)]
    return words
