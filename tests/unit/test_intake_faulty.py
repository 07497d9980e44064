"""Faulty specs: every fault at once, in plain words, exactly where it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurea.domain.errors import UsageError
from aurea.domain.spec import PROVIDERS, Spec
from aurea.intake.faults import SpecFaults
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.settings import Settings

GOOD = "project: notes\nobjective: a notes service\nchecks: [{name: tests, run: [pytest, -q]}]\n"
SETTINGS = Settings.read({"OPENAI_API_KEY": "k", "HOME": "/nowhere"})
NO_FLAGS = Flags()


def faults_of(text: str, cwd: Path, flags: Flags = NO_FLAGS) -> list[str]:
    """What is said about a spec file with this text; empty where nothing is."""
    (cwd / "s.yaml").write_text(text, encoding="utf-8")
    try:
        resolve(Path("s.yaml"), flags, cwd=cwd, settings=SETTINGS)
    except SpecFaults as wrong:
        assert wrong.exit_code == 2
        assert str(wrong) == "\n".join(map(str, wrong.faults))
        return [str(fault) for fault in wrong.faults]
    return []


def test_the_good_spec_has_no_faults(tmp_path: Path) -> None:
    assert faults_of(GOOD, tmp_path) == []


# One line after GOOD (line 4), and what is said of it.
LINES = [
    ("objectiv: x", "4:1: objectiv: unknown key 'objectiv'; did you mean 'objective'?"),
    ("xyzzy: 1", "4:1: xyzzy: unknown key 'xyzzy'"),
    ("project: again", "4:1: project: the key 'project' stands here twice (first in line 1)"),
    ("provider: opnai", "4:11: provider: must be one of `openai`, "),
    ("provider: replay", "4:11: provider: provider replay plays a recording; name it with `cassette: FILE`"),
    ("cassette: no.yaml", "4:11: cassette: '"),
    ("concurrency: many", "4:14: concurrency: must be a whole number, not 'many'"),
    ("concurrency: 0", "4:14: concurrency: must be at least 1, not 0"),
    ("concurrency: 1.5", "4:14: concurrency: must be a whole number, not 1.5"),
    ("concurrency: true", "4:14: concurrency: must be a whole number, not `true`"),
    ("concurrency:", "4:1: concurrency: must be a whole number, not nothing"),
    ("timeout_s: [1]", "4:12: timeout_s: must be a number, not a list"),
    ("timeout_s: 1000000", "4:12: timeout_s: must be at most 604800, not 1000000"),
    ("budget_usd: free", "4:13: budget_usd: must be a number or `none`, not 'free'"),
    ("budget_usd: -1", "4:13: budget_usd: must be at least 0 or `none`, not -1"),
    ("land: brnch", "4:7: land: must be one of `branch`, `target`, `pull_request`; did you mean 'branch'?"),
    ("land: pull_request", "4:7: land: `land: pull_request`: not available yet"),
    ("repo: https://example.org/x.git", "4:7: repo: a repository by URL: not available yet"),
    ("repo: git@example.org:x.git", "4:7: repo: a repository by URL: not available yet"),
    ("repo: nowhere", "4:7: repo: '"),
    ("push: origin", "4:7: push: `push`: not available yet"),
    ("sandbox: container", "4:10: sandbox: `sandbox: container`: not available yet"),
    ("network: [pypi.org]", "4:10: network: `network` as a list of hosts: not available yet"),
    ("web_search: yes", "4:13: web_search: must be `true` or `false`, not 'yes'"),
    ("mcp: [x]", "4:7: mcp.0: must be a mapping"),
    ("mcp: [{name: docs}]", "4:7: mcp.0: a server has either a `command` or a `url`"),
    ("mcp: [{name: docs, url: 'http://a', env: {A: b}}]", "4:7: mcp.0: `env` and `pass_env` are for a `command`"),
    ("mcp: [{name: docs, command: x, token_env: T}]", "4:7: mcp.0: `token_env` is for a `url`"),
    ("mcp: [{name: docs, url: a}]", "4:25: mcp.0.url: 'a' is no address of a server; write http"),
    ("mcp: [{name: Docs, command: x}]", "4:14: mcp.0.name: must be lower-case letters, digits"),
    ("mcp: [{name: docs, command: x, efect: read}]", "4:32: mcp.0.efect: unknown key 'efect'; did you mean 'effect'?"),
    ("mcp: [{name: docs, command: x, effect: none}]", "4:40: mcp.0.effect: must be one of `read`, `write`, `outside`"),
    ("mcp: [{name: docs, command: x, roles: [codr]}]", "4:40: mcp.0.roles.0: unknown role 'codr'"),
    ("mcp: [{name: a, command: x}, {name: a, command: y}]", "4:37: mcp.1.name: two servers are named 'a'"),
    ("mcp: [{name: a, command: x, pass_env: [T]}]", "4:7: mcp.0: with the MCP server a the role coder would have"),
    ("plugins: [nonsense-plugin]", "4:11: plugins.0: no installed package has the entry point 'nonsense-plug"),
    ("roles: {coder: {deny: [run_shel]}}", "4:24: roles.coder.deny.0: there is no tool 'run_shel'; did you mean 'run_"),
    ("template: graph", "4:11: template: unknown template 'graph'; there are loop, pipeline, single; one of yours"),
    ("setup: npm ci", "4:8: setup: must be a list, not 'npm ci'"),
    ("setup: [python, -m, venv]", "4:17: setup.1: '-m' is an option, not a program"),
    ("setup: [[]]", "4:9: setup.0: must not be empty"),
    ("env: {A: 1.50}", "4:10: env.A: must be text, not the number 1.5: put it in quotes"),
    ("env: {A-B: x}", "4:7: env.A-B: must be the name of an environment variable"),
    ("commit: {author: me}", "4:18: commit.author: must be `Name <address>`, not 'me'"),
    ("commit: {autor: me}", "4:10: commit.autor: unknown key 'autor'; did you mean 'author'?"),
    ("roles: {codr: x}", "4:9: roles.codr: unknown role 'codr'; the roles are planner, "),
    ("roles: {coder: 5}", "4:16: roles.coder: must be a mapping, not 5"),
    ("roles: {coder: 'qwen3:8b'}", "4:16: roles.coder: unknown provider 'qwen3'; write provider:model with one of "),
    ("roles: {coder: {model: 'openai:'}}", "4:24: roles.coder.model: no model after `openai:`"),
    ("roles: {coder: {fallback: ['opnai:x']}}", "4:28: roles.coder.fallback.0: unknown provider 'opnai'; write provid"),
    ("limits: {opnai: {concurrency: 1}}", "4:10: limits.opnai: unknown provider 'opnai'; the providers are openai, "),
    ("limits: {openai: {rpm: 60}}", "4:19: limits.openai.rpm: unknown key 'rpm'"),
    ("limits: {openai: {requests_per_minute: 0}}", "4:40: limits.openai.requests_per_minute: must be at least 1"),
    ("limits: {openai: 60}", "4:18: limits.openai: must be a mapping, not 60"),
    ("prices: {my-model: {input: 1, output: 2}}", "4:10: prices.my-model: write provider:model, as in openai:my-model"),
    ("prices: {'openai:m': {input: 1.0}}", '4:22: prices."openai:m".output: required, and not given'),
    ("prices: {'openai:m': {input: -1.0, output: 1.0}}", '4:30: prices."openai:m".input: must be at least 0, not -1'),
    ("cache: on", "4:8: cache: must be `true` or `false`"),
    ("reviewers: [{focus: x, modl: y}]", "4:24: reviewers.0.modl: unknown key 'modl'; did you mean 'model'?"),
    ("unproven: true", "4:11: unproven: `unproven: true` goes only together with `checks: []`"),
    ("task_description: x", "4:1: task_description: `objective` and `task_description` are two names of one thing"),
    ("items: []", "4:8: items: an empty list of items; without `items` the planner writes them"),
    ("items: {a: b}", "4:8: items: must be a list, not a mapping"),
    ("output_dir: s.yaml", "4:13: output_dir: '"),
    ("a: &x [*x]", "4:8: a.0: the alias *x stands for nothing that was written before it"),
]


@pytest.mark.parametrize(("line", "told"), LINES, ids=[line for line, _ in LINES])
def test_one_faulty_line(line: str, told: str, tmp_path: Path) -> None:
    (fault,) = faults_of(GOOD + line + "\n", tmp_path)
    assert fault.startswith(f"s.yaml:{told}"), fault


# The checks of a spec, given from line 3 on.
CHECKS = [
    ("checks: []", ["3:9: checks: no checks: nothing could be proven"]),
    ("", ["1:1: checks: no checks, and nothing could be proven without"]),
    ("checks: [{name: a}]", ["3:10: checks.0.run: required, and not given"]),
    ("checks: [lint]", ["3:10: checks.0: must be a mapping, not 'lint'"]),
    ("checks: [{name: a, run: [x]}, {name: a, run: [y]}]", ["3:38: checks.1.name: two checks are named 'a'"]),
    ("checks: [{name: a, run: x, kind: tests}]", ["3:34: checks.0.kind: must be one of `test`, `lint`, "]),
    ("checks: [{name: a, run: x, cwd: ../b}]", ["3:33: checks.0.cwd: '../b' leads out of the workspace"]),
    ("checks: [{name: a, run: make a && make b}]", ["3:25: checks.0.run: `&&` needs a shell"]),
    ("checks: [{name: a, run: A=1 make}]", ["3:25: checks.0.run: a variable in front of a command is set by a shell"]),
    ("checks: [{name: a b, run: x}]", ["3:17: checks.0.name: must be letters, digits, "]),
    ("checks: [{name: a, run: x, timeout_s: 0}]", ["3:39: checks.0.timeout_s: must be more than 0, not 0"]),
]


@pytest.mark.parametrize(("line", "told"), CHECKS)
def test_faulty_checks(line: str, told: list[str], tmp_path: Path) -> None:
    faults = faults_of(f"project: p\nobjective: o\n{line}\n", tmp_path)
    assert len(faults) == len(told)
    for fault, start in zip(faults, told, strict=True):
        assert fault.startswith(f"s.yaml:{start}"), fault


# Items after GOOD, from line 5 on.
ITEMS = [
    ("{id: a, goal: x, criteria: [c], depends_on: [a]}", "5:50: items.0.depends_on.0: item 'a' depends on itself"),
    ("{id: a, goal: x, criteria: [c], depends_on: [b]}", "5:50: items.0.depends_on.0: item 'a' depends on 'b', which"),
    ("{id: a, goal: x, criteria: [c], checks: [test]}", "5:46: items.0.checks.0: item 'a' names the unknown check"),
    ("{id: a, goal: x, criteria: [c], role: codr}", "5:43: items.0.role: item 'a' names the unknown role 'codr'"),
    ("{id: a, goal: x, criteria: []}", "5:32: items.0.criteria: item 'a' has no acceptance criteria"),
    ("{id: a, goal: x}", "5:5: items.0.criteria: item 'a' has no acceptance criteria"),
    ("{id: a, criteria: [c]}", "5:5: items.0.goal: required, and not given"),
    ("{id: A, goal: x, criteria: [c]}", "5:10: items.0.id: must be lower-case letters, digits, "),
    ("{id: a, goal: x, criteria: [c], rolee: coder}", "5:37: items.0.rolee: unknown key 'rolee'; did you mean 'role'?"),
    ("{id: a, goal: x, criteria: c}", "5:32: items.0.criteria: must be a list, not 'c'"),
    ("{id: a, goal: x, criteria: [5]}", "5:33: items.0.criteria.0: must be text, not the number 5: put it in quotes"),
]


@pytest.mark.parametrize(("item", "told"), ITEMS)
def test_a_faulty_item(item: str, told: str, tmp_path: Path) -> None:
    (fault,) = faults_of(f"{GOOD}items:\n  - {item}\n", tmp_path)
    assert fault.startswith(f"s.yaml:{told}"), fault


def test_a_cycle_is_named_at_the_entry_that_closes_it(tmp_path: Path) -> None:
    items = [("a", "c"), ("b", "a"), ("c", "b")]
    text = "".join(f"  - {{id: {i}, goal: g{i}, criteria: [c], depends_on: [{d}]}}\n" for i, d in items)
    (fault,) = faults_of(f"{GOOD}items:\n{text}", tmp_path)
    assert fault == "s.yaml:5:51: items.0.depends_on.0: the dependencies form a cycle: a -> c -> b -> a"


def test_two_items_with_one_id_or_goal(tmp_path: Path) -> None:
    text = "items:\n" + "".join(
        f"  - {{id: {i}, goal: {g}, criteria: [c], files: [{f}]}}\n"
        for i, g, f in [("a", "x", "api/schema.json"), ("a", "y", ""), ("b", "X ", "api/schema.json")]
    )
    assert faults_of(GOOD + text, tmp_path) == [
        "s.yaml:6:10: items.1.id: two items have the id 'a'",
        "s.yaml:7:19: items.2.goal: items 'a' and 'b' have the same goal",
        "s.yaml:7:46: items.2.files.0: items 'a' and 'b' both own the contract file 'api/schema.json'",
    ]


def test_a_plan_by_hand_may_have_many_items(tmp_path: Path) -> None:
    text = "items:\n" + "".join(f"  - {{id: i{n}, goal: g{n}, criteria: [c]}}\n" for n in range(200))
    assert faults_of(GOOD + text, tmp_path) == []


def test_all_faults_come_at_once_sorted_by_place(tmp_path: Path) -> None:
    text = """\
