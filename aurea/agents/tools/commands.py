"""The tools that run commands in the workspace: a shell line and a Python program, both within the attempt's time."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from aurea.agents.policy import RUNS
from aurea.agents.tools.base import AgentTool, Arguments, M
from aurea.agents.tools.text import cut
from aurea.domain.errors import ToolFailed, ToolRefused, WorkspaceLost
from aurea.ports import Clock, CommandLine, CommandResult, CommandRunner, Workspace

USUAL_LIMIT_S = 120.0
LONGEST_LIMIT_S = 900.0
LONGEST_COMMAND = 100_000


@dataclass
class Terminal:
    """Where an agent's commands run. `remaining` tells the seconds that the attempt has left.

    `waited` counts the seconds that commands waited for a place among those that run at once.
    """

    runner: CommandRunner
    workspace: Workspace
    env: Mapping[str, str]
    clock: Clock
    remaining: Callable[[], float]
    waited: float = 0.0

    async def run(self, *argv: str, stdin: str | None = None, limit_s: float = USUAL_LIMIT_S) -> CommandResult:
        """Run a command; `ToolFailed` where it cannot start, `WorkspaceLost` where the files are gone."""
        if not os.path.isdir(self.workspace.tree):  # noqa: PTH112 - false, not an error, behind a locked folder
            raise WorkspaceLost(f"the files of the workspace {str(self.workspace.tree)!r} are gone")
        limit = max(1.0, min(limit_s, self.remaining(), LONGEST_LIMIT_S))
        began = self.clock.monotonic()
        result = await self.runner.run(
            CommandLine(
                argv=argv,
                folder=self.workspace.tree,
                env=self.env,
                timeout_s=limit,
                silence_s=limit,
                stdin=None if stdin is None else stdin.encode(),
            )
        )
        self.waited += max(0.0, self.clock.monotonic() - began - result.seconds)
        if result.outcome == "not_run":
            raise ToolFailed(f"{argv[0]!r} could not start: {result.reason}")
        return result

    def which(self, *programs: str) -> str | None:
        """The first of these programs that the commands' own PATH has."""
        return next((name for name in programs if shutil.which(name, path=self.env.get("PATH", ""))), None)


def told(result: CommandResult) -> str:
    """How a command ended, and what it printed; `ToolFailed` where a limit ended it."""
    output = cut(result.output.rstrip())
    if result.outcome == "timeout":
        raise ToolFailed(
            f"ended after {result.seconds:.0f} s, with all its processes: {result.reason}\n{output}".rstrip()
        )
    heading = f"exit code {result.exit_code}"
    if result.total_bytes > len(result.output.encode()):
        heading += f", {result.total_bytes} bytes printed, beginning and end shown"
    return f"{heading}\n{output}" if output else f"{heading}, nothing printed"


def sendable(text: str, what: str) -> str:
    """`text` if a process can be given it."""
    if not text.strip():
        raise ToolRefused(f"the {what} is empty")
    if len(text) > LONGEST_COMMAND:
        raise ToolRefused(f"the {what} is longer than {LONGEST_COMMAND} characters; write it to a file first")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ToolRefused(f"the {what} holds halves of characters") from None
    if "\0" in text:
        raise ToolRefused(f"the {what} holds a NUL character")
    return text


class CommandTool(AgentTool[M]):
    """Base of the tools that work by running commands."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self.terminal = terminal

    @property
    def waited(self) -> float:
        """Seconds that commands waited for their turn."""
        return self.terminal.waited


Limit = Annotated[float, Field(gt=0, le=LONGEST_LIMIT_S, description="seconds after which it is ended")]


class ShellArguments(Arguments):
    """`run_shell`."""

    command: Annotated[str, Field(description="given to `bash -c`")]
    timeout_s: Limit = USUAL_LIMIT_S


class PythonArguments(Arguments):
    """`run_python`."""

    code: str
    timeout_s: Limit = USUAL_LIMIT_S


class RunShell(CommandTool[ShellArguments]):
    """Run a shell command in the workspace's root and wait for it. No terminal, no input; nothing lives on after it."""

    name = "run_shell"
    arguments = ShellArguments
    repeatable = False
    writes = True
    effects = RUNS

    async def act(self, arguments: ShellArguments) -> str:
        """Exit code and output."""
        command = sendable(arguments.command, "command")
        return told(await self.terminal.run("bash", "-c", command, limit_s=arguments.timeout_s))


class RunPython(CommandTool[PythonArguments]):
    """Run a Python program in the workspace's root and wait for it."""

    name = "run_python"
    arguments = PythonArguments
    repeatable = False
    writes = True
    effects = RUNS

    async def act(self, arguments: PythonArguments) -> str:
        """Exit code and output."""
        code = sendable(arguments.code, "program")
        python = self.terminal.which("python3", "python") or sys.executable
        return told(await self.terminal.run(python, "-", stdin=code, limit_s=arguments.timeout_s))
