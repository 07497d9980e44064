"""Rules across the fields of a spec, looked at even where single fields are faulty, and what is not available yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aurea.domain.plan import find_problems
from aurea.domain.spec import PROVIDERS, ItemSpec, contradictions, split_model
from aurea.intake.faults import Faults, KeyPath, did_you_mean
from aurea.intake.layers import is_url
from aurea.intake.tools import look_at_tools

# Values the contract knows and this version does not build.
_LATER: Mapping[str, tuple[object, ...]] = {
    "land": ("pull_request",),
    "sandbox": ("bubblewrap", "container"),
}
_NO_CHECKS = (
    'no checks, and nothing could be proven without; add `checks` (or --check tests="COMMAND"), '
    "or say `checks: []` with `unproven: true`"
)
_LATER_UNLESS_EMPTY = ("push",)


def look_across(data: Mapping[str, Any], faults: Faults) -> None:
    """Add every fault that no single field shows. `data` is the merged spec as plain values of any shape."""
    _checks(data, faults)
    _items(data, faults)
    look_at_tools(data, faults)
    if data.get("provider") == "replay" and not data.get("cassette"):
        faults.add(("provider",), "provider replay plays a recording; name it with `cassette: FILE`")
    for path, choice in _models(data):
        provider, model = split_model(choice)
        if provider is None:
            continue
        if provider not in PROVIDERS:
            words = f"unknown provider {provider!r}; write provider:model with one of {', '.join(PROVIDERS)}"
            faults.add(path, words + did_you_mean(provider, PROVIDERS))
        elif not model:
            faults.add(path, f"no model after `{provider}:`")


def look_ahead(data: Mapping[str, Any], faults: Faults) -> None:
    """Add a fault for every key or value that the contract knows and this version does not build."""
    for key, values in _LATER.items():
        value = data.get(key)
        if any(value is later or (isinstance(value, str) and value == later) for later in values):
            faults.add((key,), f"`{key}: {str(value).lower()}`: not available yet")
    for key in _LATER_UNLESS_EMPTY:
        if data.get(key):
            faults.add((key,), f"`{key}`: not available yet")
    if isinstance(data.get("network"), list):
        faults.add(("network",), "`network` as a list of hosts: not available yet; say `none` or `open`")
    if is_url(data.get("repo")):
        faults.add(("repo",), "a repository by URL: not available yet; clone it and name the folder")


def check_names(data: Mapping[str, Any]) -> list[object] | None:
    """The names of the checks as written; None where checks were not given, or not as a list."""
    checks = data.get("checks")
    if not isinstance(checks, list):
        return None
    names = [check.get("name") if isinstance(check, dict) else None for check in checks]
    return [name if isinstance(name, str) else index for index, name in enumerate(names)]


def _checks(data: Mapping[str, Any], faults: Faults) -> None:
    for path, words in contradictions(check_names(data), unproven=data.get("unproven") is True):
        faults.add(path, words)
    if data.get("checks") is None:
        faults.add(("checks",), _NO_CHECKS)


def _items(data: Mapping[str, Any], faults: Faults) -> None:
    written = data.get("items")
    if not isinstance(written, list):
        return
    if not written:
        faults.add(("items",), "an empty list of items; without `items` the planner writes them")
    known = [(index, item) for index, item in enumerate(written) if isinstance(item, dict) and item.get("id")]
    drafts = [_draft(index, item) for index, item in known]
    names = [name for name in check_names(data) or () if isinstance(name, str)]
    for problem in find_problems(drafts, checks=names):
        index, item = known[problem.item]
        path: KeyPath = ("items", index)
        if problem.field is not None:
            path = (*path, problem.field)
        if problem.field is not None and problem.entry is not None:
            path = (*path, _texts(item.get(problem.field))[problem.entry][0])
        hint = did_you_mean(problem.wrong, problem.known) if problem.wrong is not None else ""
        faults.add(path, problem.message + hint)


def _draft(index: int, item: Mapping[str, Any]) -> ItemSpec:
    """An item with what is sound in it, so that the rules of the plan can be looked at before all of it is."""
    criteria, goal, role = item.get("criteria", []), item.get("goal"), item.get("role", "coder")
    return ItemSpec.model_construct(
        id=str(item["id"]),
        goal=goal if isinstance(goal, str) and goal.strip() else f"goal of item {index}",
        criteria=("given",) if criteria or not isinstance(criteria, list) else (),
        files=tuple(text for _, text in _texts(item.get("files"))),
        depends_on=tuple(text for _, text in _texts(item.get("depends_on"))),
        role=role if isinstance(role, str) else "coder",
        checks=tuple(text for _, text in _texts(item.get("checks"))),
    )


def _texts(value: Any) -> list[tuple[int, str]]:
    """The entries of a list that are text, each with its index."""
    entries = value if isinstance(value, list) else []
    return [(index, entry) for index, entry in enumerate(entries) if isinstance(entry, str)]


def _models(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Every place where a model may be named together with its provider."""
    roles = data.get("roles")
    for name, choice in roles.items() if isinstance(roles, dict) else ():
        if isinstance(choice, str):
            yield ("roles", name), choice
        elif isinstance(choice, dict):
            if isinstance(choice.get("model"), str):
                yield ("roles", name, "model"), choice["model"]
            for index, fallback in _texts(choice.get("fallback")):
                yield ("roles", name, "fallback", index), fallback
    reviewers = data.get("reviewers")
    for index, reviewer in enumerate(reviewers if isinstance(reviewers, list) else ()):
        if isinstance(reviewer, dict) and isinstance(reviewer.get("model"), str):
            yield ("reviewers", index, "model"), reviewer["model"]
