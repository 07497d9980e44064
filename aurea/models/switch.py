"""Sends each model call to the provider that it names, keeps its time, and lets what it says be heard meanwhile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.faults import Server, fault
from aurea.models.hearing import heard_by
from aurea.models.said import Said
from aurea.models.waiting import Waiting
from aurea.models.wires import LoadingWire, Wire
from aurea.models.wires.plain import storable
from aurea.ports import Clock, Ledger


class ProviderSwitch:
    """Sends each request to the provider it names, within the request's time; one client each, made when needed.

    An answer that comes piece by piece may take longer than `timeout_s` in all, but not so long between two pieces. The
    time that a model takes to be loaded is no part of a request's: it counts as waiting.
    """

    def __init__(
        self,
        make: Callable[[str], Wire],
        address: Callable[[str], str],
        *,
        run: str,
        ledger: Ledger,
        clock: Clock,
        waiting: Waiting,
    ) -> None:
        self._make = make
        self._address = address
        self._run = run
        self._ledger = ledger
        self._clock = clock
        self._waiting = waiting
        self._wires: dict[str, Wire] = {}
        self._making = asyncio.Lock()

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer of the named provider; a `timeout` fault when its time is over."""
        wire = await self._open(request.model.provider)
        if isinstance(wire, LoadingWire):
            await self._prepare(wire, request)
            async with self._heard(request, lambda: None):
                return storable(await wire.complete(request))
        limit = _Limit(request)
        try:
            async with limit.running, self._heard(request, limit.sign):
                return storable(await wire.complete(request))
        except TimeoutError as error:
            provider = request.model.provider
            server = Server(provider, request.model.name, self._address(provider))
            raise fault("timeout", server, limit.passed()) from error

    @asynccontextmanager
    async def _heard(self, request: ModelRequest, sign: Callable[[], None]) -> AsyncIterator[None]:
        said = Said(request, run=self._run, ledger=self._ledger, clock=self._clock, sign=sign)
        try:
            with heard_by(said):
                yield
        finally:
            await said.close()

    async def _prepare(self, wire: LoadingWire, request: ModelRequest) -> None:
        began = self._clock.monotonic()
        try:
            await wire.prepare(request)
        finally:
            self._waiting.add(request.address.key, self._clock.monotonic() - began)

    async def ready(self, provider: str) -> None:
        """Have the client of `provider` made."""
        await self._open(provider)

    async def _open(self, provider: str) -> Wire:
        if provider in self._wires:
            return self._wires[provider]
        async with self._making:
            if provider not in self._wires:
                # Importing a vendor's library takes seconds, which the other items should not wait for.
                self._wires[provider] = await asyncio.to_thread(self._make, provider)
        return self._wires[provider]

    async def close(self) -> None:
        """Close every client that was made."""
        wires, self._wires = list(self._wires.values()), {}
        for wire in wires:
            await wire.close()


class _Limit:
    """How long a call may still say nothing: `timeout_s` from its beginning or from its last sign, `remaining_s` in all."""

    def __init__(self, request: ModelRequest) -> None:
        self.running = asyncio.timeout(request.timeout_s)
        self._request = request
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + (math.inf if request.remaining_s is None else request.remaining_s)
        self._going = False

    def sign(self) -> None:
        """Something came."""
        self._going = True
        if not self.running.expired():
            self.running.reschedule(min(self._now() + self._request.timeout_s, self._end))

    def passed(self) -> str:
        """In words, which limit a call has reached."""
        if not self._going:
            return f"{self._request.timeout_s:g} s are over"
        if self._now() >= self._end:
            return f"{self._request.remaining_s:g} s are over"
        return f"it went silent for {self._request.timeout_s:g} s in the middle of its answer"
