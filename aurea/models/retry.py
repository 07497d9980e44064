"""Tries a model call again where that can help: exponential backoff with jitter, or the wait that the server asks."""

from __future__ import annotations

import random

from aurea.domain import events as ev
from aurea.domain.errors import Transient
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.faults import ModelFault
from aurea.models.waiting import Waiting
from aurea.ports import Clock, Ledger, ModelClient

TRIES = 3
BACKOFF_S = 1.0  # before the second try; doubles with each further one
LONGEST_WAIT_S = 300.0  # a server that asks for more is taken to be out for now


class RetryClient:
    """Makes a call up to `tries` times as long as it fails transiently; every failed try is in the ledger."""

    def __init__(
        self,
        inner: ModelClient,
        *,
        ledger: Ledger,
        run: str,
        clock: Clock,
        waiting: Waiting,
        tries: int = TRIES,
        dice: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._waiting = waiting
        self._tries = tries
        self._dice = dice or random.Random()

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The first answer; the last try's error where none came."""
        number = 1
        while True:
            try:
                return await self._inner.complete(request.model_copy(update={"try_number": number}))
            except ModelFault as error:
                await self._record(request, number, error)
                wait = self._wait(number, error)
                if wait is None:
                    raise
            await self._clock.sleep(wait)
            self._waiting.add(request.address.key, wait)
            number += 1

    def _wait(self, number: int, error: ModelFault) -> float | None:
        """Seconds until the next try, or None where there is none."""
        if not isinstance(error, Transient) or number >= self._tries:
            return None
        if error.retry_after is not None:
            # A little later than asked, and not all at once: the calls that wait were refused together.
            wait = error.retry_after + self._dice.uniform(0, 0.1 * error.retry_after)
            return wait if error.retry_after <= LONGEST_WAIT_S else None
        return BACKOFF_S * 2.0 ** (number - 1) * self._dice.uniform(0.5, 1.5)

    async def _record(self, request: ModelRequest, number: int, error: ModelFault) -> None:
        at = request.address
        fact = ev.ModelFailed(
            conversation=at.conversation,
            step=at.step,
            attempt=number,
            kind=error.kind,
            message=error.message,
            retryable=isinstance(error, Transient),
            retry_after=error.retry_after if isinstance(error, Transient) else None,
        )
        await self._ledger.record(self._run, [ev.Draft(fact=fact, actor="agent", item=at.item, attempt=at.attempt)])
