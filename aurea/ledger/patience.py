"""How long a ledger that does not answer is waited for, how often it is tried again, and what is said meanwhile."""

from __future__ import annotations

import logging
import random
import threading
import time

from aurea.domain.errors import LedgerAway, Transient

READ_S = 10.0  # short, since a reader may be the event loop

_FIRST_S = 0.1
_LONGEST_S = 5.0

_log = logging.getLogger(__name__)


class Patience:
    """Waits between tries until the ledger answers again or, counted from the first failure, `limit_s` have passed.

    Who has been patient once is not so again: until `rewarded` is called, `wait` then returns at once. So it does when
    `hurry` is set. One that is `loud` says in the log when waiting begins and ends.
    """

    def __init__(self, limit_s: float, hurry: threading.Event, *, loud: bool = False) -> None:
        self._limit_s = limit_s
        self._hurry = hurry
        self._loud = loud
        self._since: float | None = None
        self._pause = _FIRST_S
        self._given_up = False

    @property
    def tried(self) -> bool:
        """Whether the last try failed."""
        return self._since is not None

    @property
    def given_up(self) -> bool:
        """Whether the ledger was waited for in vain, and has not answered since."""
        return self._given_up

    def wait(self, fault: Transient) -> bool:
        """Wait before the next try; False where there shall be none."""
        if self._since is None:
            self._since = time.monotonic()
            self._say("nothing goes on without the ledger; waiting up to %g s for it: %s", self._limit_s, fault.message)
        left = self._since + self._limit_s - time.monotonic()
        if left <= 0 or self._hurry.is_set():
            return False
        self._hurry.wait(min(left, self._pause * random.uniform(0.5, 1.5)))
        self._pause = min(2 * self._pause, _LONGEST_S)
        return not self._hurry.is_set()

    def rewarded(self) -> None:
        """The ledger answers."""
        if self._since is not None:
            self._say("the ledger answers again, after %.1f s", time.monotonic() - self._since)
            self._since, self._pause, self._given_up = None, _FIRST_S, False

    def lost(self, fault: Transient) -> LedgerAway:
        """What to tell those who waited in vain."""
        if not self._given_up:
            self._say("the ledger stayed away and is given up; when it is back, `aurea resume` goes on")
        self._given_up = True
        remedy = "then `aurea resume RUN` goes on"
        return LedgerAway(
            f"the ledger has been away for longer than is waited ({self._limit_s:g} s): {fault.message}",
            remedy=f"{fault.remedy}; {remedy}" if fault.remedy else remedy,
        )

    def _say(self, message: str, *values: object) -> None:
        _log.log(logging.WARNING if self._loud else logging.DEBUG, message, *values)
