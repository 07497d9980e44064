"""What a spec says of agents' tools: MCP servers, plugins, denied tools, and whether all that keeps the rule of two."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from aurea.agents.policy import RULE_OF_TWO, Effect, Grant, Surroundings, effects_of, holdings, surroundings
from aurea.agents.roles import role_of
from aurea.agents.tools.plugins import Plugin, installed, load
from aurea.agents.tools.toolbox import OWN
from aurea.domain.errors import UsageError
from aurea.domain.spec import ROLES, McpServer
from aurea.intake.faults import Faults, KeyPath, did_you_mean


def look_at_tools(data: Mapping[str, Any], faults: Faults) -> None:
    """Add every fault of the tools that a spec gives and denies. `data` is the merged spec as plain values."""
    servers = dict(_servers(data))
    _names(servers, faults)
    plugins = _plugins(data, faults)
    _denied(data, [server.name for server in servers.values()], plugins.values(), faults)
    _rule_of_two(data, servers, plugins, faults)


def _servers(data: Mapping[str, Any]) -> Iterator[tuple[int, McpServer]]:
    """The servers that can be read; what is wrong with the others is told where single keys are."""
    written = data.get("mcp")
    for index, entry in enumerate(written if isinstance(written, list | tuple) else ()):
        try:
            yield index, McpServer.model_validate(entry)
        except ValidationError:
            continue


def _names(servers: Mapping[int, McpServer], faults: Faults) -> None:
    first: dict[str, int] = {}
    for index, server in servers.items():
        if first.setdefault(server.name, index) != index:
            faults.add(("mcp", index, "name"), f"two servers are named {server.name!r}")


def _plugins(data: Mapping[str, Any], faults: Faults) -> dict[int, Plugin]:
    """The plugins that can be used, by their place; they are loaded here, so that a faulty one is told before a run."""
    written = data.get("plugins")
    names = list(written) if isinstance(written, list | tuple) else []
    found: dict[int, Plugin] = {}
    for index, name in enumerate(names):
        if not isinstance(name, str):
            continue
        if name in names[:index]:
            faults.add(("plugins", index), f"the plugin {name!r} is named twice")
            continue
        try:
            found[index] = load([*(plugin.name for plugin in found.values()), name])[-1]
        except UsageError as wrong:
            faults.add(("plugins", index), wrong.message + did_you_mean(name, set(installed()) - {name}))
    return found


def _denied(data: Mapping[str, Any], servers: Collection[str], plugins: Iterable[Plugin], faults: Faults) -> None:
    """A name that is none of Aurea's tools or of a plugin's, and begins with no server's name, is a mistake."""
    known = {*OWN, *(tool.name for plugin in plugins for tool in plugin.make())}
    for path, name in _deny(data):
        if name not in known and not name.startswith(tuple(f"{server}_" for server in servers)):
            faults.add(path, f"there is no tool {name!r}{did_you_mean(name, known)}")


def _deny(data: Mapping[str, Any], role: str | None = None) -> Iterator[tuple[KeyPath, str]]:
    roles = data.get("roles")
    for name, choice in roles.items() if isinstance(roles, Mapping) else ():
        denied = choice.get("deny") if isinstance(choice, Mapping) and role in (None, name) else None
        for index, tool in enumerate(denied if isinstance(denied, list | tuple) else ()):
            if isinstance(tool, str):
                yield ("roles", name, "deny", index), tool


def _rule_of_two(
    data: Mapping[str, Any], servers: Mapping[int, McpServer], plugins: Mapping[int, Plugin], faults: Faults
) -> None:
    """Refuse each server or plugin with which a role would have all three, once, for the first of these roles."""
    around = _around(data, servers.values())
    told: set[KeyPath] = set()
    for role in ROLES:
        denied = {tool for _, tool in _deny(data, role)}
        held = [Grant(name, OWN[name].effects) for name in role_of(role).tools & set(OWN) - denied]
        if data.get("web_search") is not True:
            held = [grant for grant in held if Effect.UNTRUSTED not in grant.effects]
        given: list[tuple[KeyPath, str, Grant]] = [
            (("mcp", index), f"the MCP server {server.name}", _grant(server))
            for index, server in servers.items()
            if role in server.roles
        ]
        given += [
            (("plugins", index), f"the plugin {plugin.name}", grant)
            for index, plugin in plugins.items()
            for grant in plugin.grants(role)
            if grant.name not in denied
        ]
        for path, what, grant in given:
            if holdings(held, around) != RULE_OF_TWO and holdings([*held, grant], around) == RULE_OF_TWO:
                if path not in told:
                    faults.add(path, _words(role, what, [*held, grant], around))
                told.add(path)
                break
            held.append(grant)


def _grant(server: McpServer) -> Grant:
    return Grant(f"{server.name}_*", effects_of(server), f"mcp:{server.name}", secret=server.secret, bundled=False)


def _around(data: Mapping[str, Any], servers: Iterable[McpServer]) -> Surroundings:
    return surroundings(
        pass_env=data.get("pass_env") or (),
        network=data.get("network", "none"),
        sandbox=data.get("sandbox", "auto"),
        servers=servers,
    )


def _words(role: str, what: str, grants: list[Grant], around: Surroundings) -> str:
    outside = [grant.name for grant in grants if holdings([grant], around) >= {"an outside effect"}]
    secrets = [grant.name for grant in grants if holdings([grant], around) >= {"secrets"}]
    untrusted = [grant.name for grant in grants if holdings([grant], around) >= {"untrusted input"}]
    return (
        f"with {what} the role {role} would have at once text from outside ({', '.join(sorted(untrusted))}), secrets "
        f"({', '.join(sorted(secrets))}) and an outside effect ({', '.join(sorted(outside))}); take one of the three from "
        f"it: by `roles` of the server, `roles.{role}.deny`, `pass_env`, or an `effect` that says less"
    )
