"""The MCP servers of a run: where each has its folder, what it gets of the caller's environment, how it is recorded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aurea import __version__
from aurea.adapters.commands.environment import build_environment, substitute
from aurea.adapters.mcp.server import SdkToolServer
from aurea.domain.events import Draft, McpNoted
from aurea.domain.spec import McpServer
from aurea.ports import CommandLine, CommandResult, CommandRunner, Ledger

FOR_EVER_S = 366 * 86400.0  # a server ends with its run


@dataclass(frozen=True)
class Place:
    """The folders of one server."""

    root: Path

    @property
    def tree(self) -> Path:
        """Where it runs."""
        return self.root / "work"

    @property
    def home(self) -> Path:
        """Its home."""
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        """Its temporary files."""
        return self.root / "tmp"


class Pool:
    """The servers that a spec names. Nothing is started before it is needed."""

    def __init__(
        self,
        specs: tuple[McpServer, ...],
        *,
        run: str,
        ledger: Ledger,
        commands: CommandRunner,
        folder: Path,
        caller: Mapping[str, str],
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._commands = commands
        self._folder = folder
        self._caller = caller
        self.servers = [self._server(spec) for spec in specs]

    async def close(self) -> None:
        """End them all, with everything that they have started."""
        for server in self.servers:
            await server.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _server(self, spec: McpServer) -> SdkToolServer:
        place = Place(self._folder / spec.name)

        async def start(argv: tuple[str, ...]) -> CommandResult:
            for folder in (place.tree, place.home, place.tmp):
                folder.mkdir(parents=True, exist_ok=True)
            env = build_environment(place, self._caller, pass_env=spec.pass_env, env=spec.env)
            words = substitute(argv)
            return await self._commands.run(CommandLine(words, place.tree, env, FOR_EVER_S, FOR_EVER_S))

        token = self._caller.get(spec.token_env, "") if spec.token_env else ""
        pipes = place.root / "pipes"
        return SdkToolServer(spec, version=__version__, start=start, folder=pipes, token=token, note=self._note)

    async def _note(self, fact: McpNoted) -> None:
        await self._ledger.record(self._run, [Draft(fact=fact)])
