"""`aurea run --dry-run`: the plan as it stands before any model is asked: tree, critical path, checks, roles, models."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aurea.domain.plan import critical_path, topological
from aurea.reporting.text import money
from surfaces.cli import context

if TYPE_CHECKING:
    from aurea.domain.spec import Budgets, Spec
    from aurea.intake.resolve import Resolved


def print_plan(resolved: Resolved, *, json: bool) -> None:
    """Print what a run of this spec would do. Calls no model and writes nothing."""
    document = plan_document(resolved)
    if json:
        context.print_json(document)
        return
    print(f"{document['project']}: {document['objective'].strip()}")
    print(f"repository  {document['repo'] or _new_one(resolved)}")
    limit = document["budget_usd"]
    budget = "no limit" if limit == "none" else f"at most {money(limit)}"
    print(f"provider    {resolved.provider}, model {resolved.model}; {budget}; {document['concurrency']} items at once")
    if caps := _caps(resolved.spec.budgets):
        print(f"budgets     {caps}")
    print("roles       " + ", ".join(f"{role} {model}" for role, model in document["roles"].items()))
    if document["template"] != "loop":
        print(f"template    {document['template']}: {_words(document['line'])}")
    for command in resolved.spec.setup:
        print(f"setup       {shlex.join(command)}")
    for check in document["checks"]:
        when = "" if check["when"] == "both" else f" ({check['when']} only)"
        print(f"check       {check['name']}: {shlex.join(check['run'])}{when}")
    if document["unproven"]:
        print("check       none: what lands is unproven")
    for server in document["mcp"]:
        print(f"mcp         {server['name']} ({server['effect']}): {server['at']}; for {', '.join(server['roles'])}")
    if document["plugins"]:
        print(f"plugins     {', '.join(document['plugins'])}")
    if document["items"] is None:
        print("items       the planner will write them")
        return
    print(f"items       {len(document['items'])}, critical path {' -> '.join(document['critical_path'])}")
    for item in document["items"]:
        after = f" after {', '.join(item['depends_on'])}" if item["depends_on"] else ""
        print(f"  {'    ' * item['depth']}{item['id']} ({item['role']}){after}: {' '.join(item['goal'].split())[:100]}")
        if "line" in item:
            print(f"  {'    ' * item['depth']}  walks {_words(item['line'])}")


def _new_one(resolved: Resolved) -> str:
    return f"a new one at {resolved.spec.output_dir}" if resolved.spec.output_dir else "a new one"


def _words(line: Sequence[Sequence[str]]) -> str:
    """A line of phases, those at work at the same time joined by a plus."""
    return " > ".join([*(" + ".join(group) for group in line), "land"])


def _own_line(spec: Spec, item: str) -> dict[str, list[list[str]]]:
    """The line of an item that does not walk that of the template."""
    return {"line": [list(group) for group in spec.route.lines[item]]} if item in spec.route.lines else {}


def plan_document(resolved: Resolved) -> dict[str, Any]:
    """The same as JSON values (schema `aurea.plan/1`)."""
    from aurea.models.providers import model_for

    spec = resolved.spec
    items = {item.id: item for item in spec.items or ()}
    edges = {name: item.depends_on for name, item in items.items()}
    order = topological(edges)
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = max((depth[other] + 1 for other in edges[name]), default=0)
    used = {"planner"} if spec.items is None else set()
    used |= {item.role for item in items.values()} or {"coder"}
    used |= {reviewer.role for reviewer in spec.reviewers}
    return {
        "schema": "aurea.plan/1",
        "project": spec.project,
        "objective": spec.objective,
        "repo": spec.repo,
        "provider": resolved.provider,
        "model": resolved.model,
        "budget_usd": spec.budget_usd,
        "budgets": spec.budgets.model_dump(mode="json"),
        "concurrency": spec.concurrency,
        "template": spec.route.name,
        "line": [list(group) for group in spec.route.line],
        "unproven": spec.unproven,
        "roles": {
            role: str(model_for(spec, role, provider=resolved.provider, model=resolved.model)) for role in sorted(used)
        },
        "checks": [
            check.model_dump(mode="json", include={"name", "run", "kind", "when"}) for check in spec.checks or ()
        ],
        "mcp": [
            {
                "name": server.name,
                "effect": server.effect,
                "at": shlex.join(server.command) if server.command is not None else server.url,
                "roles": list(server.roles),
            }
            for server in spec.mcp
        ],
        "plugins": list(spec.plugins),
        "items": None
        if spec.items is None
        else [{**items[name].model_dump(mode="json"), "depth": depth[name], **_own_line(spec, name)} for name in order],
        "critical_path": critical_path(edges),
    }


def _caps(budgets: Budgets) -> str:
    """The caps beside that of the run, in words; empty where there are none."""
    limits = {"each item": budgets.item_usd, **{f"item {name}": usd for name, usd in budgets.items.items()}}
    limits |= {f"role {name}": usd for name, usd in budgets.roles.items()} | {"all runs of a day": budgets.day_usd}
    return ", ".join(f"{what} {money(usd)}" for what, usd in limits.items() if usd != "none")
