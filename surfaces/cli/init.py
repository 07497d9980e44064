"""`aurea init`: the defaults of a repository, written from what is found in it."""

from __future__ import annotations

import shlex
from typing import Annotated

from cyclopts import Parameter

from aurea.domain.errors import UsageError
from surfaces.cli import context


def init(*, force: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Write `aurea.yaml` for the current repository: setup and checks found in it, every line explained.

    Parameters
    ----------
    force
        Overwrite an `aurea.yaml` that is there.
    """
    from aurea.intake.discover import discover
    from aurea.intake.repository import DEFAULTS, root_above
    from aurea.intake.starter import starter

    cwd = context.current().cwd
    root = root_above(cwd)
    if root is None:
        raise UsageError(f"{str(cwd)!r} is in no git repository", remedy="go into one, or make one with `git init`")
    found = discover(root)
    path = root / DEFAULTS
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(starter(root, found))
    except FileExistsError:
        raise UsageError(f"{str(path)!r} is there already", remedy="`aurea init --force` overwrites it") from None
    print(path)
    for step in found.setup:
        context.say(f"setup  {shlex.join(step.run)}  ({step.why})")
    for check in found.checks:
        context.say(f"check  {check.name}: {shlex.join(check.run)}  ({check.why})")
    if found.checks:
        context.say('read it once, then: aurea run --objective "..." --dry-run')
    else:
        context.say("no check was found: write one into it before the first run")
    return 0
