"""Tries a model call again where that can help: exponential backoff with jitter, or the wait that the server asks."""

from __future__ import annotations

import random
from collections.abc import Callable

from aurea.domain import events as ev
from aurea.domain.errors import Transient
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.faults import ModelFault
from aurea.models.waiting import Waiting, Why
from aurea.ports import Clock, Ledger, ModelClient

TRIES = 3
BACKOFF_S = 1.0  # before the second try; doubles with each further one
LONGEST_BACKOFF_S = 30.0
LONGEST_REFUSED_S = 5.0  # where the limits of the provider make everybody pause, and longer, when it goes on refusing
LONGEST_WAIT_S = 300.0  # a server that asks for more is taken to be out for now
LONGEST_WAIT_BESIDE_S = 30.0  # where another model stands by
STORM_S = 900.0  # so long a provider may answer nothing but refusals before they cost tries
LEAST_S = 1.0  # own time that another try needs
REFUSALS = ("rate_limit", "overloaded")


class RetryClient:
    """Makes a call up to `tries` times as long as it fails transiently; every failed request is in the ledger.

    A refusal for lack of capacity costs no try as long as `storm_s`, the seconds for which the provider has answered
    everybody with nothing else, is below `STORM_S`: of fifty calls that were refused together none has to fail. Where
    another model stands by it does cost one. Tries get the own time that the ones before have left.
    """

    def __init__(
        self,
        inner: ModelClient,
        *,
        ledger: Ledger,
        run: str,
        clock: Clock,
        waiting: Waiting,
        tries: int = TRIES,
        storm_s: Callable[[str], float] = lambda _: STORM_S,
        dice: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._waiting = waiting
        self._tries = tries
        self._storm_s = storm_s
        self._dice = dice or random.Random()

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The first answer; the last try's error where none came."""
        number = tries = 1
        left = request.remaining_s
        while True:
            began, waited = self._clock.monotonic(), self._waiting.of(request.address.key)
            try:
                return await self._inner.complete(request.model_copy(update={"try_number": number}))
            except ModelFault as error:
                if not error.sent:
                    raise
                await self._record(request, number, error)
                free = self._is_free(request, error)
                wait = self._wait(request, number if free else tries, error, free=free)
                if left is not None:
                    waited = self._waiting.of(request.address.key) - waited
                    left -= max(0.0, self._clock.monotonic() - began - waited)
                    error.out_of_time = isinstance(error, Transient) and left < LEAST_S
                if wait is None or error.out_of_time:
                    raise
                why: Why = "backoff" if getattr(error, "retry_after", None) is None else "retry_after"
            await self._waiting.tell(request, why, wait)
            await self._clock.sleep(wait)
            self._waiting.add(request.address.key, wait)
            number, tries = number + 1, tries + (not free)
            if left is not None:
                request = request.model_copy(update={"timeout_s": min(request.timeout_s, left), "remaining_s": left})

    def _is_free(self, request: ModelRequest, error: ModelFault) -> bool:
        """Whether a failure costs no try: the provider is there, and has no room for us just now."""
        return request.patient and error.kind in REFUSALS and self._storm_s(request.model.provider) < STORM_S

    def _wait(self, request: ModelRequest, number: int, error: ModelFault, *, free: bool) -> float | None:
        """Seconds until the next try, or None where there is none."""
        if not isinstance(error, Transient) or (number >= self._tries and not free):
            return None
        if error.retry_after is not None:
            # A little later than asked, and not all at once: the calls that wait were refused together.
            wait = error.retry_after + self._dice.uniform(0, 0.1 * error.retry_after)
            longest = LONGEST_WAIT_S if request.patient else LONGEST_WAIT_BESIDE_S
            return wait if error.retry_after <= longest else None
        longest = LONGEST_REFUSED_S if free else LONGEST_BACKOFF_S
        return min(longest, BACKOFF_S * 2.0 ** min(number - 1, 16)) * self._dice.uniform(0.5, 1.5)

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
            provider=request.model.provider,
            model=request.model.name,
        )
        await self._ledger.record(self._run, [ev.Draft(fact=fact, actor="agent", item=at.item, attempt=at.attempt)])
