"""Puts the layers around the providers of a run together, and says in which order they stand.

fallback -> journal -> cache -> retry -> budget -> breaker -> limits -> booking -> provider: see ARCHITECTURE.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aurea.domain.caps import Cap
from aurea.domain.messages import ModelRequest
from aurea.domain.spec import Spec
from aurea.models.breaker import BreakerClient, Circuits
from aurea.models.budget import BudgetClient
from aurea.models.cache import CacheClient
from aurea.models.fallback import FallbackClient
from aurea.models.journal import JournalClient
from aurea.models.limits import Fresh, LimitsClient
from aurea.models.prices import Prices
from aurea.models.providers import fallbacks
from aurea.models.retry import RetryClient
from aurea.models.waiting import Waiting
from aurea.ports import Clock, Ledger, ModelClient


@dataclass(frozen=True)
class Around:
    """What runs share: `circuits` those of this process, `state` (a folder) those of this machine's user.

    `state` None: nothing is shared between processes, and no answer is kept.
    """

    circuits: Circuits = field(default_factory=Circuits)
    state: Path | None = None

    @property
    def limits(self) -> Path | None:
        """Where the traffic to providers is kept."""
        return self.state / "limits" if self.state else None

    @property
    def cache(self) -> Path | None:
        """Where answers are kept across runs."""
        return cache_folder(self.state) if self.state else None


def cache_folder(state: Path) -> Path:
    """Where a home keeps answers across runs."""
    return state / "cache" / "models"


@dataclass(frozen=True)
class Desk:
    """What every layer of a run works with. `address` names the server of a provider; None: it has none."""

    run: str
    ledger: Ledger
    clock: Clock
    waiting: Waiting
    prices: Prices
    spec: Spec
    address: Callable[[str], str | None]


def layered(
    provider: ModelClient,
    desk: Desk,
    around: Around,
    *,
    limit: Callable[[Cap], float | None],
    ready: Callable[[str], Awaitable[None]],
) -> tuple[ModelClient, BudgetClient]:
    """The client of a run around `provider`, and its budget, which wants to be closed."""
    run, ledger, clock, waiting = desk.run, desk.ledger, desk.clock, desk.waiting
    made: list[LimitsClient] = []

    def limited(inner: ModelClient) -> ModelClient:
        limits = LimitsClient(
            inner,
            clock=clock,
            waiting=waiting,
            limits=desk.spec.limits,
            address=desk.address,
            folder=around.limits,
            ready=ready,
        )
        made.append(limits)
        return limits

    def guarded(inner: ModelClient) -> ModelClient:
        return BreakerClient(
            inner,
            ledger=ledger,
            run=run,
            clock=clock,
            waiting=waiting,
            circuits=around.circuits,
            address=desk.address,
            between=limited,
        )

    async def renew(request: ModelRequest) -> None:
        await made[0].renew(request)

    budget = BudgetClient(
        Fresh(provider, renew),
        ledger=ledger,
        run=run,
        prices=desk.prices,
        clock=clock,
        waiting=waiting,
        limit=limit,
        between=guarded,
    )
    client: ModelClient = RetryClient(
        budget, ledger=ledger, run=run, clock=clock, waiting=waiting, storm_s=made[0].storm_s
    )
    if desk.spec.cache and around.cache is not None:
        client = CacheClient(client, folder=around.cache, address=desk.address)
    client = JournalClient(client, ledger=ledger, run=run, prices=desk.prices, clock=clock, waiting=waiting)
    named = desk.spec.provider or "openai"
    return (
        FallbackClient(
            client, ledger=ledger, run=run, clock=clock, chain=lambda role: fallbacks(desk.spec, role, provider=named)
        ),
        budget,
    )
