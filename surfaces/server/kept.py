"""What the Prefect server keeps for runs, for a command: looked for without importing Prefect where there is nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from aurea.domain.errors import Permanent, UsageError
from aurea.domain.spec import BlockNames
from aurea.intake.resolve import Stored
from aurea.settings import Settings
from surfaces.server.locate import named_server
from surfaces.server.place import Place, ask
from surfaces.server.start import ensure_server, running_server

PLACES = ("AUREA_LEDGER_URL", "AUREA_WORKSPACES")


def kept_on_server(
    settings: Settings, folder: Path, names: BlockNames, say: Callable[[str], None], *, start: bool = True
) -> Stored:
    """Read the blocks that stand behind a spec; starts the local server where it may hold some and `start` lets it.

    Ledger and workspaces are not taken from blocks: every command has to find the same ones without asking a server.
    `UsageError` where a block that is named is not there, or one cannot be used.
    """
    if names.ledger and settings.ledger_url is None:
        raise UsageError(
            f"blocks.ledger: {names.ledger}: only deployed runs take their ledger from a block",
            remedy="set AUREA_LEDGER_URL, so that every command finds the run, or name the block in the deployment",
        )
    asked_for = names != BlockNames()
    named = named_server(settings.caller, folder)
    if named is None and not asked_for and not Place(settings.home.resolve()).state.exists():
        return Stored()  # a home that never had a server has no blocks
    if named is None and not start and running_server(settings.home) is None:
        return Stored()
    try:
        server = ensure_server(settings.home, idle_s=settings.server_idle_s, folder=folder, say=say)
    except Permanent:
        if start:
            raise
        return Stored()
    if server.local and not asked_for and not _any(server.api_url):
        return Stored()
    os.environ.update(server.env)
    from blocks.stored import stored

    return _without_places(asyncio.run(stored(names)), settings, names, say)


def _without_places(kept: Stored, settings: Settings, names: BlockNames, say: Callable[[str], None]) -> Stored:
    if names.workspace and "AUREA_WORKSPACES" in kept.variables.keys() - settings.caller.keys():
        say(
            f"aurea: the folder of the block aurea-workspace/{names.workspace} is for deployed runs; "
            f"AUREA_WORKSPACES would name another than {settings.workspaces}"
        )
    return Stored(kept.defaults, {name: kept.variables[name] for name in kept.variables if name not in PLACES})


def _any(api: str) -> bool:
    slugs = [f"aurea-{kind}" for kind in BlockNames.model_fields]
    wanted = {"block_types": {"slug": {"any_": slugs}}, "include_secrets": False, "limit": 1}
    try:
        return bool(ask(api, "POST", "/block_documents/filter", wanted))
    except (OSError, ValueError):
        return True  # Prefect has more patience, and the words for what is wrong
