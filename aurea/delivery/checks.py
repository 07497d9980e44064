"""Running a check: the command, the folder, the environment, and the evidence that comes of it."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

from aurea.delivery import workspaces
from aurea.delivery.context import Run
from aurea.domain.errors import Blocked, SetupFailed
from aurea.domain.events import CheckEnded
from aurea.domain.evidence import Evidence, Kind, Outcome, evidence_id
from aurea.domain.lifecycle import Actor
from aurea.domain.spec import Check
from aurea.ports import CommandLine, CommandResult, Workspace

TAIL = 4000
# `python -m TOOL` with a tool that is not installed exits with 1 like a red test; these are known to be tools.
TOOLS = frozenset({"pytest", "ruff", "mypy", "flake8", "pylint", "tox", "nox", "build", "coverage", "pyright", "black"})


async def check(run: Run, item: str, attempt: int, name: str) -> None:
    """Run one check of an attempt on its submitted tree and record the evidence."""
    entry = run.state.attempt(item, attempt)
    assert entry.ended is not None and entry.ended.tree is not None
    definition = next(c for c in run.spec.checks or () if c.name == name)
    log = run.log_folder(item, attempt) / f"{name}.log"
    try:
        workspace = await workspaces.for_checks(run, item, entry)
    except SetupFailed as failed:
        await works_on(run, entry.base)
        await cannot_run(run, failed, definition, "check", item, attempt, entry.ended.tree, log)
        return
    await execute(run, workspace, definition, "check", item, attempt, entry.ended.tree, log)


async def execute(
    run: Run,
    workspace: Workspace,
    check: Check,
    kind: Kind,
    item: str | None,
    attempt: int | None,
    tree: str,
    log: Path,
) -> Evidence:
    """Run `check` in `workspace`, which holds `tree`, and record what it showed.

    Raises `Blocked` where the command is missing on this machine, or on the base already: that is nobody's change.
    """
    result = await perform(run, workspace, check, log)
    if _folder(workspace, check) is not None:  # else it was not there, or the check itself has removed it
        _must_have_started(check, kind, result)
    return await _record(run, check, kind, item, attempt, tree, log, result)


async def perform(run: Run, workspace: Workspace, check: Check, log: Path) -> CommandResult:
    """Run the command of `check` in `workspace` with its output in `log`; nothing is recorded."""
    folder = _folder(workspace, check)
    if folder is None:
        return CommandResult("not_run", None, f"there is no folder {check.cwd!r}", 0, 0.0, f"no folder {check.cwd!r}")
    async with AsyncExitStack() as turn:
        if check.exclusive is not None:
            await turn.enter_async_context(run.lock(f"exclusive {check.exclusive}"))
        return await run.commands.run(
            CommandLine(
                argv=run.substitute(check.run),
                folder=folder,
                env=run.environment(workspace, check.env),
                timeout_s=check.timeout_s,
                silence_s=check.silence_s,
                log=log,
            )
        )


def _folder(workspace: Workspace, check: Check) -> Path | None:
    """Where a check runs; None where the tree has no such folder."""
    folder = workspace.tree / check.cwd
    inside = folder.is_dir() and folder.resolve().is_relative_to(workspace.tree.resolve())
    return folder if inside else None


async def works_on(run: Run, commit: str) -> None:
    """Raise `SetupFailed` where `setup` fails on `commit` too, which it has worked on: then no change is at fault."""
    async with workspaces.scratch(run, "setup", commit):
        pass


async def cannot_run(
    run: Run,
    failed: SetupFailed,
    check: Check,
    kind: Kind,
    item: str | None,
    attempt: int | None,
    tree: str,
    log: Path,
) -> Evidence:
    """Record that `check` could not run on `tree`, because its change has broken `setup`."""
    result = CommandResult("not_run", None, failed.said, len(failed.said), 0.0, failed.message)
    return await _record(run, check, kind, item, attempt, tree, log, result)


async def _record(
    run: Run,
    check: Check,
    kind: Kind,
    item: str | None,
    attempt: int | None,
    tree: str,
    log: Path,
    result: CommandResult,
) -> Evidence:
    outcome: Outcome = "passed" if result.ok else "failed" if result.outcome == "exited" else result.outcome
    evidence = Evidence(
        id=evidence_id(kind, check.name, item if kind == "check" else None, attempt if kind == "check" else None, tree),
        kind=kind,
        name=check.name,
        item=item,
        attempt=attempt,
        tree=tree,
        passed=result.ok,
        outcome=outcome,
        exit_code=result.exit_code,
        seconds=round(result.seconds, 3),
        log=str(log.relative_to(run.folder)) if log.is_file() else None,
        tail=_tail(result),
    )
    await run.record(CheckEnded(evidence=evidence), actor=Actor.GATE, item=item, attempt=attempt)
    return evidence


def _tail(result: CommandResult) -> str:
    text = result.output.rstrip()
    if len(text) > TAIL:
        text = "…" + text[-TAIL:]
    return f"{text}\n[{result.reason}]" if result.outcome != "exited" else text


def _must_have_started(check: Check, kind: Kind, result: CommandResult) -> None:
    program = check.run[0]
    written_here = "/" in program and not program.startswith("/")  # a script of the tree, which an item may still add
    if result.outcome == "not_run" and not written_here:
        raise Blocked(
            f"check {check.name!r} cannot start: {result.reason}",
            remedy=f"install {program!r}, put it on PATH, install it in `setup:`, or mend the check's `run:`",
        )
    if kind != "baseline":  # what a workspace has of its own was there on the base, so a change has taken it away
        return
    if len(check.run) > 2 and check.run[1] == "-m" and check.run[2] in TOOLS and result.exit_code == 1:
        missing = re.search(rf"No module named '?{re.escape(check.run[2])}'?\s*$", result.output.strip())
        if missing:
            raise Blocked(
                f"check {check.name!r} cannot start: {result.output.strip().splitlines()[-1]}",
                remedy=f"install {check.run[2]!r} for {program!r}, for example in `setup:`",
            )
