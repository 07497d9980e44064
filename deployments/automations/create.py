"""Creates the automations in this folder on the Prefect server that Prefect finds, or brings those of the same name up to date.

    python deployments/automations/create.py --notify slack-webhook/alerts

`--notify TYPE/NAME` is a notification block that exists on the server; without it nothing is sent, and what an automation
noticed stands in Prefect's event feed only.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import AutomationCore
from ruamel.yaml import YAML

HERE = Path(__file__).parent
NOTIFY = "send-notification"


async def create(notify: str | None, folder: Path = HERE) -> list[str]:
    """Create or update every automation of `folder`; what was done, a line each."""
    told = []
    async with get_client() as client:
        block = await _block(client, notify) if notify else None
        for path in sorted(folder.glob("*.yaml")):
            wanted = automation(YAML(typ="safe", pure=True).load(path), block)
            there = await client.read_automations_by_name(wanted.name)
            if there:
                await client.update_automation(there[0].id, wanted)
            else:
                await client.create_automation(wanted)
            told.append(f"{'updated' if there else 'created'}  {wanted.name}")
    return told


def automation(document: dict[str, Any], block: UUID | None) -> AutomationCore:
    """An automation as a file has it, with the block that its notifications go through; without one they are left out."""
    actions = [dict(action) for action in document["actions"] if block or action["type"] != NOTIFY]
    for action in actions:
        if action["type"] == NOTIFY:
            action["block_document_id"] = block
    return AutomationCore.model_validate({**document, "actions": actions or [{"type": "do-nothing"}]})


async def _block(client: PrefectClient, notify: str) -> UUID:
    kind, _, name = notify.partition("/")
    return (await client.read_block_document_by_name(name, kind)).id


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--notify", metavar="TYPE/NAME", help="the notification block to send through")
    print(*asyncio.run(create(parser.parse_args().notify)), sep="\n")
