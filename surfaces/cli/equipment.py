"""What the conversations of a work item began with: the execution snapshots, for `aurea show --item`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aurea.domain.errors import AureaError
from aurea.domain.state import RunState
from aurea.ports import Ledger
from aurea.reporting.text import clean, many


def equipment(state: RunState, ledger: Ledger, item: str, attempt: int | None) -> list[dict[str, Any]]:
    """The snapshots of an item's conversations, or of one attempt's, oldest first; what was purged is left out."""
    found = []
    for (who, number, conversation), fact in state.equipped.items():
        if who != item or attempt not in (None, number):
            continue
        try:
            snapshot = json.loads(ledger.body(fact.body))
        except AureaError:
            continue
        found.append({"attempt": number, "conversation": conversation, **snapshot})
    return found


def print_equipment(found: Sequence[Mapping[str, Any]]) -> None:
    """One line each, and one for each tool that was withheld."""
    for one in found:
        others = [tool["name"] for tool in one["tools"] if tool["origin"] != "aurea"]
        model = f"{one['model']['provider']}:{one['model']['name']}"
        place = f"attempt {one['attempt']}: {one['conversation']}"
        line = (
            f"{place} began with {model}, {many(len(one['tools']), 'tool')}"
            f"{' with ' + ', '.join(others) if others else ''}, on {one['commit'][:12] or 'no commit'}, instructions "
            f"{one['prompt'].removeprefix('sha256:')[:12]}, sandbox {one['sandbox']}, Aurea {one['aurea']}"
        )
        print(clean(line))
        for name, why in one["withheld"].items():
            print(clean(f"  without {name}: {why}"))
