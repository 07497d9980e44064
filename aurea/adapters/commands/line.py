"""The connection of one command to its keeper: asks for the command, waits for its result, and makes sure of its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import suppress
from typing import Any

from aurea.adapters.commands.output import readable
from aurea.adapters.commands.supervisor.wire import ACK, FRAME, pack
from aurea.domain.errors import Transient
from aurea.ports import CommandLine, CommandResult

LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 4 << 30, "RLIMIT_NOFILE": 16_384, "RLIMIT_NPROC": 8_192}
START_S = 60.0  # how long a fork server may take to fork
WAKE_S = 3.0  # how long after a command's time limit a keeper is woken, in case the command has stopped it
OVERDUE_S = 60.0  # how long after a command's time limit a keeper may take to end it and answer
ENDING_S = 20.0  # how long the end of a cancelled command is waited for before its keeper is killed


class ServerGone(Exception):
    """The fork server ended before it started the command, which can therefore be tried again."""


class Line:
    """One end of the connection; the other one is the keeper's, and this one's end is the command's."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._keeper: int | None = None

    async def run(self, command: CommandLine) -> CommandResult:
        """Run the command. Nothing of it lives on when this returns or raises, also when it is cancelled.

        Raises `ServerGone` where it was not started, `Transient` where the machine had no room for it.
        """
        try:
            await self._ask(command)
            return await self._answer(command)
        except ServerGone:
            raise  # there is no keeper, and what is left of the server is the caller's to end
        except BaseException:
            await self._see_it_end()
            raise
        finally:
            self._end.close()

    async def _ask(self, command: CommandLine) -> None:
        request = {
            "argv": list(command.argv),
            "folder": str(command.folder),
            "env": dict(command.env),
            "timeout_s": command.timeout_s,
            "silence_s": command.silence_s,
            "log": str(command.log) if command.log is not None else None,
            "limits": LIMITS,
        }
        try:
            async with asyncio.timeout(START_S):
                await asyncio.get_running_loop().sock_sendall(self._end, pack(request, command.stdin or b""))
                (self._keeper,) = ACK.unpack(await self._exactly(ACK.size))
        except (EOFError, ConnectionError, TimeoutError):
            raise ServerGone from None

    async def _answer(self, command: CommandLine) -> CommandResult:
        waking = asyncio.get_running_loop().call_later(command.timeout_s + WAKE_S, self._signal, signal.SIGCONT)
        try:
            async with asyncio.timeout(command.timeout_s + OVERDUE_S):
                header, payload = FRAME.unpack(await self._exactly(FRAME.size))
                answer: dict[str, Any] = json.loads(await self._exactly(header))
                printed = await self._exactly(payload)
        except (EOFError, ConnectionError):
            reason = "its supervisor was killed, by the command itself or from outside"
            return CommandResult("exited", -signal.SIGKILL, "", 0, 0.0, reason)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._see_it_end()
            reason = f"not done after {command.timeout_s:g} s, and its supervisor does not answer"
            return CommandResult("timeout", None, "", 0, command.timeout_s, reason)
        finally:
            waking.cancel()
        if "fault" in answer:
            raise Transient(
                f"{command.argv[0]!r} could not be supervised: {answer['fault']}",
                remedy="see that processes, memory and room on the disk are left",
            )
        head, tail = printed[: answer["head"]], printed[answer["head"] :]
        return CommandResult(
            outcome=answer["outcome"],
            exit_code=answer["exit_code"],
            output=readable(head, tail, answer["total"]),
            total_bytes=answer["total"],
            seconds=answer["seconds"],
            reason=answer["reason"],
        )

    async def _see_it_end(self) -> None:
        """End the command by ending the connection, and wait until its tree is gone, however often cancelled."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)
        ending = asyncio.ensure_future(self._to_the_end())
        while not ending.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({ending})

    async def _to_the_end(self) -> None:
        for _ in range(2):
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(ENDING_S):
                    while await asyncio.get_running_loop().sock_recv(self._end, 65536):
                        pass
                    return
            self._signal(signal.SIGKILL)  # a command may have stopped it; the server then ends what it leaves

    def _signal(self, number: signal.Signals) -> None:
        """Send the keeper a signal."""
        if self._keeper is not None:
            with suppress(ProcessLookupError):
                os.kill(self._keeper, number)

    async def _exactly(self, count: int) -> bytes:
        loop, data = asyncio.get_running_loop(), bytearray()
        while len(data) < count:
            chunk = await loop.sock_recv(self._end, count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)
