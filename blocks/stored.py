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


async def stored(names: BlockNames) -> Stored:
    """Read the blocks that stand behind a spec. `UsageError` where a named one is not there, or one cannot be used."""
    wanted: list[tuple[type[Kept], str | None]] = [
        (AureaProvider, names.provider),
        (AureaWorkspace, names.workspace),
        (AureaLedger, names.ledger),
        (AureaPolicy, names.policy),
    ]
    if names.notification:  # read again by whoever notifies
        wanted.append((AureaNotification, names.notification))
    found = await all_kept(*wanted)
    said = {
        f"{block.get_block_type_slug()}/{block._block_document_name or DEFAULT}": block.defaults() for block in found
    }
    variables = {name: value for block in found for name, value in block.variables().items()}
    return Stored({name: keys for name, keys in said.items() if keys}, variables)
