"""`aurea run` and `aurea resume`: from a spec to the end of a run, in this process."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from aurea.domain.errors import LedgerAway, Transient, UsageError
from aurea.domain.spec import require_run_id
from aurea.home import Home
from surfaces.cli import context, overdue
from surfaces.cli.detach import leave_at_work

if TYPE_CHECKING:
    from aurea.intake.resolve import Resolved

Flag = Annotated[bool, Parameter(negative="")]
Many = Annotated[tuple[str, ...], Parameter(negative="")]
EXIT_CODES = {"succeeded": 0, "failed": 1, "waiting": 3, "paused": 3, "cancelled": 4, "interrupted": 5}
HASTE_S = 0.5  # a second Ctrl-C counts from here on; before, it is the same one, passed on by a wrapper as well


def run(
    spec: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    objective: Annotated[str | None, Parameter(name=["--objective", "--task"])] = None,
    check: Many = (),
    provider: str | None = None,
    model: str | None = None,
    repo: str | None = None,
    base: str | None = None,
    land: str | None = None,
    budget: str | None = None,
    concurrency: int | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    run_id: str | None = None,
    new: Flag = False,
    dry_run: Flag = False,
    record: Path | None = None,
    wait: float | None = None,
    detach: Flag = False,
    json: Flag = False,
) -> int:
    """Deliver a spec, or an objective in the current repository. The same command again goes on with an unfinished run.

    Parameters
    ----------
    spec
        A spec file (YAML or JSON), `-` for standard input; absent: `aurea.yaml` of the current repository.
    objective
        What you want, in words; needs no file and works in the current repository.
    check
        NAME=COMMAND, a check whose exit status is evidence. May be given several times.
    provider
        Which provider's models to use.
    model
        Which model to use for every role that names none.
    repo
        The repository to work on.
    base
        The branch or commit to start from.
    land
        `branch`: land on the branch aurea/RUN.
    budget
        The most this run may spend, in USD; `none`: no limit.
    concurrency
        How many items may be at work at once.
    set_
        PATH=VALUE, any value of the spec, as in `--set roles.coder.model=gpt-5`.
    run_id
        The id of the run; one of another spec is refused.
    new
        Start another run even where an unfinished one of the same spec exists.
    dry_run
        Print the plan, call no model, write nothing.
    record
        Write the models' answers to this file, as a cassette that `provider: replay` plays; `resume` goes on with it.
    wait
        Seconds to wait for a person when nothing else is left; for ever on a terminal, else 0.
    detach
        Print the id and leave; the run goes on in a process of its own, which writes `logs/run.log` of its folder.
    json
        Print the run document (schema `aurea.run/1`) at the end.
    """
    from aurea.bootstrap import create_run
    from aurea.intake.layers import Flags
    from aurea.intake.resolve import decide, read
    from aurea.models.tape import remember, require_recordable
    from surfaces.server.kept import kept_on_server

    if run_id is not None:
        require_run_id(run_id)
    here = context.current()
    flags = Flags(
        objective=objective, checks=check, provider=provider, model=model, repo=repo, base=base, land=land,
        budget=budget, concurrency=concurrency, sets=set_,
    )  # fmt: skip
    source = Path(spec) if spec not in (None, "-") else spec
    asked = read(source, flags, cwd=here.cwd, settings=here.settings, stdin=sys.stdin.buffer)
    kept = kept_on_server(here.settings, here.cwd, asked.spec.blocks, context.say, start=not dry_run)
    resolved = decide(asked, here.settings, kept)
    notes = [f"aurea: {warning}" for warning in resolved.warnings]
    if dry_run:
        from surfaces.cli.plan import print_plan

        context.say(*notes)
        print_plan(resolved, json=json)
        return 0
    cassette = here.cwd / record if record else None
    with Home(here.settings.behind(kept.variables)) as home, ExitStack() as held:
        with home.beginning():  # of two such commands at the same moment, the second finds the run of the first
            name = _unfinished(home, resolved, run_id, new=new)
            if cassette is not None:
                require_recordable(cassette, name)
            free = name is None or not home.alive(name)
            if name is not None:
                same = "" if run_id else " of the same spec (`--new` starts another)"
                notes.append(f"going on with run {name}{same}")
            else:
                name = asyncio.run(create_run(home, resolved, run_id, say=notes.append))
                if not detach:
                    held.enter_context(home.lock(name))
            if cassette is not None and free:
                remember(home.folder(name), cassette, name)
        overdue.look(home, name)
        if detach and not home.finished(name):
            context.say(*notes)
            return leave_at_work(home, name, wait=wait, json=json)
        with _resumable(name):
            return _work(home, name, {}, json=json, wait=wait, notes=notes)


def resume(
    run: str,  # the run
    /,
    *,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    model: str | None = None,
    budget: str | None = None,
    wait: float | None = None,
    detach: Flag = False,
    json: Flag = False,
) -> int:
    """Go on with an interrupted or waiting run: same attempts, same files, no answered model call asked again.

    What waited for a missing key, program or disk is tried again; a raised budget or `max_attempts` counts as an answer.

    Parameters
    ----------
    run
        A run id, a unique prefix of one, or `latest`.
    set_
        PATH=VALUE: concurrency, budget_usd, budgets, provider, model, roles, limits, prices, cache, context, stream,
        timeouts, max_attempts, review_loops.
    model
        Go on with this model.
    budget
        The new limit in USD.
    wait
        Seconds to wait for a person when nothing else is left; for ever on a terminal, else 0.
    detach
        Print the id and leave; the run goes on in a process of its own, which writes `logs/run.log` of its folder.
    json
        Print the run document (schema `aurea.run/1`) at the end.
    """
    from aurea.domain.effective import effective_spec
    from aurea.intake.changes import changes
    from aurea.intake.layers import Flags
    from surfaces.server.kept import kept_on_server

    with _resumable(run), Home(context.current().settings) as home:
        name = home.find(run)
        flags = Flags(model=model, budget=budget, sets=set_)
        changed = changes(effective_spec(overdue.look(home, name)), flags, context.current().cwd)
        if detach and not home.finished(name):
            return leave_at_work(home, name, flags, wait=wait, json=json)
        if not home.finished(name):
            blocks = effective_spec(home.state(name)).blocks
            kept = kept_on_server(home.settings, context.current().cwd, blocks, context.say)
            home.settings = home.settings.behind(kept.variables)  # the provider's key, where a block keeps it
        return _work(home, name, changed, json=json, wait=wait)


def _unfinished(home: Home, resolved: Resolved, run_id: str | None, *, new: bool) -> str | None:
    """The run of the same spec to go on with; None: a new one is to be created."""
    if run_id is None:
        return None if new else home.unfinished(resolved.digest)
    if run_id not in home.ledger.runs():
        return None
    if home.state(run_id).created.spec_digest != resolved.digest:  # type: ignore[union-attr]
        raise UsageError(f"run {run_id!r} is of another spec", remedy="give another --run-id, or `aurea resume` it")
    if new or home.finished(run_id):
        raise UsageError(f"run {run_id!r} exists already", remedy="give another --run-id")
    return run_id


def _work(
    home: Home,
    name: str,
    changes: Mapping[str, Any],
    *,
    json: bool,
    wait: float | None = None,
    notes: Sequence[str] = (),
) -> int:
    """Work on a run until it ends, show how it goes, and return the exit code. `notes` follow the first line."""
    from aurea.adapters.commands.runner import ProcessRunner
    from surfaces.cli.live import watching
    from surfaces.server.start import ensure_server, where_to_watch

    try:
        # Held from before anything is started, so that a second command learns at once who has the run.
        with home.lock(name), _sigterm_interrupts():
            if home.finished(name):
                context.say(f"run {name} has ended: there is nothing to go on with")
                return _finish(home, name, json=json)
            folder, place = context.current().cwd, home.settings.home
            ui_url = where_to_watch(place, folder=folder)
            with watching(home.ledger, name, say=context.say, ui_url=ui_url, cannot=ProcessRunner().cannot):
                context.say(*notes)
                server = ensure_server(place, idle_s=home.settings.server_idle_s, folder=folder, say=context.say)
                os.environ.update(server.env)
                patience = wait if wait is not None else math.inf if sys.stderr.isatty() else 0.0
                if not asyncio.run(_until_stopped(home, name, changes, patience)):
                    context.leave_at_once()
    except (KeyboardInterrupt, asyncio.CancelledError):
        context.say(f"stopped; `aurea resume {name}` goes on")
    return _finish(home, name, json=json)


@contextmanager
def _resumable(run: str) -> Iterator[None]:
    """Where the ledger does not answer, end as interrupted: the run is as it was."""
    try:
        yield
    except Transient as fault:
        remedy = f"{fault.remedy}; then `aurea resume {run}` goes on"
        raise LedgerAway(fault.message, remedy=remedy) from fault


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM stop this process as Ctrl-C does, where no event loop says otherwise."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _until_stopped(home: Home, name: str, changes: Mapping[str, Any], wait_s: float) -> bool:
    """Run the flow; an interrupt or SIGTERM ends the work cleanly, and `resume` goes on from there.

    A second interrupt, when the first one takes too long, leaves at once: to the run it is no more than a crash. False
    where Prefect's server is gone for good.
    """
    from surfaces.server.flow_runs import run_deliver

    work = asyncio.ensure_future(run_deliver(home, name, changes, wait_s=wait_s))
    loop, asked = asyncio.get_running_loop(), 0.0

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = loop.time()
            context.say("stopping; Ctrl-C again leaves at once")
            work.cancel()
        elif loop.time() - asked > HASTE_S:
            context.say(f"left at once; `aurea resume {name}` goes on")
            os._exit(EXIT_CODES["interrupted"])

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await work
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _finish(home: Home, name: str, *, json: bool) -> int:
    from aurea.models.tape import remembered, told_of
    from aurea.reporting.document import run_document
    from surfaces.cli import render

    document = run_document(home.state(name), alive=False, folder=home.folder(name), now=home.clock.now())
    if (tape := remembered(home.folder(name))) is not None:
        context.say(told_of(tape))
    if json:
        context.print_json(document)
    else:
        render.print_end(document)
    return EXIT_CODES.get(document["state"], 1)
