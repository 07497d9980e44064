"""What a conversation begins with: its tools of every origin, put through the gate, and recorded as its snapshot.

A conversation that is taken up holds the tools it began with, told in the same words, whatever their servers say now.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from aurea import __version__
from aurea.agents.limits import Allowance
from aurea.agents.policy import ALONE, Gate, Surroundings
from aurea.agents.roles import RoleSpec, prompt_versions
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.toolbox import OWN, Kit, put_together
from aurea.domain.errors import Blocked, UsageError
from aurea.domain.events import AgentEquipped, Draft, McpNoted
from aurea.domain.lifecycle import Actor
from aurea.domain.messages import ModelRef, ToolSpec, Value
from aurea.domain.spec import RoleChoice
from aurea.ledger.chain import canonical, digest
from aurea.ports import Assignment, Ledger
from aurea.ports.mcp import ToolServer


@dataclass(frozen=True)
class Extras:
    """What a spec gives agents beside Aurea's own tools, and what their commands have around them."""

    servers: Sequence[ToolServer] = ()
    plugins: Sequence[str] = ()
    around: Surroundings = ALONE


NO_EXTRAS = Extras()


class Equipped(Value):
    """A tool as the snapshot names it. Of those that are not Aurea's own it keeps how the model was told of them."""

    name: str
    origin: str
    effects: tuple[str, ...]
    digest: str
    remote: str = ""
    told: ToolSpec | None = None


class Snapshot(Value):
    """What a conversation began with."""

    format: Literal["aurea.snapshot/1"] = Field(default="aurea.snapshot/1", alias="schema")
    role: str
    model: ModelRef
    limits: Mapping[str, float]
    prompt: str
    prompts: Mapping[str, str]
    tools: tuple[Equipped, ...]
    result: str
    withheld: Mapping[str, str]
    commit: str
    sandbox: str
    aurea: str


@dataclass
class Outfitter:
    """Equips the conversations of one run. `sandbox` is the one in force."""

    run: str
    ledger: Ledger
    sandbox: str
    extras: Extras = NO_EXTRAS
    noted: set[tuple[str, str]] = field(default_factory=set, init=False)  # what was said of servers, and is said once

    async def equip(
        self,
        role: RoleSpec,
        assignment: Assignment,
        own: Iterable[AgentTool[Any]],
        *,
        choice: RoleChoice,
        model: ModelRef,
        allowance: Allowance,
        remaining: Callable[[], float],
    ) -> Kit:
        """The tools of a conversation, `own` and others; recorded where it begins.

        `Blocked` where a server cannot be started, or a plugin is there no more.
        """
        before = self._recorded(assignment)
        offered = list(own)
        others = self._of_plugins(assignment, remaining, before)
        taken = [tool.spec.name for tool in (*offered, *others)]
        others += await self._of_servers(assignment, remaining, before, taken)
        # Whoever is given less than his role has is given nothing of others that does more than read, either.
        offered += [tool for tool in others if not (assignment.without and tool.writes)]
        kit = put_together(
            role.name,
            offered,
            denied=choice.deny,
            around=self.extras.around,
            only=None if before is None else [tool.name for tool in before.tools],
            show_all=assignment.all_tools,
        )
        if before is None:
            await self._record(role, assignment, kit, model, allowance)
        return kit

    def _recorded(self, at: Assignment) -> Snapshot | None:
        fact = self.ledger.state(self.run).equipped.get((at.item, at.attempt, at.conversation))
        return None if fact is None else Snapshot.model_validate_json(self.ledger.body(fact.body))

    def _of_plugins(
        self, assignment: Assignment, remaining: Callable[[], float], before: Snapshot | None
    ) -> list[AgentTool[Any]]:
        if not self.extras.plugins:
            return []
        from aurea.agents.tools.plugins import load, tools_of

        try:
            tools = tools_of(load(self.extras.plugins), self.run, assignment, remaining)
        except UsageError as gone:  # it was there when the run began
            raise Blocked(gone.message, remedy=gone.remedy) from None
        told = {} if before is None else {tool.name: tool.told for tool in before.tools}
        for tool in tools:
            tool.spec = told.get(tool.spec.name) or tool.spec
        return tools

    async def _of_servers(
        self, at: Assignment, remaining: Callable[[], float], before: Snapshot | None, taken: Sequence[str]
    ) -> list[AgentTool[Any]]:
        servers = [server for server in self.extras.servers if at.role in server.spec.roles]
        if not servers:
            return []
        from aurea.agents.tools.remote import McpTool, described

        names = [*OWN, *taken]
        tools: list[AgentTool[Any]] = []
        for server, found in zip(servers, await asyncio.gather(*(one.tools() for one in servers)), strict=True):
            if before is None:
                told, left_out = described(server.spec.name, found, names)
                if left_out:
                    await self._note(server, left_out)
            else:
                origin = f"mcp:{server.spec.name}"
                told = {one.remote: one.told for one in before.tools if one.origin == origin and one.told is not None}
            tools += [McpTool(server, remote, spec, remaining) for remote, spec in told.items()]
            names += [spec.name for spec in told.values()]
        return tools

    async def _note(self, server: ToolServer, left_out: Sequence[str]) -> None:
        fact = McpNoted(server=server.spec.name, what="left_out", text="; ".join(left_out)[:1_500])
        if (fact.server, fact.text) not in self.noted:
            self.noted.add((fact.server, fact.text))
            await self.ledger.record(self.run, [Draft(fact=fact)])

    async def _record(self, role: RoleSpec, at: Assignment, kit: Kit, model: ModelRef, allowance: Allowance) -> None:
        shot = Snapshot(
            role=role.name,
            model=model,
            limits={
                "turns": allowance.turns,
                "tool_calls": allowance.tool_calls,
                "timeout_s": allowance.timeout_s,
                "tokens": allowance.tokens,
            },
            prompt=digest(at.system),
            prompts=prompt_versions(role.name),
            tools=tuple(_equipped(tool, kit.gate) for tool in kit.tools.values()),
            result=_digest_of(role.result.spec),
            withheld=_unusual(kit.gate),
            commit=at.workspace.base if at.workspace is not None else "",
            sandbox=self.sandbox,
            aurea=__version__,
        )
        body = canonical(shot.model_dump(mode="json", by_alias=True))
        fact = AgentEquipped(
            conversation=at.conversation,
            role=role.name,
            model=str(model),
            prompt=shot.prompt,
            tools=tuple(tool.name for tool in shot.tools),
            withheld=shot.withheld,
            commit=shot.commit,
            sandbox=shot.sandbox,
            aurea=shot.aurea,
            body=digest(body),
        )
        draft = Draft(fact=fact, actor=Actor.AGENT, item=at.item, attempt=at.attempt)
        await self.ledger.record(self.run, [draft], {fact.body: body})


def _unusual(gate: Gate) -> dict[str, str]:
    """What was withheld otherwise than because it is none of the role's."""
    usual = (f"the role {gate.role} has no ", "this run has no ")
    return {name: why for name, why in gate.withheld.items() if not why.startswith(usual)}


def _equipped(tool: AgentTool[Any], gate: Gate) -> Equipped:
    grant = gate.held[tool.spec.name]
    other = grant.origin != "aurea"
    return Equipped(
        name=tool.spec.name,
        origin=grant.origin,
        effects=tuple(sorted(grant.effects)),
        digest=_digest_of(tool.spec),
        remote=getattr(tool, "remote", ""),
        told=tool.spec if other else None,
    )


def _digest_of(spec: ToolSpec) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(spec.model_dump(), sort_keys=True).encode()).hexdigest()
