"""The code around a piece of work, as it stands when an agent begins: read, ranked for the work, ready to be shown."""

from __future__ import annotations

import asyncio

from aurea.agents.codemap.focus import Focus
from aurea.agents.codemap.rank import Ranked, rank
from aurea.agents.codeparts import NOWHERE, Surroundings, expected
from aurea.delivery.context import Run
from aurea.domain.context import BUDGETS
from aurea.domain.spec import ItemSpec
from aurea.ports import Code

LARGEST = 100_000  # characters of an expected file whose content is fetched


async def of_item(run: Run, item: str) -> Surroundings:
    """What is around a work item at the tip that its next attempt begins on."""
    if run.code is None or not _wanted(run, "map", "relevant", "contracts"):
        return NOWHERE
    spec, tip = run.state.item(item).spec, run.state.tip
    built_on = await _built_on(run, spec)
    code = await run.code.read(tip, spec.files)
    focus = Focus.of(spec, [path for paths in built_on.values() for path in paths])
    return Surroundings(
        code=code,
        ranked=await _ranked(run, code, focus),
        contents=await _contents(run, tip, expected(spec, code)),
        built_on=built_on,
    )


async def of_run(run: Run, commit: str) -> Surroundings:
    """What a planner has before it, who plans on the files of `commit`."""
    if run.code is None or not _wanted(run, "map"):
        return NOWHERE
    code = await run.code.read(commit)
    focus = Focus(text="\n".join((run.spec.objective, *run.spec.acceptance)))
    return Surroundings(code=code, ranked=await _ranked(run, code, focus))


def _wanted(run: Run, *parts: str) -> bool:
    return any(run.spec.context.get(part, BUDGETS[part]) for part in parts)


async def _ranked(run: Run, code: Code, focus: Focus) -> Ranked:
    """Ranked beside the loop: a large repository takes seconds."""
    if not code.files or not _wanted(run, "map"):
        return Ranked({}, {})
    return await asyncio.to_thread(rank, code, focus)


async def _built_on(run: Run, item: ItemSpec) -> dict[str, tuple[str, ...]]:
    """The files that each landed item changed which `item` depends on, itself or through others."""
    found: dict[str, tuple[str, ...]] = {}
    left = list(item.depends_on)
    while left:
        name = left.pop(0)
        entry = run.state.items.get(name)
        if entry is None or name in found:
            continue
        left += entry.spec.depends_on
        attempt = entry.current
        if entry.landed is not None and attempt is not None and attempt.ended is not None and attempt.ended.sha:
            if name not in run.landed_files:  # what has landed stays as it is
                changes = await run.repository.changes(attempt.base, attempt.ended.sha)
                run.landed_files[name] = tuple(change.path for change in changes if change.status != "D")
            found[name] = run.landed_files[name]
    return found


async def _contents(run: Run, commit: str, paths: list[str]) -> dict[str, str]:
    """The texts of files, without what is binary or large."""
    if not paths or not _wanted(run, "relevant"):
        return {}
    sizes = {file.path: file.size for file in await run.repository.files(commit) if not file.mode.startswith("12")}
    small = [path for path in paths if sizes.get(path, LARGEST) < LARGEST]
    read = await run.repository.read_many(commit, small)
    return {
        path: data.decode("utf-8", "replace") for path, data in read.items() if data is not None and b"\0" not in data
    }