project: notes
project: twice
timeout_s: soon
roles: {codr: "openai:x"}
land: trget
checks:
  - {name: tests, run: pytest | tee log, kind: tst}
items:
  - {id: a, goal: x, criteria: [c], depends_on: [b], checks: [test]}
  - {id: b, goal: y, criteria: [c], depends_on: [a], prio: 1}
colour: blue
"""
    told = [fault.split(": ")[0] + " " + fault.split(": ")[1] for fault in faults_of(text, tmp_path)]
    assert told == [
        "s.yaml:1:1 objective",
        "s.yaml:2:1 project",
        "s.yaml:3:12 timeout_s",
        "s.yaml:4:9 roles.codr",
        "s.yaml:5:7 land",
        "s.yaml:7:24 checks.0.run",
        "s.yaml:7:48 checks.0.kind",
        "s.yaml:9:50 items.0.depends_on.0",
        "s.yaml:9:63 items.0.checks.0",
        "s.yaml:10:54 items.1.prio",
        "s.yaml:11:1 colour",
    ]


def test_faults_of_flags_name_the_flag(tmp_path: Path) -> None:
    flags = Flags(
        budget="free",
        concurrency=0,
        checks=("tests",),
        sets=("roles.coder.model=nobody:x", "checks.7.timeout_s=5", "model.x=1", "what", "timeout_s=[1"),
    )
    told = faults_of(GOOD + "model: m\n", tmp_path, flags)
    assert told == [
        "--check: checks.0: 'tests' is not NAME=COMMAND, as in tests=\"pytest -q\"",
        "--set: $: 'what' is not PATH=VALUE, as in roles.coder.model=openai:gpt-5-mini",
        "--set timeout_s: 0: a bracket is opened here; it is not closed, or a `,` is missing between what it holds",
        "--set checks.7.timeout_s: checks.7: no such entry: there is 1, counted from 0",
        "--set model.x: model: holds no 'x': it is a single value",
        "--set roles.coder.model: roles.coder.model: unknown provider 'nobody'; write provider:model with one of "
        + ", ".join(PROVIDERS),
        "--concurrency: concurrency: must be at least 1, not 0",
        "--budget: budget_usd: must be a number or `none`, not 'free'",
    ]


def test_an_object_has_paths_and_no_lines(tmp_path: Path) -> None:
    with pytest.raises(SpecFaults) as wrong:
        resolve({"project": "p", "objective": "o", "checks": [{"name": 1}]}, Flags(), cwd=tmp_path, settings=SETTINGS)
    assert [str(fault) for fault in wrong.value.faults] == [
        "<spec>: checks.0.name: must be text, not the number 1: put it in quotes",
        "<spec>: checks.0.run: required, and not given",
    ]
    with pytest.raises(SpecFaults, match="cannot be written as JSON"):
        resolve({"project": tmp_path}, Flags(), cwd=tmp_path, settings=SETTINGS)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("none.yaml", "."):
        with pytest.raises(UsageError, match="cannot read the spec"):
            resolve(Path(name), Flags(), cwd=tmp_path, settings=SETTINGS)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["none", "a && b", "openai:x", "x:y", "../x", *get_args(Spec.model_fields["land"].annotation)]),
)
SHAPES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "run", "goal", "criteria", "depends_on", "model"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*Spec.model_fields, "task_description", "x"]), SHAPES, max_size=6))
def test_any_shape_is_a_spec_or_told_in_plain_words(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    cwd = tmp_path_factory.getbasetemp()
    try:
        resolve({"project": "p", "objective": "o"} | data, Flags(), cwd=cwd, settings=SETTINGS)
    except SpecFaults as wrong:
        assert wrong.faults
        for fault in wrong.faults:
            assert fault.path
            assert not re.search(r"(?i)pydantic|input should|value error|field required|\bstr\b|\bdict\b", str(fault))
    except UsageError as wrong:
        assert "provider" in str(wrong)
