"""The one gate: which tools a conversation may hold, and whether a call may be made, whatever the tool's origin. Pure.

The rule of two: no conversation holds at once text from outside, secrets, and a way to act outside. Any two are fine; with
all three, whoever wrote that text could have the secrets sent to him.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from aurea.domain.spec import McpServer


class Effect(StrEnum):
    """What a tool can do, or bring in. A tool has one or several."""

    READ = "read"  # looks at the workspace, or hands something in to the manager
    WRITE = "write"  # changes files of the workspace
    RUN = "run"  # runs code, with the environment and the network that commands have
    OUTSIDE = "outside"  # changes something outside of the workspace, or sends something there
    UNTRUSTED = "untrusted"  # answers with text from outside, written by nobody knows whom


READS = frozenset({Effect.READ})
WRITES = frozenset({Effect.WRITE})
RUNS = frozenset({Effect.RUN})
SEARCHES = frozenset({Effect.READ, Effect.UNTRUSTED})

Holding = Literal["untrusted input", "secrets", "an outside effect"]
RULE_OF_TWO: frozenset[Holding] = frozenset({"untrusted input", "secrets", "an outside effect"})


@dataclass(frozen=True)
class Grant:
    """A tool as the gate sees it. `origin`: who brings it; `secret`: what acts for it holds secrets of its own.

    `bundled`: it belongs to no one unless the role's bundle names it; others say themselves whose they are.
    """

    name: str
    effects: frozenset[Effect] = READS
    origin: str = "aurea"
    secret: bool = False
    bundled: bool = True


@dataclass(frozen=True)
class Surroundings:
    """What commands have around them: variables that were let through (`pass_env`), and a network."""

    secrets: bool = False
    network: bool = False


ALONE = Surroundings()


@dataclass(frozen=True)
class Gate:
    """What was decided for one conversation, for all of it: no tool comes in later, whatever an answer says.

    `withheld` says of tools that there are why this conversation has them not.
    """

    role: str
    held: Mapping[str, Grant] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, name: str, others: Collection[str] = ()) -> str:
        """Why a call of `name` may not be made; empty where it may. `others` can be called beside the held ones."""
        if name in self.held or name in others:
            return ""
        tools = ", ".join([*self.held, *others]) or "none"
        if name in self.withheld:
            return f"{self.withheld[name]}; its tools are {tools}"
        meant = difflib.get_close_matches(name, [*self.held, *others], n=1)
        hint = f"did you mean {meant[0]}?" if meant else f"the tools are {tools}"
        return f"there is no tool {name!r}; {hint}"


def admit(
    role: str,
    grants: Iterable[Grant],
    *,
    bundle: Collection[str],
    denied: Collection[str] = (),
    around: Surroundings = ALONE,
    only: Collection[str] | None = None,
) -> Gate:
    """Which of the tools on offer a conversation of `role` holds, and why it holds no others.

    `denied` are those that the spec takes from the role; `only` those that the conversation began with, None where it
    begins now. Where all of them together would break the rule of two, those that bring in text from outside are
    withheld.
    """
    held: dict[str, Grant] = {}
    withheld: dict[str, str] = {}
    for grant in grants:
        name = grant.name
        if grant.bundled and name not in bundle:
            withheld[name] = f"the role {role} has no {name}"
        elif name in denied:
            withheld[name] = f"the spec denies {name} to the role {role}"
        elif only is not None and name not in only:
            withheld[name] = f"this conversation began without {name}"
        else:
            held[name] = grant
    if holdings(held.values(), around) == RULE_OF_TWO:
        for name in [name for name, grant in held.items() if Effect.UNTRUSTED in grant.effects]:
            withheld[name] = f"{name} brings in text from outside, and this role has secrets and an outside effect"
            del held[name]
    return Gate(role, held, withheld)


def holdings(grants: Iterable[Grant], around: Surroundings) -> frozenset[Holding]:
    """Which of the three of the rule of two a conversation with these tools would have."""
    found: set[Holding] = set()
    for grant in grants:
        runs = Effect.RUN in grant.effects
        if Effect.UNTRUSTED in grant.effects:
            found.add("untrusted input")
        if grant.secret or (runs and around.secrets):
            found.add("secrets")
        if Effect.OUTSIDE in grant.effects or (runs and around.network):
            found.add("an outside effect")
    return frozenset(found)


def effects_of(server: McpServer) -> frozenset[Effect]:
    """What a server's tools can do: as the spec says, and what comes over the network is from outside."""
    own = {"read": {Effect.READ}, "write": {Effect.WRITE}, "outside": {Effect.OUTSIDE, Effect.UNTRUSTED}}
    return frozenset(own[server.effect] | ({Effect.UNTRUSTED} if server.url is not None else set()))


def surroundings(
    *, pass_env: Collection[str], network: object, sandbox: object, servers: Iterable[McpServer] = ()
) -> Surroundings:
    """What the commands of a run have around them.

    Where no sandbox keeps them apart, the network is there, whatever the spec says, and so are the variables of servers,
    which every process of the same user can read.
    """
    apart = sandbox in ("bubblewrap", "container")
    secrets = bool(pass_env) or (not apart and any(server.pass_env for server in servers))
    return Surroundings(secrets=secrets, network=not (apart and network == "none"))
