"""The fallback chain: another model goes on with a conversation while the role's own has no capacity or is down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aurea.domain import events as ev
from aurea.domain.messages import ModelRef, ModelReply, ModelRequest
from aurea.models.faults import Kind, ModelFault
from aurea.ports import Clock, Ledger, ModelClient

STICKY_S = 300.0  # so long a conversation stays with the model that took over, before its own is asked again
KINDS: frozenset[Kind] = frozenset({"rate_limit", "overloaded", "server", "connection", "timeout", "circuit_open"})


@dataclass(frozen=True)
class _Choice:
    model: ModelRef
    until: float


class FallbackClient:
    """Asks the role's model, then those that `chain` names for the role, until one answers.

    It stands outside the journal, so that each model is journalled, tried and paid for as itself. The last one is
    waited for as long as a role without a fallback waits. Nobody takes over where a person has to mend something.
    """

    def __init__(
        self, inner: ModelClient, *, ledger: Ledger, run: str, clock: Clock, chain: Callable[[str], Sequence[ModelRef]]
    ) -> None:
        self._inner = inner
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._chain = chain
        self._chosen: dict[tuple[str | None, int, str], _Choice] = {}

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The first answer of a model of the chain; the last one's fault where none answers."""
        models = self._models(request)
        for model, following in zip(models, [*models[1:], None], strict=True):
            asked = request.model_copy(update={"model": model, "patient": following is None})
            try:
                return await self._inner.complete(asked)
            except ModelFault as error:
                if following is None or error.kind not in KINDS or error.out_of_time:
                    raise
                await self._fall_back(asked, following, error.kind)
        raise AssertionError("a chain has at least one model")

    def _models(self, request: ModelRequest) -> list[ModelRef]:
        """The models to ask, in order: the one that took over lately first."""
        models = list({str(model): model for model in (request.model, *self._chain(request.address.role))}.values())
        chosen = self._chosen.get(request.address.key[:3])
        if chosen is not None and self._clock.monotonic() < chosen.until and chosen.model in models:
            at = models.index(chosen.model)
            return models[at:] + models[:at]
        return models

    async def _fall_back(self, request: ModelRequest, to: ModelRef, reason: Kind) -> None:
        at = request.address
        self._chosen[at.key[:3]] = _Choice(to, self._clock.monotonic() + STICKY_S)
        fact = ev.ModelFellBack(
            conversation=at.conversation, step=at.step, source=str(request.model), to=str(to), reason=reason
        )
        draft = ev.Draft(fact=fact, actor="agent", item=at.item, attempt=at.attempt)
        await self._ledger.record(self._run, [draft])
