"""What keeps a home tidy and its targets green: cleaning, and the gate run again on what has landed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from aurea.adapters.git.cleaning import delete_folder, find_strays, remove_strays
from aurea.adapters.git.repository import GitRepository
from aurea.bootstrap import reopen
from aurea.delivery.checks import perform
from aurea.delivery.context import Run
from aurea.delivery.workspaces import how_it_ended, living, scratch
from aurea.domain.errors import AureaError, UsageError
from aurea.domain.events import Draft, RunCleaned
from aurea.domain.state import RunState
from aurea.home import Home
from aurea.models.kept import UNUSED, find_surplus
from aurea.models.layers import cache_folder


@dataclass
class Cleaned:
    """What was removed, or would be: workspaces, attempt refs by run, run folders, answers kept for later runs.

    `left` says what was not, and why.
    """

    workspaces: list[Path] = field(default_factory=list)
    refs: dict[str, list[str]] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    answers: int = 0
    left: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to remove."""
        return not (self.workspaces or self.refs or self.folders or self.answers)


async def clean(
    home: Home, *, older_than: timedelta | None = None, dry_run: bool = False, actor: str = "manager"
) -> Cleaned:
    """Remove the workspaces of no living attempt, and kept answers that nobody has used for long or that are too many.

    With `older_than` also refs and folders of runs that ended before, and all answers not used since.

    Never touches a run at work, a branch that a run landed on, or the ledger, which records what was removed with a run.
    `dry_run` only looks. Raises `Blocked` where a folder could not be deleted.
    """
    done = Cleaned()
    runs = home.ledger.runs()
    for folder in _folders_in(home.settings.workspaces):
        if folder.name in runs:
            await _clean_workspaces(home, folder, done, dry_run=dry_run)
        elif found := find_strays(folder):
            done.left.append(f"{len(found)} of run {folder.name}, which is in no ledger here")
    _clean_answers(home, older_than, done, dry_run=dry_run)
    if older_than is not None:
        before = home.clock.now() - older_than
        for run in reversed(runs):
            state = home.state(run)
            if state.closed is not None and state.closed <= before and home.finished(run):
                await _clean_run(home, state, done, dry_run=dry_run, actor=actor)
    return done


def _clean_answers(home: Home, older_than: timedelta | None, done: Cleaned, *, dry_run: bool) -> None:
    now = home.clock.now().timestamp()
    surplus = find_surplus(
        cache_folder(home.settings.home), now, unused=UNUSED if older_than is None else min(older_than, UNUSED)
    )
    done.answers = len(surplus)
    for path in surplus if not dry_run else ():
        path.unlink(missing_ok=True)


async def _clean_workspaces(home: Home, folder: Path, done: Cleaned, *, dry_run: bool) -> None:
    run = folder.name
    with home.claim(run) as free:
        if not free:
            return
        keep = living(home.state(run), folder)
        if dry_run:
            done.workspaces += find_strays(folder, keep)
            return
        done.workspaces += await remove_strays(folder, keep)
    with suppress(OSError):
        folder.rmdir()  # unless something is still in it


async def _clean_run(home: Home, state: RunState, done: Cleaned, *, dry_run: bool, actor: str) -> None:
    """Record first, then remove: what a crash leaves in between is removed by the next call, and recorded already."""
    folder = home.folder(state.id)
    with home.claim(state.id) as free, tempfile.TemporaryDirectory(prefix="aurea-") as place:
        if not free:
            return
        repository = await _repository(state, folder, Path(place))
        refs = await repository.list_refs(f"refs/aurea/{state.id}") if repository is not None else {}
        if refs:
            done.refs[state.id] = sorted(refs)
        if folder.is_dir():
            done.folders.append(folder)
        elif not refs:
            return
        if dry_run:
            return
        if state.cleaned is None:
            fact = RunCleaned(folder=folder.is_dir(), refs=len(refs))
            await home.ledger.record(state.id, [Draft(fact=fact, actor=actor)])
        for ref, sha in refs.items():
            assert repository is not None
            await repository.delete_ref(ref, sha)
        delete_folder(folder)


async def _repository(state: RunState, folder: Path, place: Path) -> GitRepository | None:
    """The repository with the attempt refs of a run; None where it is gone, or goes with the run folder."""
    assert state.created is not None
    repository = Path(state.created.repo)
    if repository.is_relative_to(folder):
        return None
    try:
        return await GitRepository.open(repository, place / "git")
    except UsageError:
        return None


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())


@dataclass(frozen=True)
class Regated:
    """The gate run again on a target: what each check showed there. `passed` is None where it was not run, for `reason`."""

    project: str
    run: str
    ref: str
    commit: str | None = None
    checks: Mapping[str, str] = field(default_factory=dict)
    passed: bool | None = None
    reason: str = ""


def targets(home: Home) -> list[str]:
    """Of each project and repository, the newest run that succeeded."""
    newest: dict[tuple[str, str], str] = {}
    for run in home.ledger.runs():
        state = home.state(run)
        if state.created is not None and state.ended is not None and state.ended.state == "succeeded":
            newest.setdefault((state.created.project, state.created.repo), run)
    return list(newest.values())


async def regate(home: Home, run: str) -> Regated:
    """Run setup and the gate's checks of `run` on the commit at which its target stands now. Nothing is recorded."""
    state = home.state(run)
    assert state.created is not None
    seen = Regated(state.created.project, run, state.created.target_ref)
    if state.cleaned is not None:
        return replace(seen, reason="what the run left was cleaned away")
    try:
        async with reopen(home, run) as live:
            commit = await live.repository.resolve(seen.ref)
            if commit is None:
                return replace(seen, reason="the branch is gone")
            shown = await _gate(live, commit)
            green = all(outcome == "passed" for outcome in shown.values())
            return replace(seen, commit=commit, checks=shown, passed=green if shown else None, reason=_unproven(shown))
    except AureaError as fault:
        return replace(seen, reason=fault.message)


async def _gate(run: Run, commit: str) -> dict[str, str]:
    """What each check of the gate shows on `commit`, in words."""
    shown: dict[str, str] = {}
    async with scratch(run, "upkeep", commit) as workspace:
        for check in run.spec.checks or ():
            if check.when in ("gate", "both"):
                result = await perform(run, workspace, check, run.folder / "logs" / "_upkeep" / f"{check.name}.log")
                shown[check.name] = (
                    "passed" if result.ok else how_it_ended(result.outcome, result.exit_code, result.reason)
                )
    return shown


def _unproven(shown: Mapping[str, str]) -> str:
    return "" if shown else "the run has no checks"
