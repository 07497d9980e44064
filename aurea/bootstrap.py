"""The composition root: creates runs, and builds the live run that the phases of one process work with."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from aurea import __version__
from aurea.adapters.commands.environment import find_editable_install
from aurea.adapters.commands.runner import ProcessRunner
from aurea.adapters.git.cleaning import remove_strays
from aurea.adapters.git.create import create_repository
from aurea.adapters.git.inspection import inspect_repository
from aurea.adapters.git.repository import GitRepository
from aurea.delivery import workspaces
from aurea.delivery.conduct import stop
from aurea.delivery.context import Run
from aurea.domain.caps import RUN, Cap, limit_of
from aurea.domain.effective import effective_spec
from aurea.domain.errors import AureaError, Permanent, UsageError
from aurea.domain.events import Draft, OrderGiven, QuestionAnswered, RunCreated, RunResumed
from aurea.domain.evidence import Base, Question
from aurea.domain.lifecycle import Actor
from aurea.domain.spec import Spec, require_run_id
from aurea.domain.state import Item, RunState
from aurea.home import Home, busy
from aurea.intake.resolve import Resolved, require_free_output
from aurea.ledger.files import write_atomic
from aurea.models.cassette import read_cassette
from aurea.models.providers import check_ready, check_roles
from aurea.models.tape import remembered
from aurea.reporting.manifest import landed_files
from aurea.reporting.quality.own import own_suites
from aurea.wiring import wire

# The runs this process works on. Prefect tasks get plain ids and find the live run here.
_at_work: dict[str, Run] = {}


def current(run: str) -> Run:
    """The live run of that id in this process; `Permanent` where this process does not work on it."""
    if run not in _at_work:
        raise Permanent(f"this process does not work on run {run!r}", remedy=f"`aurea resume {run}` takes it up")
    return _at_work[run]


def new_run_id(now: datetime) -> str:
    """An id that sorts by time: date, time, milliseconds, and two random letters against two runs of one moment."""
    tail = "".join(secrets.choice("abcdefghjkmnpqrstvwxyz") for _ in range(2))
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}{tail}"


async def create_run(home: Home, resolved: Resolved, run: str | None = None, say: Callable[[str], None] = print) -> str:
    """Record a new run and return its id. Looks at the repository first; what cannot work is refused before.

    `say` is told what the user should know: uncommitted changes that the run does not see, a detached HEAD ...
    """
    spec, settings = resolved.spec, home.settings
    name = require_run_id(run) if run is not None else new_run_id(home.clock.now())
    check_ready(resolved.provider, settings.caller)
    check_roles(spec, settings.caller, provider=resolved.provider)
    if resolved.provider == "replay" and spec.cassette is not None:
        read_cassette(Path(spec.cassette))
    require_free_output(spec)
    origin: Origin | None = None
    if spec.repo is not None:
        opened = await inspect_repository(Path(spec.repo), spec.base, environ=settings.caller)
        if spec.land == "target" and not opened.base_ref.startswith("refs/heads/"):
            raise UsageError(
                "`land: target` needs a branch as base", remedy="name one: `base: BRANCH`, or land on a branch"
            )
        origin = Origin(opened.path, Base(ref=opened.base_ref, sha=opened.base_sha))
        _refuse_editable_install(home, spec, opened.path)
        if opened.quality:
            await _refuse_faulty_suites(opened.path, opened.base_sha)
        for warning in opened.warnings:
            say(f"aurea: {warning}")
        if opened.uncommitted:
            shown = ", ".join(opened.uncommitted[:5]) + (" …" if len(opened.uncommitted) > 5 else "")
            say(f"aurea: uncommitted changes are not used: {shown}")
    with home.lock(name):  # of two commands that give the same id at the same moment, one begins
        if name in home.ledger.runs():
            raise UsageError(f"run {name!r} exists already", remedy="the same command again goes on with it")
        if there := home.recorded_elsewhere(name):
            raise UsageError(
                f"run {name!r} is recorded in another ledger: {there}", remedy="name that ledger, or give another id"
            )
        await _begin(home, resolved, name, origin or await _make_repository(home, spec, name))
    return name


class Origin(NamedTuple):
    """The repository of a run and the commit it starts from."""

    path: Path
    base: Base


async def _make_repository(home: Home, spec: Spec, run: str) -> Origin:
    place = Path(spec.output_dir) if spec.output_dir else home.folder(run) / "outputs" / spec.project
    made = await create_repository(place, spec.project)
    return Origin(made.path, Base(ref=made.base_ref, sha=made.base_sha))


async def _begin(home: Home, resolved: Resolved, name: str, origin: Origin) -> None:
    """Write what the user gave to the run folder, and the run's first event."""
    spec, folder = resolved.spec, home.folder(name)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    document = spec.model_dump(mode="json")
    if resolved.source_text is not None:
        write_atomic(inputs / Path(resolved.source_name).name, resolved.source_text)
    write_atomic(inputs / "resolved.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    created = RunCreated(
        project=spec.project,
        spec=document,
        spec_digest=resolved.digest,
        repo=str(origin.path),
        made_repo=spec.repo is None,
        base=origin.base,
        target_ref=f"refs/heads/aurea/{name}",
        provider=resolved.provider,
        model=resolved.model,
        sandbox=ProcessRunner.name,
        folder=str(folder),
        version=__version__,
    )
    await home.ledger.record(name, [Draft(fact=created)])


