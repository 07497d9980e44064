"""What the blocks that a spec names say together, as the core reads it."""

from __future__ import annotations

from aurea.domain.spec import BlockNames
from aurea.intake.resolve import Stored
from blocks.kept import DEFAULT, Kept, all_kept
from blocks.ledger import AureaLedger
from blocks.notification import AureaNotification
from blocks.policy import AureaPolicy
from blocks.provider import AureaProvider
from blocks.workspace import AureaWorkspace


async def stored(names: BlockNames, *, deployed: bool) -> Stored:
    """Read the blocks that stand behind a spec. `UsageError` where a named one is not there, or one cannot be used.

    Only a deployed run takes its ledger and the folder of its workspaces from them: commands have to find the same ones
    without asking a server.
    """
    named: list[tuple[type[Kept], str | None]] = [
        (AureaProvider, names.provider),
        (AureaWorkspace, names.workspace),
        (AureaPolicy, names.policy),
    ]
    if deployed:
        named.append((AureaLedger, names.ledger))
    if names.notification:
        named.append((AureaNotification, names.notification))
    found = await all_kept(*named)
    variables = {name: value for block in found for name, value in block.variables().items()}
    if not deployed:
        variables.pop("AUREA_WORKSPACES", None)
    kept = {
        f"{block.get_block_type_slug()}/{block._block_document_name or DEFAULT}": block.defaults() for block in found
    }
    return Stored({name: data for name, data in kept.items() if data}, variables)
