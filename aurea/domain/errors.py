"""The error family of Aurea: what was attempted, why it failed, what the user can do, whether a retry can help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aurea.domain.caps import Cap


class AureaError(Exception):
    """Something Aurea knows how to explain.

    `message` says what was attempted and what went wrong; `remedy` says what the reader can do about it. `located`: the
    message begins with its place, as FILE:LINE:COLUMN, which editors and scripts want at the start of the line.
    """

    exit_code = 1
    located = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class Transient(AureaError):
    """Worth the same try again, after `retry_after` seconds where the other side named a time."""

    def __init__(self, message: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class Permanent(AureaError):
    """The same try again would fail the same way."""


class UsageError(Permanent):
    """The command or the spec cannot be used as it stands; nothing was written."""

    exit_code = 2


class NotAvailableYet(UsageError):
    """A part of the contract that this version does not build."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: not available yet")


class Blocked(Permanent):
    """Nobody's change is at fault: a key, a quota, a model, a disk or a program is missing. Spends no attempt."""


class LedgerAway(Blocked):
    """The database of the ledger stayed away for longer than it is waited for; the run goes on with `aurea resume`."""

    exit_code = 5


class SetupFailed(Blocked):
    """A command of `setup` failed on a tree; `said` is the end of what it printed."""

    def __init__(self, message: str, *, remedy: str = "", said: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.said = said


class BudgetReached(Permanent):
    """The next model call, of `role`, does not fit under `cap` (None: the run's): its limit, and what the call may cost."""

    def __init__(
        self, message: str, *, limit_usd: float, needed_usd: float, cap: Cap | None = None, role: str = ""
    ) -> None:
        key = "budget_usd" if cap is None else cap.key
        change = "--budget USD" if key == "budget_usd" else f"--set {key}=USD"
        super().__init__(message, remedy=f"raise it with `aurea resume RUN {change}`")
        self.limit_usd = limit_usd
        self.needed_usd = needed_usd
        self.cap = cap
        self.role = role


class IllegalMove(Permanent):
    """A work item was to be moved against the transition table; nothing was stored."""


class PlanRefused(Permanent):
    """A plan breaks a rule; `reasons` lists every one."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("the plan was refused: " + "; ".join(reasons))
        self.reasons = reasons


class WorkspaceLost(Permanent):
    """The files of an attempt are gone or damaged; the attempt ends, and is spent where its own agent did that."""


class ToolRefused(Permanent):
    """An agent's tool call is not allowed; the model is told why."""


class ToolFailed(Permanent):
    """An agent's tool call was allowed and went wrong; the model is told how."""


class SearchFailed(ToolFailed):
    """The web could not be searched; `kind` says what kept the engine from answering."""

    def __init__(
        self, kind: Literal["network", "timeout", "rate_limit", "key", "quota", "server", "answer"], message: str
    ) -> None:
        super().__init__(message, remedy="go on with what you know, or try once more later")
        self.kind = kind


class RunBusy(UsageError):
    """Another process is working on this run."""


class RunCancelled(Permanent):
    """A person ended the run."""

    exit_code = 4
