"""The parts that agents are shown, by name, and the most tokens that each may take where a spec says nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

BUDGETS: Mapping[str, int] = {
    "item": 4_000, "criteria": 4_000, "hints": 2_000, "lessons": 3_000, "files": 500, "checks": 1_500,
    "baseline": 4_000, "rules": 3_000, "objective": 2_000, "acceptance": 2_000, "decisions": 2_000,
    "insights": 1_500, "plan": 1_500, "contracts": 1_500, "relevant": 3_000, "map": 2_000, "previous": 3_500,
    "rejected": 3_000, "limits": 50, "paths": 5_500, "focus": 300, "evidence": 8_000, "findings": 1_500,
    "change": 15_500, "claim": 1_200,
}  # fmt: skip
# What says what the work is: nobody can work without.
NEEDED = frozenset({"item", "criteria", "objective", "acceptance", "limits", "focus", "change"})
LEAST, MOST = 200, 100_000


def require_part(name: str) -> str:
    """`name`, where it is a part of what agents are shown; `ValueError` otherwise."""
    if name not in BUDGETS:
        close = difflib.get_close_matches(name, BUDGETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the parts are {', '.join(BUDGETS)}"
        raise ValueError(f"unknown part {name!r}; {hint}")
    return name


def require_tokens(tokens: int) -> int:
    """`tokens`, where a part can be shown within them, or is left out; `ValueError` otherwise."""
    if tokens and not LEAST <= tokens <= MOST:
        raise ValueError(f"a part may have {LEAST} to {MOST} tokens, or 0 to be left out, not {tokens}")
    return tokens


def require_needed(budgets: dict[str, int]) -> dict[str, int]:
    """`budgets`, where they leave out nothing that says what the work is; `ValueError` otherwise."""
    if missing := [name for name, tokens in budgets.items() if name in NEEDED and not tokens]:
        raise ValueError(f"{', '.join(missing)}: says what the work is and cannot be left out")
    return budgets
