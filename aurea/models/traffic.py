"""What is known of the traffic to one provider: who asks, how often, and for how long nobody should. No file, no clock."""

from __future__ import annotations

import json
import math
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aurea.domain.spec import ProviderLimits

WINDOW_S = 60.0
MARGIN = 0.05  # of the window: requests arrive a moment after they are let through, and not all equally late
LEASE_S = 900.0  # no call takes longer: what stands there beyond that was left by a crash
LONGEST_PAUSE_S = 300.0  # a server that asks for more is taken to be out for now
STORM = 5  # refusals in a row after which everybody pauses, and one call at a time asks how things stand
STORM_PAUSES = (1.0, 30.0)  # how long at first, and at most
GRAINS = 60  # entries in which many requests of a window are counted: what comes free is known to a sixtieth of it
FORGET_S = 900.0  # so long after a refusal it says nothing any more


class Call(NamedTuple):
    """A request under way: its process, when it was let through, and the tokens it takes at most."""

    process: int
    at: float
    tokens: int


class Past(NamedTuple):
    """Requests of the window that have ended: when the last of them was let through, how many, and their tokens."""

    at: float
    requests: int
    tokens: int


NONE = Past(-math.inf, 0, 0)


@dataclass
class Traffic:
    """The traffic to one provider at one address. Times are of one clock that all who share it have.

    `width` is how many calls may be under way, where the provider has refused some (None: as many as want to);
    `cut_at` when it was last made smaller; `quiet_until` before when nobody asks. `refusals` in a row began at
    `refused_since`, the last was at `refused_at`.
    """

    running: dict[str, Call] = field(default_factory=dict)
    past: list[Past] = field(default_factory=list)
    width: float | None = None
    cut_at: float = -math.inf
    quiet_until: float = -math.inf
    refusals: int = 0
    refused_since: float = -math.inf
    refused_at: float = -math.inf

    @classmethod
    def read(cls, text: str) -> Traffic:
        """What `write` wrote; nothing known where that cannot be read. What follows the first document is left over."""
        try:
            data, _ = json.JSONDecoder().raw_decode(text)
            data["running"] = {name: Call(*values) for name, values in data["running"].items()}
            data["past"] = [Past(*values) for values in data["past"]]
            return cls(**data)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def write(self) -> str:
        """Itself as one line of text."""
        return json.dumps(vars(self), separators=(",", ":")) + "\n"

    def tidy(self, now: float, window: float, alive: Callable[[int], bool]) -> None:
        """Forget what does not matter any more, and mend what another boot of the machine or a crash has left."""
        for name, call in list(self.running.items()):
            if call.at > now:
                self.running[name] = call._replace(at=now)
            if now - call.at > LEASE_S or not alive(call.process):
                self._end(name, None)
        self.past = _fewer(
            [past._replace(at=min(past.at, now)) for past in self.past if now < past.at + window], window
        )
        if self.quiet_until > now + LONGEST_PAUSE_S * 1.2 or self.refused_at > now or self.cut_at > now:
            self.quiet_until = self.refused_since = self.refused_at = self.cut_at = -math.inf
        if now - self.refused_at > FORGET_S:
            self.width, self.refusals = None, 0

    def wait(self, now: float, tokens: int, limits: ProviderLimits, window: float) -> float:
        """Seconds until a call of that many tokens may go, as far as can be told; 0: now; `inf`: when one has ended."""
        waits = [self.quiet_until - now, 0.0]
        widest = min(limits.concurrency or math.inf, math.inf if self.width is None else max(1.0, self.width))
        widest = 1 if self.refusals >= STORM else widest
        if len(self.running) + 1 > widest:
            waits.append(math.inf)
        if limits.requests_per_minute is not None or limits.tokens_per_minute is not None:
            waits += self._full(now, tokens, limits, window)
        return max(waits)

    def _full(self, now: float, tokens: int, limits: ProviderLimits, window: float) -> Iterator[float]:
        """For how long what the window has seen leaves no room."""
        running = [(call.at, 1, call.tokens, True) for call in self.running.values()]
        seen = sorted([*running, *((*past, False) for past in self.past)])
        inside = [entry for entry in seen if now < entry[0] + window]
        if limits.requests_per_minute is not None:
            many = sum(requests for _, requests, _, _ in inside) - limits.requests_per_minute
            for at, requests, _, _ in inside:
                if many < 0:
                    break
                many -= requests
                yield at + window - now
        if limits.tokens_per_minute is not None:
            room = limits.tokens_per_minute - sum(taken for _, _, taken, _ in inside)
            for at, _, taken, under_way in inside:
                if room >= min(tokens, limits.tokens_per_minute):  # one larger than the limit itself goes alone
                    break
                room += taken
                # One under way may turn out to take far less than it may.
                yield math.inf if under_way else at + window - now

    def enter(self, name: str, process: int, now: float, tokens: int) -> None:
        """The call `name` goes."""
        self.running[name] = Call(process, round(now, 3), tokens)

    def answered(self, name: str, tokens: int | None = None) -> None:
        """The call `name` was answered, with that many tokens; one more at once where there had been refusals."""
        self._end(name, tokens)
        self.refusals = 0
        if self.width is not None:
            self.width += 1.0 / max(1.0, self.width)

    def refused(self, name: str, now: float, retry_after: float | None, dice: float) -> None:
        """The call `name` was refused for lack of capacity. `dice` from 0 to 1 spreads those who come back."""
        entry = self._end(name, 0)
        if self.refusals == 0:
            self.refused_since = now
        self.refusals += 1
        self.refused_at = now
        # Once for all that were under way together, and not for the one that asks in a storm.
        if self.refusals <= STORM and (entry is None or entry.at > self.cut_at):
            running = 1 + len(self.running)
            self.width = max(1.0, min(running, self.width or math.inf) / 2)
            self.cut_at = now
        pause = self._pause() * (0.5 + dice)
        if retry_after is not None and retry_after <= LONGEST_PAUSE_S:
            pause = max(pause, retry_after * (1 + 0.1 * dice))
        self.quiet_until = max(self.quiet_until, now + pause)

    def withdrawn(self, name: str) -> None:
        """The call `name` was let through, and has sent nothing."""
        self.running.pop(name, None)

    def ended(self, name: str) -> None:
        """The call `name` ended in a way that says nothing about capacity."""
        self._end(name, None)

    def storm_s(self, now: float) -> float:
        """For how long there have been nothing but refusals."""
        return now - self.refused_since if self.refusals else 0.0

    def _pause(self) -> float:
        first, most = STORM_PAUSES
        return min(most, first * 2.0 ** min(self.refusals - STORM, 16)) if self.refusals >= STORM else 0.0

    def _end(self, name: str, tokens: int | None) -> Call | None:
        call = self.running.pop(name, None)
        if call is not None:
            insort(self.past, Past(call.at, 1, call.tokens if tokens is None else tokens))
        return call


def _fewer(past: list[Past], window: float) -> list[Past]:
    """The same requests in at most about `GRAINS` entries: those of one moment together, as late as the last of them."""
    if len(past) <= GRAINS:
        return past
    grains: dict[int, Past] = {}
    for one in past:
        moment = int(one.at * GRAINS / window)
        before = grains.get(moment, NONE)
        grains[moment] = Past(one.at, before.requests + one.requests, before.tokens + one.tokens)
    return list(grains.values())
