"""Commands with their whole process tree in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True)
class CommandLine:
    """A command to run: words, folder, the whole environment, limits in seconds, and where all its output is kept.

    `folder` must exist. `log` gets head and tail of the output (bounded), `None`: it is only returned.
    """

    argv: tuple[str, ...]
    folder: Path
    env: Mapping[str, str]
    timeout_s: float
    silence_s: float
    log: Path | None = None
    stdin: bytes | None = None


@dataclass(frozen=True)
class CommandResult:
    """How a command ended.

    `outcome` is `not_run` where it could not start (`reason` says why), `timeout` where a limit ended it (`reason` names
    the limit), else `exited`. `exit_code` is negative for a signal. `output` is head and tail, at most 64 KiB;
    `total_bytes` is what was printed.
    """

    outcome: Literal["exited", "timeout", "not_run"]
    exit_code: int | None
    output: str
    total_bytes: int
    seconds: float
    reason: str = ""

    @property
    def ok(self) -> bool:
        """It ran and ended with 0."""
        return self.outcome == "exited" and self.exit_code == 0


class CommandRunner(Protocol):
    """Runs commands with their whole process tree in hand. Cancelling the call kills the tree."""

    name: str
    cannot: str

    async def run(self, command: CommandLine) -> CommandResult:
        """Run to the end. Nothing of the command lives on when this returns or is cancelled."""
        ...

    async def close(self) -> None:
        """End what still runs."""
        ...
