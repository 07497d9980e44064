"""What the calls of this process hold back and wait for, and whether one more fits under the caps on money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aurea.domain.caps import Cap
from aurea.domain.errors import BudgetReached
from aurea.domain.state import Place, RunState

Passed = tuple[Cap, float]


@dataclass(frozen=True)
class Claim:
    """What one call may cost at most, and everything that it is paid from. `over`: the caps that it may pass."""

    place: Place
    usd: float
    role: str
    caps: tuple[Cap, ...]
    last: bool = False
    over: tuple[Passed, ...] = ()


class Purse:
    """The claims of one run, first come, first served: one that waits keeps its money from those after it.

    `spent_elsewhere` and `held_elsewhere` are what other runs count against a cap; both are read anew at each look.
    """

    def __init__(self) -> None:
        self.held: dict[Place, Claim] = {}
        self.waiting: dict[Place, Claim] = {}
        self.spent_elsewhere: dict[Cap, float] = {}
        self.held_elsewhere: dict[Cap, float] = {}

    def fit(self, claim: Claim, state: RunState, limits: Mapping[Cap, float]) -> Claim | None:
        """The claim as it may be held now; None where it has to wait for others to settle.

        `BudgetReached` where it can never fit: what is spent leaves no room for it. A last call may pass caps that no
        other has passed at this limit.
        """
        over: list[Passed] = []
        waits = False
        for cap, limit in limits.items():
            spent = self.spent(cap, state)
            if spent + claim.usd > limit:
                if not (claim.last and self._may_pass(cap, limit, state)):
                    raise _reached(cap, limit, spent, claim)
                over.append((cap, limit))
            elif spent + self._held(cap) + self._ahead(cap, claim) + claim.usd > limit:
                waits = True
        if waits:
            return None
        return replace(claim, over=tuple(over))

    def spent(self, cap: Cap, state: RunState) -> float:
        """What counts against a cap for good."""
        own = state.spent_usd if cap.scope == "run" else state.spent_on.get(cap, 0.0)
        return own + self.spent_elsewhere.get(cap, 0.0)

    def _held(self, cap: Cap) -> float:
        own = sum(claim.usd for claim in self.held.values() if cap in claim.caps)
        return own + self.held_elsewhere.get(cap, 0.0)

    def _ahead(self, cap: Cap, claim: Claim) -> float:
        """What those who came before and still wait want of it."""
        wanted = 0.0
        for place, other in self.waiting.items():
            if place == claim.place:
                break
            wanted += other.usd if cap in other.caps else 0.0
        return wanted

    def _may_pass(self, cap: Cap, limit: float, state: RunState) -> bool:
        """Whether nobody has passed this limit yet. A day's is everybody's, and is passed by none."""
        taken = (cap, limit) in state.passed or any((cap, limit) in claim.over for claim in self.held.values())
        return cap.scope != "day" and limit > 0 and not taken


def _reached(cap: Cap, limit: float, spent: float, claim: Claim) -> BudgetReached:
    """The fault of a call that does not fit under a cap."""
    return BudgetReached(
        f"{cap} is used up: {spent:.4f} of {limit:g} USD are spent, and the next model call may cost {claim.usd:.4f}",
        limit_usd=limit,
        needed_usd=claim.usd,
        cap=cap,
        role=claim.role,
    )
