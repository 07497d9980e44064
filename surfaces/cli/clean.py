"""`aurea clean`: removes what nobody needs any more, or says what it would remove."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter, validators

from aurea.home import Home
from surfaces.cli import context
from surfaces.cli.user import user_name


def clean(
    *,
    older_than: Annotated[float | None, Parameter(validator=validators.Number(gte=0))] = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Remove workspaces of no living attempt, and old kept answers. Never touches a run at work, what landed, the ledger.

    Parameters
    ----------
    older_than
        DAYS: also the attempt refs and the run folders of runs that ended longer ago, with the repository in the folder
        where Aurea made one there. The ledger keeps their events, and that they were cleaned.
    dry_run
        Only say what would go.
    """
    from aurea.reporting.text import many
    from aurea.upkeep import clean as remove

    with Home(context.current().settings) as home:
        age = timedelta(days=older_than) if older_than is not None else None
        done = asyncio.run(remove(home, older_than=age, dry_run=dry_run, actor=user_name()))
    for path in [*done.workspaces, *done.folders]:
        print(path)
    for refs in done.refs.values():
        print(*refs, sep="\n")
    counts = (
        many(len(done.workspaces), "workspace"),
        many(sum(map(len, done.refs.values())), "attempt ref"),
        many(len(done.folders), "run folder"),
        *([many(done.answers, "kept answer")] if done.answers else []),
    )
    context.say(
        "nothing to remove" if done.nothing else f"{'would remove' if dry_run else 'removed'} {', '.join(counts)}"
    )
    context.say(*(f"workspaces left alone: {words}" for words in done.left))
    return 0
