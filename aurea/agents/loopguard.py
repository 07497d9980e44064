"""Notices when an agent makes the same call with the same result over and over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

NUDGE_AT = 3
STALL_AT = 6


class LoopGuard:
    """Counts identical calls (tool, arguments, result) since the last change that had not been made before."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._changes: set[str] = set()

    def count(
        self, tool: str, arguments: Mapping[str, Any] | str, text: str, *, changed: bool, waited: bool = False
    ) -> int:
        """How often this call had this result.

        `changed`: it changed a file, after which results may differ. `waited`: it was a wait for something that takes
        long, which is no loop however often it is made.
        """
        key = call_hash(tool, arguments, text)
        if changed and key not in self._changes:
            self._changes.add(key)
            self._counts.clear()
        self._counts[key] = self._counts.get(key, 0) + (not waited)
        return self._counts[key]


def call_hash(tool: str, arguments: Mapping[str, Any] | str, text: str = "") -> str:
    """What tells a call and its result from others."""
    said = json.dumps([tool, arguments, text], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def nudge(tool: str, count: int) -> str | None:
    """What the model is told after `count` identical calls, or None."""
    if count < NUDGE_AT:
        return None
    return (
        f"You have called {tool} {count} times with the same arguments and got the same answer. "
        "Doing it again will not change it: look at the answer, then do something else. "
        f"At {STALL_AT} this attempt ends."
    )
