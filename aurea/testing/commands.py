"""A command runner that runs nothing: what each command does is given."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aurea.ports import CommandLine, CommandResult

Answer = CommandResult | Awaitable[CommandResult] | None
Script = Mapping[tuple[str, ...], CommandResult] | Callable[[CommandLine], Answer]


class ScriptedRunner:
    """Implements `ports.CommandRunner`: a mapping from words, or a function, says how each command ends.

    A command that the script does not know is `not_run`. A function may be a coroutine function, and act on
    `command.folder`. Every command takes `delay_s`, so that it can be cancelled under way or reach its time limit.
    """

    name = "scripted"
    cannot = "anything: it runs nothing"

    def __init__(self, script: Script, *, delay_s: float = 0.0) -> None:
        self.script = script
        self.delay_s = delay_s
        self.calls: list[CommandLine] = []
        self.cancelled: list[CommandLine] = []
        self._running: set[asyncio.Task[CommandResult]] = set()

    async def run(self, command: CommandLine) -> CommandResult:
        """End as the script says."""
        self.calls.append(command)
        task = asyncio.ensure_future(self._play(command))
        self._running.add(task)
        try:
            result = await task
        except asyncio.CancelledError:
            self.cancelled.append(command)
            raise
        finally:
            self._running.discard(task)
        if command.log is not None:
            command.log.parent.mkdir(parents=True, exist_ok=True)
            command.log.write_text(result.output)
        return result

    async def close(self) -> None:
        """Cancel what still runs."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running))

    async def _play(self, command: CommandLine) -> CommandResult:
        if self.delay_s >= command.timeout_s:
            await asyncio.sleep(command.timeout_s)
            reason = f"not done after {command.timeout_s:g} s"
            return CommandResult("timeout", None, "", 0, command.timeout_s, reason)
        await asyncio.sleep(self.delay_s)
        answer = self.script(command) if callable(self.script) else self.script.get(command.argv)
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is None:
            return CommandResult("not_run", None, "", 0, 0.0, f"{command.argv[0]!r} is not on PATH")
        return replace(answer, seconds=answer.seconds or self.delay_s)