@asynccontextmanager
async def take_up(
    home: Home,
    run: str,
    changes: Mapping[str, Any] | None = None,
    *,
    wait_s: float = 0.0,
) -> AsyncIterator[Run]:
    """Be the process that works on `run`: its lock, its state, everything wired; let go of it at the end.

    `changes` (top-level keys of the spec) go into effect from here on. A run that ended before, without having
    finished, is resumed; what waited for a missing key, program or disk is tried again. One that has finished lacks
    nothing but its report. `wait_s` is how long answers are waited for when nothing else is left.
    """
    async with AsyncExitStack() as held:
        held.enter_context(home.lock(run))
        if run in _at_work:
            raise busy(run, "this process")
        state = home.state(run)
        if not state.finished and (state.ended is not None or state.link is not None or changes):
            await _resume(home, state, dict(changes or {}))
        live = await wire(home, state, held, remembered(home.folder(run)))
        why = home.halted
        if why is not None:  # since we have the lock; the resume has undone what was ordered before
            await live.record(OrderGiven(order="pause", interrupt=True, reason=why), actor=Actor.DIRECTOR)
        live.wait_s = wait_s
        await remove_strays(live.workspaces / run, keep=workspaces.needed(live))
        _at_work[run] = live
        try:
            yield live
        finally:
            del _at_work[run]


@asynccontextmanager
async def reopen(home: Home, run: str) -> AsyncIterator[Run]:
    """The live run of one that is over, for its repository and its checks. Whoever has it records nothing."""
    async with AsyncExitStack() as held:
        held.enter_context(home.lock(run))
        yield await wire(home, home.state(run), held, None)


async def end_cancelled(home: Home, run: str) -> None:
    """End a run that nobody works on as cancelled: items abandoned, workspaces removed, reported."""
    async with AsyncExitStack() as held:
        held.enter_context(home.lock(run, to_end=True))
        live = await wire(home, home.state(run), held, None)
        live.stopping = "cancelled"
        await stop(live, None)


async def _resume(home: Home, state: RunState, changes: dict[str, Any]) -> None:
    """Record that the run goes on, and the answers that resuming gives to questions about what was missing."""
    before = effective_spec(state)
    if "roles" in changes and state.created is not None:
        now = Spec.model_validate({**before.model_dump(mode="json"), **changes})
        check_roles(now, home.settings.caller, provider=now.provider or state.created.provider)
    await home.ledger.record(state.id, [Draft(fact=RunResumed(changes=changes))])
    after = effective_spec(state)
    for asked in list(state.questions.values()):
        if asked.question.item in state.items and _asked_by_agent(state.items[asked.question.item]):
            continue
        choice, fields = _answer(asked.question, before, after)
        if choice is not None:
            answer = QuestionAnswered(question=asked.question.id, choice=choice, fields=fields, door="cli")
            await home.ledger.record(state.id, [Draft(fact=answer, actor="unknown", item=asked.question.item)])


def _asked_by_agent(item: Item) -> bool:
    """Whether it is its agent who waits for a person's words, so that no resume can be the answer."""
    return item.current is not None and item.current.escalated


def _answer(question: Question, before: Spec, after: Spec) -> tuple[str | None, dict[str, Any]]:
    """What `resume` with its changes answers to a question; None: nothing."""
    match question.kind:
        case "blocked":
            return "retry", {}
        case "budget":
            return _answer_for_money(question.cap or RUN, before, after)
        case "escalation" if after.max_attempts > before.max_attempts:
            return "retry", {}
        case _:
            return None, {}


def _answer_for_money(cap: Cap, before: Spec, after: Spec) -> tuple[str | None, dict[str, Any]]:
    """A raised limit answers the question about it; another model all of them, since it may be the cheaper one."""
    old, new = limit_of(before, cap), limit_of(after, cap)
    if old is not None and (new is None or new > old):
        return "raise", {"usd": "none" if new is None else new}
    if (after.model, after.roles) != (before.model, before.roles):
        own = after.roles.get(cap.name) if cap.scope == "role" else None
        return "switch_model", {"model": (own.model if own else None) or after.model}
    return None, {}


async def _refuse_faulty_suites(repository: Path, base: str) -> None:
    with TemporaryDirectory() as state:  # nothing of the run is written yet
        await own_suites(await GitRepository.open(repository, Path(state)), base)


def _refuse_editable_install(home: Home, spec: Spec, repository: Path) -> None:
    own = [Path(sys.executable)] if spec.uses_own_python else []
    if found := find_editable_install(home.settings.caller, repository, own):
        raise UsageError(found.message, remedy=found.remedy)


def landed_hashes(home: Home) -> Callable[[str, Mapping[str, Any]], Mapping[str, str]]:
    """How `verify` looks at landed files: for a run and its manifest the SHA-256 of each file as it stands in git.

    Where the repository or its objects are gone there is nothing to compare with, and the manifest is taken at its word.
    """

    def look(run: str, manifest: Mapping[str, Any]) -> Mapping[str, str]:
        try:
            return asyncio.run(_hashes(home, run))
        except AureaError:
            return {file["path"]: file["sha256"] for file in manifest["files"]}

    return look


async def _hashes(home: Home, run: str) -> dict[str, str]:
    state = home.state(run)
    assert state.created is not None
    repository = await GitRepository.open(Path(state.created.repo), home.folder(run) / "git")
    return {entry.path: entry.sha256 for entry in await landed_files(state, repository)}
