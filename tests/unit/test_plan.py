"""The rules of a plan and the graph questions, on random graphs."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.plan import critical_path, dependants, find_cycle, is_contract, problems, tails, topological
from aurea.domain.spec import ItemSpec

NAMES = [f"i{n}" for n in range(8)]


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    edges = {name: tuple(draw(st.sets(st.sampled_from(NAMES[:n])))) if n else () for n, name in enumerate(NAMES)}
    order = draw(st.permutations(NAMES))
    return {name: edges[name] for name in order}


anything = st.fixed_dictionaries({name: st.sets(st.sampled_from(NAMES), max_size=3).map(tuple) for name in NAMES})


def item(name: str, *after: str, **more: object) -> ItemSpec:
    values = {"id": name, "goal": f"do {name}", "criteria": ("done",), "depends_on": after, **more}
    return ItemSpec.model_validate(values)


@given(acyclic())
def test_an_acyclic_graph_has_no_cycle_and_an_order(edges):
    assert find_cycle(edges) == []
    order = topological(edges)
    assert sorted(order) == sorted(edges)
    assert all(order.index(other) < order.index(name) for name in edges for other in edges[name])


@given(anything)
def test_a_cycle_that_is_named_is_one(edges):
    cycle = find_cycle(edges)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(cycle) > 2
        assert all(b in edges[a] for a, b in itertools.pairwise(cycle))
    else:
        # Without a cycle of two or more, an order exists once self-references are left out.
        order = topological({name: tuple(o for o in others if o != name) for name, others in edges.items()})
        assert all(order.index(o) < order.index(n) for n in edges for o in edges[n] if o != n)


@given(acyclic())
def test_the_critical_path_is_a_chain_and_none_is_longer(edges):
    path = critical_path(edges)
    assert all(a in edges[b] for a, b in itertools.pairwise(path))
    assert len(path) == max(tails(edges).values())


@given(acyclic(), st.sampled_from(NAMES))
def test_dependants_are_all_that_cannot_begin_without_it(edges, root):
    found = set(dependants(edges, root))
    for name in edges:
        needs = {root} | found
        assert (name in found) == (name != root and bool(needs & set(edges[name])))


def test_every_broken_rule_is_told_at_once():
    items = [
        item("a", "b"), item("b", "a"), item("c", "c"), item("c", "nowhere"), item("d", criteria=()),
        item("e", goal="do a"), item("f", role="wizard"), item("g", checks=("lint",)), item("h", role="guardian"),
    ]  # fmt: skip
    told = " | ".join(problems(items, checks=["tests"]))
    parts = ("a -> b -> a", "'c'", "itself", "nowhere", "'d' has no acceptance", "same goal", "wizard", "'lint'")
    for part in (*parts, "the role guardian carries out no work items"):
        assert part in told


def test_a_contract_file_has_one_owner():
    items = [item("a", files=("api/schema.json",)), item("b", files=("api/schema.json",))]
    assert "own the contract file" in problems(items, checks=[])[0]
    assert problems([item("a", files=("main.py",)), item("b", files=("main.py",))], checks=[]) == []


def test_what_counts_as_a_contract():
    assert is_contract("contracts/user.py")
    assert is_contract("api.proto")
    assert not is_contract("notes/storage.py")
