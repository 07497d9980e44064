"""What each item landed, as diffs that a reader can take in: bounded one by one, and all together."""

from __future__ import annotations

import asyncio

from aurea.domain.errors import AureaError
from aurea.domain.events import LandingLanded
from aurea.domain.state import Item, RunState
from aurea.ports import Repository
from aurea.reporting.page.fill import Diff

_ONE, _ALL = 30_000, 600_000  # characters
_AT_ONCE = 4


async def item_diffs(state: RunState, repository: Repository) -> list[Diff]:
    """The diff of every landing, in their order; those for which there is no room have the names of their files."""
    items = {item.landed.sha: item for item in state.items.values() if item.landed}
    landings = [landing for landing in state.landings if landing.landed.sha in items]
    found: list[Diff] = []
    used = 0
    while len(found) < len(landings) and used < _ALL:
        group = landings[len(found) : len(found) + _AT_ONCE]
        read = await asyncio.gather(*(_read(repository, items[one.landed.sha], one) for one in group))
        used += sum(len(diff.text or "") for diff in read)
        found += read
    return [*found, *(_named(items[one.landed.sha]) for one in landings[len(found) :])]


async def _read(repository: Repository, item: Item, landing: LandingLanded) -> Diff:
    try:
        changed = await repository.changes(landing.parent, landing.landed.sha)
        text = await repository.diff(landing.parent, landing.landed.sha, limit=_ONE)
    except AureaError:  # somebody has removed the commits since: the report tells what is left
        return _named(item)
    files = [{"path": change.path, "added": change.added, "deleted": change.deleted} for change in changed]
    return Diff(item.spec.id, text, files)


def _named(item: Item) -> Diff:
    attempt = next(attempt for attempt in item.attempts if attempt.landed)
    names = attempt.ended.files if attempt.ended else ()
    return Diff(item.spec.id, None, [{"path": name, "added": None, "deleted": None} for name in names])
