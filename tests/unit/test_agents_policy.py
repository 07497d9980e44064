"""The gate: what a conversation may hold, what is refused in which words, and the rule of two for every selection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aurea.agents.policy import (
    READS,
    RULE_OF_TWO,
    RUNS,
    SEARCHES,
    WRITES,
    Effect,
    Grant,
    Surroundings,
    admit,
    holdings,
    surroundings,
)
from aurea.domain.spec import McpServer

NAMES = st.sampled_from(["read_file", "run_shell", "web_search", "docs_find", "mail_send", "git_status"])
GRANTS = st.builds(
    Grant,
    name=NAMES,
    effects=st.frozensets(st.sampled_from(list(Effect)), min_size=1),
    secret=st.booleans(),
    bundled=st.booleans(),
)
AROUND = st.builds(Surroundings, secrets=st.booleans(), network=st.booleans())
OPEN = Surroundings(secrets=True, network=True)


@given(st.lists(GRANTS, unique_by=lambda grant: grant.name), st.sets(NAMES), st.sets(NAMES), AROUND)
def test_no_selection_ever_breaks_the_rule_of_two(
    grants: list[Grant], bundle: set[str], denied: set[str], around: Surroundings
) -> None:
    gate = admit("coder", grants, bundle=bundle, denied=denied, around=around)
    assert holdings(gate.held.values(), around) != RULE_OF_TWO
    assert set(gate.held) | set(gate.withheld) == {grant.name for grant in grants}
    assert not set(gate.held) & (denied | set(gate.withheld))
    for grant in grants:
        assert bool(gate.refusal(grant.name)) == (grant.name not in gate.held)
        assert grant.name in bundle or not grant.bundled or grant.name in gate.withheld


@given(st.lists(GRANTS, unique_by=lambda grant: grant.name), AROUND)
def test_nothing_is_withheld_that_keeps_the_rules(grants: list[Grant], around: Surroundings) -> None:
    gate = admit("coder", grants, bundle={grant.name for grant in grants}, denied=(), around=around)
    if holdings(grants, around) != RULE_OF_TWO:
        assert not gate.withheld
    assert all(Effect.UNTRUSTED in grant.effects for grant in grants if grant.name in gate.withheld)


def test_the_three_of_the_rule() -> None:
    shell, search = Grant("run_shell", RUNS), Grant("web_search", SEARCHES)
    assert holdings([Grant("write_file", WRITES), Grant("read_file", READS)], OPEN) == set()
    assert holdings([shell], Surroundings()) == set()
    assert holdings([shell], OPEN) == {"secrets", "an outside effect"}
    assert holdings([search, shell], Surroundings(network=True)) == {"untrusted input", "an outside effect"}
    assert holdings([search, shell], OPEN) == RULE_OF_TWO
    mail = Grant("mail_send", frozenset({Effect.OUTSIDE, Effect.UNTRUSTED}), secret=True)
    assert holdings([mail], Surroundings()) == RULE_OF_TWO


def test_a_researcher_without_commands_may_search_beside_secrets() -> None:
    tools = [Grant("read_file"), Grant("web_search", SEARCHES), Grant("run_shell", RUNS)]
    reading = admit("researcher", tools, bundle=["read_file", "web_search"], denied=(), around=OPEN)
    assert list(reading.held) == ["read_file", "web_search"]
    working = admit("coder", tools, bundle=["read_file", "web_search", "run_shell"], denied=(), around=OPEN)
    assert list(working.held) == ["read_file", "run_shell"]
    assert "has secrets and an outside effect" in working.refusal("web_search")
    denied = admit("coder", tools, bundle=["read_file", "web_search", "run_shell"], denied=["run_shell"], around=OPEN)
    assert list(denied.held) == ["read_file", "web_search"]


def test_a_refusal_says_why_and_what_there_is() -> None:
    tools = [Grant("read_file"), Grant("run_shell", RUNS), Grant("web_search", SEARCHES), Grant("docs_find")]
    gate = admit(
        "coder", tools, bundle=["read_file", "run_shell", "docs_find"], denied=["run_shell"], only=["read_file"]
    )
    assert gate.refusal("read_file") == "" and gate.refusal("submit_report", ["submit_report"]) == ""
    assert gate.refusal("run_shell") == "the spec denies run_shell to the role coder; its tools are read_file"
    assert gate.refusal("web_search").startswith("the role coder has no web_search; ")
    assert gate.refusal("docs_find").startswith("this conversation began without docs_find; ")
    assert gate.refusal("readfile") == "there is no tool 'readfile'; did you mean read_file?"
    assert gate.refusal("fly", ["submit_report"]) == "there is no tool 'fly'; the tools are read_file, submit_report"


def test_without_a_sandbox_that_keeps_apart_the_network_and_the_variables_of_servers_are_there() -> None:
    issues = McpServer.model_validate({"name": "issues", "command": "x", "pass_env": ["TOKEN"], "effect": "read"})
    for sandbox in ("auto", "process", "none"):
        around = surroundings(pass_env=(), network="none", sandbox=sandbox, servers=[issues])
        assert around == Surroundings(secrets=True, network=True)
    assert surroundings(pass_env=(), network="none", sandbox="container", servers=[issues]) == Surroundings()
    assert surroundings(pass_env=["A"], network="open", sandbox="container") == OPEN
