"""The circuit breaker: a provider that fails again and again is left alone for a minute, then tried by one call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from aurea.domain import events as ev
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.state import Place
from aurea.models.faults import Kind, ModelFault, Server, fault
from aurea.models.waiting import Waiting
from aurea.ports import Clock, Ledger, ModelClient

FAILURES = 5
OPEN_S = 60.0
LOOK_S = 0.5  # how often a call that waits for the end of a trial looks again
SHORT_S = 10.0  # a call that had less time than this and timed out says nothing about the service
COUNTED: frozenset[Kind] = frozenset({"server", "overloaded", "connection", "timeout"})
SILENT: frozenset[Kind] = frozenset({"rate_limit", "malformed"})  # an answer, but none that shows that it works

State = Literal["closed", "open", "half_open"]
Outcome = Literal["worked", "failed", "silent"]


@dataclass
class Circuit:
    """The breaker of one provider at one address: what happened there, and who may ask it now. Times are the caller's.

    Closed lets everybody through. `FAILURES` in a row open it: nobody may ask until `OPEN_S` are over. Then it is half
    open: one call is the trial, whose end closes it or opens it again.
    """

    state: State = "closed"
    failures: int = 0
    _until: float = 0.0
    _trial: object | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def enter(self, call: object, now: float) -> float:
        """0 where `call` may ask now, else the seconds after which to look again."""
        with self._lock:
            if self.state == "closed":
                return 0.0
            if self.state == "open" and now < self._until:
                return self._until - now
            if self._trial is not None:
                return LOOK_S
            self.state, self._trial = "half_open", call
            return 0.0

    def passes(self, call: object) -> bool:
        """Whether `call`, which had entered, may still ask."""
        return self.state == "closed" or self._trial is call

    def leave(self, call: object, now: float, outcome: Outcome) -> None:
        """How `call`, which had entered, ended. `silent` counts as nothing; the trial's answer closes all the same."""
        with self._lock:
            trial = self._trial is call
            if trial:
                self._trial = None
            if self.state != "closed" and not trial:
                return  # it was under way when the breaker opened: the trial decides
            if outcome == "failed":
                self.failures += 1
                if trial or self.failures >= FAILURES:
                    self.state, self._until = "open", now + OPEN_S
            elif outcome == "worked" or trial:
                self.state, self.failures = "closed", 0

    def abandon(self, call: object) -> None:
        """`call` was cut off, and so says nothing: the next one may be the trial."""
        with self._lock:
            if self._trial is call:
                self._trial = None


class Circuits:
    """The breakers of one process, by provider and address, for all its runs, on whichever event loops they are."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Circuit] = {}

    def of(self, provider: str, address: str) -> Circuit:
        """The breaker of that provider at that address."""
        return self._known.setdefault((provider, address), Circuit())


class BreakerClient:
    """Lets calls through as their provider's breaker says; the others wait, or fail at once where another model stands by.

    Waiting is no try and not the call's own time. Each change that the run sees is an event of it. `address` names the
    server of a provider; None: there is none that could fail. `between` are layers in which a call may wait for long:
    behind them it comes back where the breaker has opened meanwhile.
    """

    def __init__(
        self,
        inner: ModelClient,
        *,
        ledger: Ledger,
        run: str,
        clock: Clock,
        waiting: Waiting,
        circuits: Circuits,
        address: Callable[[str], str | None],
        between: Callable[[ModelClient], ModelClient] = lambda client: client,
    ) -> None:
        self._inner = between(_Again(inner, self._look))
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._waiting = waiting
        self._circuits = circuits
        self._address = address
        self._seen: dict[str, State] = {}
        self._through: dict[Place, tuple[Circuit, object]] = {}

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers, once it may be asked; `circuit_open` for a request that is not patient."""
        provider = request.model.provider
        address = self._address(provider)
        if address is None:
            return await self._inner.complete(request)
        circuit, call = self._circuits.of(provider, address), object()
        self._through[request.address.key] = (circuit, call)
        try:
            while True:
                await self._enter(circuit, call, request, address)
                try:
                    return await self._ask(circuit, call, request)
                except _OpenedMeanwhile:
                    pass
        finally:
            del self._through[request.address.key]

    async def _ask(self, circuit: Circuit, call: object, request: ModelRequest) -> ModelReply:
        provider = request.model.provider
        try:
            await self._tell(provider, circuit)
            reply = await self._inner.complete(request)
        except ModelFault as error:
            if error.kind == "timeout" and request.timeout_s < SHORT_S:
                circuit.abandon(call)
                raise
            circuit.leave(call, self._clock.monotonic(), _outcome(error.kind))
            await self._tell(provider, circuit)
            raise
        except BaseException:
            circuit.abandon(call)
            raise
        circuit.leave(call, self._clock.monotonic(), "worked")
        await self._tell(provider, circuit)
        return reply

    async def _enter(self, circuit: Circuit, call: object, request: ModelRequest, address: str) -> None:
        while (wait := circuit.enter(call, self._clock.monotonic())) > 0:
            await self._tell(request.model.provider, circuit)
            if not request.patient:
                server = Server(request.model.provider, request.model.name, address)
                raise fault("circuit_open", server, f"{circuit.failures} failures in a row", retry_after=wait)
            await self._waiting.tell(request, "breaker", wait)
            began = self._clock.monotonic()
            await self._clock.sleep(wait)
            self._waiting.add(request.address.key, self._clock.monotonic() - began)

    def _look(self, request: ModelRequest) -> None:
        """`_OpenedMeanwhile` where the call may not ask any more."""
        circuit, call = self._through.get(request.address.key, (None, None))
        if circuit is not None and not circuit.passes(call):
            raise _OpenedMeanwhile

    async def _tell(self, provider: str, circuit: Circuit) -> None:
        state = circuit.state
        if self._seen.get(provider, "closed") != state:
            self._seen[provider] = state
            changed = ev.BreakerChanged(provider=provider, state=state, failures=circuit.failures)
            await self._ledger.record(self._run, [ev.Draft(fact=changed)])


class _OpenedMeanwhile(Exception):
    """The breaker opened while a call that it had let through was waiting in another layer."""


class _Again:
    """The layer behind those in which a call may wait: looks at the breaker again."""

    def __init__(self, inner: ModelClient, look: Callable[[ModelRequest], None]) -> None:
        self._inner = inner
        self._look = look

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers where the call may still ask."""
        self._look(request)
        return await self._inner.complete(request)


def _outcome(kind: Kind) -> Outcome:
    return "failed" if kind in COUNTED else "silent" if kind in SILENT else "worked"
