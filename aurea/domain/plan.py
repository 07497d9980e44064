"""The plan: a graph of work items, the rules it must keep, and the few graph questions that scheduling asks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aurea.domain.spec import ROLES, WORKERS, ItemSpec

MAX_ITEMS_PER_CALL = 15


@dataclass(frozen=True)
class Problem:
    """A rule that an item breaks: in words, and where: the item's place in the list, its field, the entry in the field.

    `wrong` is a name that nobody knows and `known` are those it could have been.
    """

    message: str
    item: int
    field: str | None = None
    entry: int | None = None
    wrong: str | None = None
    known: tuple[str, ...] = ()


def problems(
    items: Sequence[ItemSpec], *, checks: Iterable[str], known: Mapping[str, ItemSpec] | None = None
) -> list[str]:
    """Every rule that `items` break, in words a planner can act on; empty when the plan is sound.

    `checks` are the names of the configured checks; `known` are items that are already planned.
    """
    return [problem.message for problem in find_problems(items, checks=checks, known=known)]


def find_problems(
    items: Sequence[ItemSpec], *, checks: Iterable[str], known: Mapping[str, ItemSpec] | None = None
) -> list[Problem]:
    """What `problems` says, with the place of each."""
    have = dict(known or {})
    check_names = tuple(sorted(set(checks)))
    ids = [item.id for item in items]
    everything = (*ids, *have)
    found = list(_doubles(items, have))
    for index, item in enumerate(items):
        if not item.criteria:
            found.append(Problem(f"item {item.id!r} has no acceptance criteria", index, "criteria"))
        found += _role(item, index)
        for entry, name in enumerate(item.checks):
            if name not in check_names:
                words = f"item {item.id!r} names the unknown check {name!r}; the checks are "
                words += ", ".join(check_names) or "none"
                found.append(Problem(words, index, "checks", entry, name, check_names))
        for entry, name in enumerate(item.depends_on):
            if name == item.id:
                found.append(Problem(f"item {item.id!r} depends on itself", index, "depends_on", entry))
            elif name not in everything:
                words = f"item {item.id!r} depends on {name!r}, which is not in the plan"
                others = tuple(other for other in everything if other != item.id)
                found.append(Problem(words, index, "depends_on", entry, name, others))
    edges: dict[str, tuple[str, ...]] = {}
    for item in (*have.values(), *items):
        edges[item.id] = (*edges.get(item.id, ()), *item.depends_on)
    cycle = find_cycle(edges)
    follows = dict(itertools.pairwise(cycle))
    for index, item in enumerate(items):
        if follows.get(item.id) in item.depends_on:
            words = "the dependencies form a cycle: " + " -> ".join(cycle)
            found.append(Problem(words, index, "depends_on", item.depends_on.index(follows[item.id])))
            break
    return found


def _role(item: ItemSpec, index: int) -> Iterator[Problem]:
    if item.role not in ROLES:
        words = f"item {item.id!r} names the unknown role {item.role!r}; the roles are {', '.join(WORKERS)}"
        yield Problem(words, index, "role", wrong=item.role, known=WORKERS)
    elif item.role not in WORKERS:
        yield Problem(f"item {item.id!r}: the role {item.role} carries out no work items", index, "role")


def _doubles(items: Sequence[ItemSpec], have: Mapping[str, ItemSpec]) -> Iterator[Problem]:
    """Ids, goals and contract files that two items lay claim to; the place is that of the second."""
    ids = set(have)
    goals = {_plain(item.goal): item.id for item in have.values()}
    owners: dict[str, str] = {}
    for index, item in enumerate(items):
        if item.id in ids:
            yield Problem(f"two items have the id {item.id!r}", index, "id")
        elif goals.setdefault(_plain(item.goal), item.id) != item.id:
            yield Problem(f"items {goals[_plain(item.goal)]!r} and {item.id!r} have the same goal", index, "goal")
        ids.add(item.id)
        for entry, path in enumerate(item.files):
            if is_contract(path) and owners.setdefault(path, item.id) != item.id:
                words = f"items {owners[path]!r} and {item.id!r} both own the contract file {path!r}"
                yield Problem(words, index, "files", entry)


def _plain(goal: str) -> str:
    return " ".join(goal.lower().split())


def is_contract(path: str) -> bool:
    """Whether `path` is an interface that other items build on, and so has one owner.

    A file counts as a contract when its name or folder says so: contracts, schemas, protocols, interfaces, IDL files.
    """
    parts = [part.lower() for part in path.replace("\\", "/").split("/") if part]
    if not parts:
        return False
    stem, _, suffix = parts[-1].partition(".")
    words = {
        "contract",
        "contracts",
        "schema",
        "schemas",
        "protocol",
        "protocols",
        "interface",
        "interfaces",
        "openapi",
    }
    return stem in words or suffix in {"proto", "thrift", "graphql", "avsc"} or bool(words & set(parts[:-1]))


def find_cycle(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """One cycle of at least two nodes as the ids along it, first repeated at the end; empty where there is none."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(node)
                done.add(node)
                continue
            if node in on_path:
                return [*path[path.index(node) :], node]
            if node in done or node not in edges:
                continue
            path.append(node)
            on_path.add(node)
            stack.append((node, True))
            stack.extend((other, False) for other in edges[node] if other != node)
    return []


def topological(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """The ids so that every one stands after what it depends on; the given order otherwise. Needs an acyclic graph."""
    order: list[str] = []
    seen: set[str] = set()
    for start in edges:
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                order.append(node)
            elif node not in seen and node in edges:
                seen.add(node)
                stack.append((node, True))
                stack.extend((other, False) for other in reversed(edges[node]) if other not in seen)
    return order


def tails(edges: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """For each id the number of items on the longest chain that begins with it: what still hangs on it."""
    length = dict.fromkeys(edges, 1)
    for node in reversed(topological(edges)):
        for other in edges[node]:
            if other in length:
                length[other] = max(length[other], length[node] + 1)
    return length


def critical_path(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """The longest chain of dependencies, first to last."""
    length = tails(edges)
    if not length:
        return []
    node = max(length, key=lambda name: length[name])
    path = [node]
    while length[node] > 1:
        node = next(name for name in edges if node in edges[name] and length[name] == length[node] - 1)
        path.append(node)
    return path


def dependants(edges: Mapping[str, Sequence[str]], root: str) -> list[str]:
    """Everything that depends on `root`, directly or not, in topological order."""
    reached = {root}
    order = []
    for node in topological(edges):
        if node != root and any(other in reached for other in edges[node]):
            reached.add(node)
            order.append(node)
    return order
