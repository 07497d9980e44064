"""Wires a live run: adapters, models and agents put together around what the ledger knows of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from aurea.adapters.codemap.process import ReadingProcess
from aurea.adapters.codemap.reader import TreeSitterReader
from aurea.adapters.commands.concealment import conceal_environment
from aurea.adapters.commands.environment import build_environment, substitute
from aurea.adapters.commands.runner import ProcessRunner
from aurea.adapters.git.advance import advance_branch
from aurea.adapters.git.create import follow
from aurea.adapters.git.repository import GitRepository
from aurea.adapters.telemetry.switch import telemetry
from aurea.adapters.web import engine as search_engine
from aurea.agents.engine import LoopEngine
from aurea.agents.equipment import Extras
from aurea.agents.policy import Surroundings, surroundings
from aurea.agents.told import task_parts
from aurea.agents.tools.web import Web
from aurea.delivery.context import Run
from aurea.domain.caps import limit_of
from aurea.domain.command_words import OWN_PYTHON_VARIABLE
from aurea.domain.effective import effective_spec
from aurea.domain.messages import ModelRef
from aurea.domain.secrecy import secret_values
from aurea.domain.spec import RoleChoice, Spec
from aurea.domain.state import RunState
from aurea.home import Home
from aurea.ledger.export import JsonLines
from aurea.models.breaker import Circuits
from aurea.models.layers import Around
from aurea.models.providers import model_for
from aurea.models.registry import build_client
from aurea.ports import CommandRunner, Workspace
from aurea.ports.mcp import ToolServer
from aurea.reporting.quality.gate import QualityGate
from aurea.reporting.report import report
from aurea.settings import Settings

_CIRCUITS = Circuits()  # a provider that is down is so for all runs of this process


async def wire(home: Home, state: RunState, held: AsyncExitStack, record: Path | None) -> Run:
    """Build the live run. What has to be closed goes on `held`."""
    created = state.created
    assert created is not None
    spec = effective_spec(state)
    folder = home.folder(state.id)
    home.mark(state.id)
    lines = JsonLines(state.id, folder)
    lines.follow(home.ledger)
    held.callback(lines.close)
    if (spans := telemetry(home.settings.caller, state.id)) is not None:
        spans.follow(home.ledger)
        held.push_async_callback(spans.close)
    conceal_environment()
    commands = ProcessRunner()
    held.push_async_callback(commands.close)
    client = build_client(
        run=state.id,
        ledger=home.ledger,
        clock=home.clock,
        spec=spec,
        environ=home.settings.caller,
        limit=lambda cap: limit_of(live.spec, cap),
        record=record,
        around=Around(_CIRCUITS, home.settings.home),
        parts=partial(task_parts, home.ledger),
    )
    held.push_async_callback(client.close)

    def models(role: str, named: str | None = None) -> ModelRef:
        now = live.spec  # an answer may have switched the model
        provider, model = now.provider or created.provider, now.model or created.model
        return model_for(now, role, provider=provider, model=model, named=named)

    def choice(role: str) -> RoleChoice | None:
        return live.spec.roles.get(role)

    repository = await GitRepository.open(Path(created.repo), folder / "git")
    code = TreeSitterReader(repository, home.settings.home / "cache" / "tags", ReadingProcess(home.settings.caller))
    held.push_async_callback(code.close)
    live = Run(
        id=state.id,
        spec=spec,
        ledger=home.ledger,
        repository=repository,
        code=code,
        commands=commands,
        engine=LoopEngine(
            run=state.id,
            ledger=home.ledger,
            client=client,
            model_for=models,
            choice_for=choice,
            commands=commands,
            clock=home.clock,
            folder=folder,
            web=way_to_the_web(home.settings, spec),
            extras=Extras(_servers(home, state, spec, commands, held), spec.plugins, _around(spec)),
        ),
        model_for=models,
        environment=partial(_environment, home, spec),
        substitute=substitute,
        clock=home.clock,
        folder=folder,
        workspaces=home.settings.workspaces,
        loop=asyncio.get_running_loop(),
        report=lambda: report(live, files=gate.files),
        follow_target=partial(follow, Path(created.repo)) if created.made_repo else None,
        advance_base=partial(advance_branch, Path(created.repo), environ=home.settings.caller),
    )
    gate = QualityGate(live, environ=home.settings.caller, patience_s=home.settings.quality_wait_s)
    held.push_async_callback(gate.close)
    live.quality = gate
    return live


def _around(spec: Spec) -> Surroundings:
    return surroundings(pass_env=spec.pass_env, network=spec.network, sandbox=spec.sandbox, servers=spec.mcp)


def _servers(
    home: Home, state: RunState, spec: Spec, commands: CommandRunner, held: AsyncExitStack
) -> Sequence[ToolServer]:
    if not spec.mcp:
        return ()
    from aurea.adapters.mcp.pool import Pool  # the SDK, which takes its time to be imported

    folder = home.folder(state.id) / "mcp"
    pool = Pool(
        spec.mcp, run=state.id, ledger=home.ledger, commands=commands, folder=folder, caller=home.settings.caller
    )
    held.push_async_callback(pool.close)
    return pool.servers


def way_to_the_web(settings: Settings, spec: Spec) -> Web | None:
    """How agents of a run search, and what they may not say to strangers; None where the spec allows no search."""
    given = [name for server in spec.mcp for name in (*server.pass_env, server.token_env) if name is not None]
    hidden = secret_values({**settings.caller, **spec.env}, (*spec.pass_env, *given))
    return Web(search_engine(settings), hidden) if spec.web_search else None


def _environment(home: Home, spec: Spec, workspace: Workspace, extra: Mapping[str, str]) -> Mapping[str, str]:
    own = {OWN_PYTHON_VARIABLE: sys.executable} if spec.uses_own_python else {}
    return build_environment(workspace, home.settings.caller, pass_env=spec.pass_env, env={**own, **spec.env, **extra})
