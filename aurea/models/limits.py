"""Limits per provider over all runs of the machine: requests and tokens a minute, calls at once, and pauses it asks for."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import math
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import uuid4

from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.spec import ProviderLimits
from aurea.domain.state import Place
from aurea.ledger.files import explained
from aurea.models.faults import ModelFault
from aurea.models.prices import estimate_tokens, output_limit
from aurea.models.traffic import MARGIN, WINDOW_S, Traffic
from aurea.models.waiting import Waiting
from aurea.ports import Clock, ModelClient

T = TypeVar("T")

SOON_S, LATE_S = 0.02, 0.25  # how often a call that waits for the end of another one looks
LOCK_S = 0.02  # others hold the lock for less than a millisecond
REFUSALS = ("rate_limit", "overloaded")
NO_LIMITS = ProviderLimits()


class Shared:
    """The traffic to one provider at one address, in a file that all processes of the machine change in turn.

    Without a `path` it is this process's own. Times are those of the machine's monotonic clock, which all share.
    """

    def __init__(self, path: Path | None, window: float) -> None:
        self.path = path
        self._window = window
        self._own = Traffic()

    def change(self, now: float, act: Callable[[Traffic, float], T]) -> T | None:
        """What `act` makes of the traffic now, which it may change; None where somebody held the file too long."""
        if self.path is None:
            self._own.tidy(now, self._window, _alive)
            return act(self._own, now)
        handle = _opened(self.path)
        try:
            if not _locked(handle):
                return None
            before = os.read(handle, os.fstat(handle).st_size)
            traffic = Traffic.read(before.decode("utf-8", "replace"))
            traffic.tidy(now, self._window, _alive)
            result = act(traffic, now)
            text = traffic.write().encode()
            if text != before:
                os.pwrite(handle, text, 0)  # what is left of a longer text is not read, should we die here
                os.ftruncate(handle, len(text))
            return result
        finally:
            os.close(handle)


class _Turn(NamedTuple):
    shared: Shared
    name: str
    at: float


class Fresh:
    """The layer right around a provider: `renew` sees to it that no request goes out long after it was let through."""

    def __init__(self, inner: ModelClient, renew: Callable[[ModelRequest], Awaitable[None]]) -> None:
        self._inner = inner
        self._renew = renew

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers."""
        await self._renew(request)
        return await self._inner.complete(request)


class LimitsClient:
    """Lets a call through when the traffic to its provider allows it; first come, first served within a run.

    Waiting is not the call's own time. `folder` holds the files that the runs of the machine share; None: nothing is
    shared. `address` names the server of a provider; None: there is none to be careful with. `ready` prepares the
    client of a provider, which should not take time once a call is let through.
    """

    def __init__(
        self,
        inner: ModelClient,
        *,
        clock: Clock,
        waiting: Waiting,
        limits: Mapping[str, ProviderLimits],
        address: Callable[[str], str | None],
        folder: Path | None = None,
        ready: Callable[[str], Awaitable[None]] | None = None,
        window_s: float = WINDOW_S,
        margin_s: float | None = None,
        dice: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._waiting = waiting
        self._limits = limits
        self._address = address
        self._folder = folder
        self._ready = ready
        self._margin = window_s * MARGIN if margin_s is None else margin_s
        self._window = window_s + self._margin
        self._dice = dice or random.Random()
        self._shared: dict[str, Shared] = {}
        self._lines: dict[str, asyncio.Lock] = {}
        self._going: dict[Place, _Turn] = {}

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers when it is this call's turn."""
        provider = request.model.provider
        address = self._address(provider)
        if address is None:
            return await self._inner.complete(request)
        if self._ready is not None:
            await self._ready(provider)
        shared, name = self._traffic(provider, address), uuid4().hex[:12]
        try:
            await self._enter(shared, name, request)
            reply = await self._inner.complete(request)
        except ModelFault as error:
            await self._leave(shared, self._refusal(name, error))
            raise
        except BaseException:
            with suppress(OSError):
                shared.change(self._clock.monotonic(), lambda traffic, _: traffic.ended(name))
            raise
        finally:
            self._going.pop(request.address.key, None)
        used = reply.usage.input_tokens + reply.usage.output_tokens
        await self._leave(shared, lambda traffic, _: traffic.answered(name, used))
        return reply

    async def renew(self, request: ModelRequest) -> None:
        """Just before the request goes out: where that took longer than the margin since it was let through, wait again."""
        turn = self._going.get(request.address.key)
        if turn is not None and self._clock.monotonic() - turn.at > self._margin:
            await self._leave(turn.shared, lambda traffic, _: traffic.withdrawn(turn.name))
            await self._enter(turn.shared, turn.name, request)

    def storm_s(self, provider: str) -> float:
        """For how many seconds the provider has answered everybody with nothing but refusals."""
        address = self._address(provider)
        if address is None:
            return 0.0
        with suppress(OSError):
            return self._traffic(provider, address).change(self._clock.monotonic(), Traffic.storm_s) or 0.0
        return 0.0

    def _traffic(self, provider: str, address: str) -> Shared:
        if provider not in self._shared:
            mark = hashlib.sha256(address.encode()).hexdigest()[:12]
            path = self._folder / f"{re.sub(r'[^a-z0-9]', '-', provider)}-{mark}.json" if self._folder else None
            self._shared[provider] = Shared(path, self._window)
        return self._shared[provider]

    async def _enter(self, shared: Shared, name: str, request: ModelRequest) -> None:
        began = self._clock.monotonic()
        async with self._lines.setdefault(request.model.provider, asyncio.Lock()):
            await self._wait(shared, name, request)
        now = self._clock.monotonic()
        self._going[request.address.key] = _Turn(shared, name, now)
        self._waiting.add(request.address.key, now - began)

    async def _wait(self, shared: Shared, name: str, request: ModelRequest) -> None:
        limits = self._limits.get(request.model.provider, NO_LIMITS)
        tokens = estimate_tokens(request.messages, request.tools) + output_limit(request)
        look, began = SOON_S, self._clock.monotonic()

        def admit(traffic: Traffic, now: float) -> float:
            wait = traffic.wait(now, tokens, limits, self._window)
            if wait == 0.0:
                traffic.enter(name, os.getpid(), now, tokens)
            return wait

        while True:
            try:
                wait = shared.change(self._clock.monotonic(), admit)
            except OSError as fault:
                raise explained(fault, shared.path or Path()) from fault
            if wait == 0.0:
                return
            if wait is None or math.isinf(wait):
                wait, look = look, min(look * 1.5, LATE_S)
                await self._waiting.tell(request, "busy", self._clock.monotonic() - began)
            else:
                await self._waiting.tell(request, "limits", wait)
            await self._clock.sleep(wait)

    def _refusal(self, name: str, error: ModelFault) -> Callable[[Traffic, float], None]:
        if error.kind not in REFUSALS:
            return lambda traffic, _: traffic.ended(name)
        retry_after = getattr(error, "retry_after", None)
        return lambda traffic, now: traffic.refused(name, now, retry_after, self._dice.random())

    async def _leave(self, shared: Shared, act: Callable[[Traffic, float], None]) -> None:
        def done(traffic: Traffic, now: float) -> bool:
            act(traffic, now)
            return True

        with suppress(OSError):  # what was answered is not lost for a full disk
            while not shared.change(self._clock.monotonic(), done):
                await self._clock.sleep(SOON_S)


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)


def _locked(handle: int) -> bool:
    until = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.0005)
        else:
            return True


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
