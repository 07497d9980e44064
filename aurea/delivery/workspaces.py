"""Workspaces of attempts and gates: opened fresh with `setup` run, taken up again after a crash, removed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aurea.delivery.context import Run
from aurea.domain.errors import Blocked, SetupFailed, WorkspaceLost
from aurea.domain.state import Attempt, RunState
from aurea.ports import CommandLine, Workspace

READY = "setup.done"


async def for_attempt(run: Run, item: str, attempt: Attempt) -> Workspace:
    """The workspace in which an attempt is worked on: the one that is there, else a fresh one with `setup` run.

    Raises `WorkspaceLost` where files that a model has already worked on are gone.
    """
    path = run.attempt_folder(item, attempt.number)
    found = await run.repository.adopt_workspace(path, attempt.base)
    if found is not None and (path / READY).exists():
        return found
    if any(place[:2] == (item, attempt.number) for place in run.state.tools):
        raise WorkspaceLost(f"the workspace of {item} #{attempt.number} is gone from {str(path)!r}")
    return await _fresh(run, path, attempt.base)


async def for_checks(run: Run, item: str, attempt: Attempt) -> Workspace:
    """The attempt's workspace for its checks; a fresh one with the submitted files where the first is gone."""
    path = run.attempt_folder(item, attempt.number)
    async with run.lock(f"workspace {path.name}"):  # the checks of one attempt ask for it at the same time
        assert attempt.ended is not None and attempt.ended.sha is not None
        for commit in (attempt.base, attempt.ended.sha):
            found = await run.repository.adopt_workspace(path, commit)
            if found is not None and (path / READY).exists():
                return found
        return await _fresh(run, path, attempt.ended.sha)


@asynccontextmanager
async def scratch(run: Run, purpose: str, commit: str) -> AsyncIterator[Workspace]:
    """A fresh workspace with the files of `commit` and `setup` run, removed afterwards."""
    workspace = await _fresh(run, run.scratch_folder(purpose), commit)
    try:
        yield workspace
    finally:
        await workspace.remove()


@asynccontextmanager
async def looking(run: Run, purpose: str, commit: str) -> AsyncIterator[Workspace]:
    """The files of `commit` for somebody who only reads: without `setup`, removed afterwards."""
    path = run.scratch_folder(purpose)
    await run.repository.remove_workspace(path)
    workspace = await run.repository.open_workspace(path, commit)
    try:
        yield workspace
    finally:
        await workspace.remove()


async def remove(run: Run, item: str, attempt: Attempt) -> None:
    """Remove the workspace of an attempt that ended, or what is left of it."""
    await run.repository.remove_workspace(run.attempt_folder(item, attempt.number))


async def tidy(run: Run) -> None:
    """Remove whatever is in the run's folder of workspaces, except the workspaces of attempts that go on."""
    folder, kept = run.workspaces / run.id, needed(run)
    with suppress(Blocked):  # what cannot be deleted is no reason not to end; the next start tries again
        if folder.is_symlink() or not kept:
            await run.repository.remove_workspace(folder)
            return
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path not in kept:
                await run.repository.remove_workspace(path)


def needed(run: Run) -> list[Path]:
    """The workspaces of attempts that go on."""
    return living(run.state, run.workspaces / run.id)


def living(state: RunState, folder: Path) -> list[Path]:
    """The workspaces in `folder`, that of the run, whose attempts go on, or would if the run was resumed."""
    return [
        folder / f"{name}-{item.current.number}"  # as `Run.attempt_folder` has it
        for name, item in state.items.items()
        if item.current is not None and item.current.state == "active" and not state.finished
    ]


async def _fresh(run: Run, path: Path, commit: str) -> Workspace:
    """Open a workspace and run `setup` in it; what setup makes stays out of later snapshots."""
    await run.repository.remove_workspace(path)
    workspace = await run.repository.open_workspace(path, commit)
    try:
        await _set_up(run, workspace)
    except BaseException:
        await workspace.remove()
        raise
    (path / READY).touch()
    return workspace


async def _set_up(run: Run, workspace: Workspace) -> None:
    for number, argv in enumerate(run.spec.setup, start=1):
        result = await run.commands.run(
            CommandLine(
                argv=run.substitute(argv),
                folder=workspace.tree,
                env=run.environment(workspace, {}),
                timeout_s=900,
                silence_s=900,
                log=run.folder / "logs" / "_setup" / f"{workspace.path.name}-{number}.log",
            )
        )
        if not result.ok:
            said = result.output.strip()[-1500:]
            raise SetupFailed(
                f"setup command {' '.join(argv)!r} {how_it_ended(result.outcome, result.exit_code, result.reason)}",
                remedy=f"mend `setup:` in the spec, or what it needs; it said:\n{said}",
                said=said,
            )
    if run.spec.setup:
        await workspace.ignore_present()


def how_it_ended(outcome: str, exit_code: int | None, reason: str) -> str:
    """The end of a command in words."""
    if outcome == "exited":
        return f"ended with {exit_code}"
    return f"could not start: {reason}" if outcome == "not_run" else f"was ended: {reason}"
