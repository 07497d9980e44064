"""The caps on money: of a run, of one of its items, of one of its roles, and of a day of the whole ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from aurea.domain.messages import Value
from aurea.domain.spec import Spec


class Cap(Value):
    """What a limit is set on. `name` is the item, the role, or the day (UTC, as 2026-11-21); empty for the run."""

    scope: Literal["run", "item", "role", "day"]
    name: str = ""

    def __str__(self) -> str:
        words = {
            "run": "the budget of the run",
            "item": f"the budget of item {self.name}",
            "role": f"the budget of role {self.name}",
            "day": f"the budget of the day {self.name} (UTC)",
        }
        return words[self.scope]

    @property
    def key(self) -> str:
        """Where in a spec its limit stands, as `--set` names it."""
        keys = {
            "run": "budget_usd",
            "item": f"budgets.items.{self.name}",
            "role": f"budgets.roles.{self.name}",
            "day": "budgets.day_usd",
        }
        return keys[self.scope]


RUN = Cap(scope="run")


def today(now: datetime) -> str:
    """The day, in UTC, as caps name it."""
    return now.astimezone(UTC).date().isoformat()


def caps_of(item: str | None, role: str, day: str) -> tuple[Cap, ...]:
    """Everything that a call of `role` for `item` is paid from."""
    caps = [RUN, Cap(scope="day", name=day)]
    if item is not None:
        caps.append(Cap(scope="item", name=item))
    if role:
        caps.append(Cap(scope="role", name=role))
    return tuple(caps)


def limit_of(spec: Spec, cap: Cap) -> float | None:
    """The limit that `spec` sets on `cap`; None: there is none."""
    budgets = spec.budgets
    limits = {
        "run": spec.budget_usd,
        "item": budgets.items.get(cap.name, budgets.item_usd),
        "role": budgets.roles.get(cap.name, "none"),
        "day": budgets.day_usd,
    }
    limit = limits[cap.scope]
    return None if limit == "none" else float(limit)


def raised(spec: Spec, cap: Cap, usd: float) -> Spec:
    """`spec` with the limit of `cap`, and no other, at `usd`."""
    budgets = spec.budgets
    match cap.scope:
        case "run":
            return spec.model_copy(update={"budget_usd": usd})
        case "item":
            changed = budgets.model_copy(update={"items": {**budgets.items, cap.name: usd}})
        case "role":
            changed = budgets.model_copy(update={"roles": {**budgets.roles, cap.name: usd}})
        case "day":
            changed = budgets.model_copy(update={"day_usd": usd})
    return spec.model_copy(update={"budgets": changed})
