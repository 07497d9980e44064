"""The journal: every model call is in the ledger before and after, and an answered one is never made again."""

from __future__ import annotations

from aurea.domain import events as ev
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.ledger.chain import digest
from aurea.models.fingerprint import fingerprint
from aurea.models.prices import Prices
from aurea.models.waiting import Waiting
from aurea.ports import Clock, Ledger, ModelClient


class JournalClient:
    """Answers from the ledger what was answered before; records what is asked and answered now.

    A call's identity is its place in the run. One that was asked and not answered before a crash is asked again.
    """

    def __init__(
        self, inner: ModelClient, *, ledger: Ledger, run: str, prices: Prices, clock: Clock, waiting: Waiting
    ) -> None:
        self._inner = inner
        self._ledger = ledger
        self._run = run
        self._prices = prices
        self._clock = clock
        self._waiting = waiting

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The stored answer of this place, or a new one that is durable before it is returned."""
        at = request.address
        stored = self._ledger.state(self._run).journal.get(at.key)
        if stored is not None:
            return ModelReply.model_validate_json(self._ledger.body(stored))
        asked = ev.ModelAsked(
            conversation=at.conversation,
            role=at.role,
            step=at.step,
            provider=request.model.provider,
            model=request.model.name,
            fingerprint=fingerprint(request),
        )
        await self._record(request, asked)
        began = self._clock.monotonic()
        try:
            reply = await self._inner.complete(request)
        finally:
            waited = self._waiting.take(at.key)
        seconds = max(0.0, self._clock.monotonic() - began - waited)
        body = reply.model_dump_json()
        usd = 0.0 if reply.cached else self._prices.cost(request.model, reply.usage)
        answered = ev.ModelAnswered(
            conversation=at.conversation,
            role=at.role,
            step=at.step,
            provider=request.model.provider,
            model=reply.model or request.model.name,
            body=digest(body),
            usage=reply.usage,
            usd=usd or 0.0,
            priced=usd is not None,
            seconds=round(seconds, 6),
            finish=reply.finish,
            tools=tuple(call.name for call in reply.calls),
            cached=reply.cached,
        )
        await self._record(request, answered, {answered.body: body})
        return reply

    async def _record(self, request: ModelRequest, fact: ev.AnyFact, bodies: dict[str, str] | None = None) -> None:
        at = request.address
        draft = ev.Draft(fact=fact, actor="agent", item=at.item, attempt=at.attempt)
        await self._ledger.record(self._run, [draft], bodies)
