"""`aurea run` before its work begins: the dry run, where a spec comes from, what goes before what, and which run it is."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAD = "project: notes\nobjective: a notes service\n"
CHECKS = "checks: [{name: tests, run: [pytest, -q]}]\n"
ITEMS = (
    "items:\n"
    "  - {id: store, goal: keep notes, criteria: [kept]}\n"
    "  - {id: api, goal: answer, criteria: [answers], depends_on: [store], role: builder}\n"
    "  - {id: docs, goal: tell, criteria: [told], depends_on: [store], role: docs, checks: [tests]}\n"
    "  - {id: start, goal: begin, criteria: [begun], depends_on: [api]}\n"
)
Plan = Callable[..., dict[str, Any]]


@pytest.fixture
def plan(shell: Any) -> Plan:
    """The dry run's document for these words; holds every dry run to making nothing."""

    def dry(*words: str | Path, **env: str) -> dict[str, Any]:
        before = sorted(shell.cwd.parent.rglob("*"))
        told = shell("run", *words, "--dry-run", "--json", **env)
        assert told.code == 0, told.err
        assert sorted(shell.cwd.parent.rglob("*")) == before
        document: dict[str, Any] = json.loads(told.out)
        return document

    return dry


@pytest.fixture
def repo(shell: Any) -> Path:
    """A user's repository with defaults."""
    folder: Path = shell.cwd / "mine"
    (folder / "sub").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    (folder / "aurea.yaml").write_text(
        "project: mine\nprovider: openai\nmodel: from-defaults\nconcurrency: 7\nbudget_usd: 3\n"
        "roles: {coder: openai:small, planner: openai:large}\nchecks: [{name: own, run: [make, test]}]\n"
    )
    return folder


def test_a_dry_run_with_items_prints_the_tree(shell: Any) -> None:
    (shell.cwd / "s.yaml").write_text(HEAD + CHECKS + ITEMS + "roles: {docs: 'openai:small'}\nsetup: [[make, env]]\n")
    told = shell("run", "s.yaml", "--dry-run")
    assert told.code == 0
    assert told.err == ""
    assert told.out.splitlines() == [
        "notes: a notes service",
        "repository  a new one",
        "provider    openai, model gpt-5-mini; at most $5.00; 4 items at once",
        "roles       builder openai:gpt-5-mini, coder openai:gpt-5-mini, docs openai:small, reviewer openai:gpt-5-mini",
        "setup       make env",
        "check       tests: pytest -q",
        "items       4, critical path store -> api -> start",
        "  store (coder): keep notes",
        "      api (builder) after store: answer",
        "      docs (docs) after store: tell",
        "          start (coder) after api: begin",
    ]
    assert not shell.home.exists()


def test_a_dry_run_without_items_says_that_the_planner_writes_them(shell: Any, plan: Plan) -> None:
    (shell.cwd / "s.yaml").write_text(HEAD + CHECKS + "unproven: false\n")
    assert "items       the planner will write them" in shell("run", "s.yaml", "--dry-run").out.splitlines()
    document = plan("s.yaml")
    assert document["items"] is None
    assert set(document["roles"]) == {"planner", "coder", "reviewer"}
    assert document["schema"] == "aurea.plan/1"


def test_a_dry_run_needs_no_key_where_the_provider_is_named(shell: Any, plan: Plan) -> None:
    (shell.cwd / "s.yaml").write_text(HEAD + CHECKS)
    assert plan("s.yaml", "--provider", "openai", OPENAI_API_KEY="")["provider"] == "openai"
    told = shell("run", "s.yaml", "--dry-run", OPENAI_API_KEY="")
    assert (told.code, told.out) == (2, "")
    assert "no provider" in told.err


def test_a_dry_run_of_what_is_unproven_says_so(shell: Any) -> None:
    (shell.cwd / "s.yaml").write_text(HEAD + "checks: []\nunproven: true\n")
    assert "check       none: what lands is unproven" in shell("run", "s.yaml", "--dry-run").out.splitlines()


def test_a_spec_from_standard_input(shell: Any, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell.cwd / "tape.yaml").write_text("schema: aurea.cassette/1\n")
    text = HEAD + CHECKS + "provider: replay\ncassette: tape.yaml\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert plan("-")["provider"] == "replay", "relative paths begin at the working directory"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"project: x\n" + CHECKS.encode())))
    told = shell("run", "-")
    assert told.code == 2
    assert told.lines[0].startswith("<stdin>:1:1: objective: ")
    assert shell.process("run", "-", "--dry-run", stdin=text).code == 0


def test_a_spec_in_json(shell: Any, plan: Plan) -> None:
    spec = {"project": "n", "task_description": "x", "checks": [{"name": "t", "run": "pytest -q"}], "concurrency": 2}
    (shell.cwd / "s.json").write_text(json.dumps(spec, indent="\t"))
    document = plan("s.json")
    assert (document["objective"], document["concurrency"]) == ("x", 2)
    assert document["checks"][0]["run"] == ["pytest", "-q"]


def test_an_objective_with_checks_needs_no_file(shell: Any, plan: Plan, repo: Path) -> None:
    (repo / "aurea.yaml").unlink()
    words = ("--objective", "fix it", "--check", "tests=pytest -q", "--check", "lint=ruff check .")
    shell.cwd = repo / "sub"
    document = plan(*words)
    assert [(check["name"], check["run"]) for check in document["checks"]] == [
        ("tests", ["pytest", "-q"]),
        ("lint", ["ruff", "check", "."]),
    ]
    assert (document["project"], document["repo"], document["objective"]) == ("mine", str(repo), "fix it")
    assert plan("--task", "fix it", *words[2:]) == document
    told = shell("run", "--objective", "fix it")
    assert (told.code, told.out) == (2, "")
    assert "no checks" in told.err
    (repo / "Makefile").write_text("test:\n\ttrue\n")
    assert plan("--objective", "fix it")["checks"][0]["run"] == ["make", "test"]


def test_what_goes_before_what(shell: Any, plan: Plan, repo: Path) -> None:
    shell.cwd = repo
    (repo / "s.yaml").write_text(HEAD + "repo: .\nconcurrency: 5\nroles: {coder: openai:mine}\n")
    bare = plan("--objective", "x", AUREA_MODEL="from-environment", AUREA_PROVIDER="replay")
    assert (bare["model"], bare["concurrency"], bare["budget_usd"], bare["project"]) == ("from-defaults", 7, 3, "mine")
    spec = plan("s.yaml")
    assert (spec["concurrency"], spec["budget_usd"], spec["project"]) == (5, 3, "notes")
    assert (spec["roles"]["coder"], spec["roles"]["planner"]) == ("openai:mine", "openai:large")
    assert [check["name"] for check in spec["checks"]] == ["own"]
    flags = plan("s.yaml", "--concurrency", "6", "--budget", "none", "--model", "flag", "--check", "a=true")
    assert (flags["concurrency"], flags["budget_usd"], flags["model"]) == (6, "none", "flag")
    assert [check["name"] for check in flags["checks"]] == ["a"]
    sets = plan(
        "s.yaml", "--set", "roles.coder.model=openai:set", "--set", "concurrency=9", "--set", "checks.0.name=new"
    )
    assert (sets["roles"]["coder"], sets["concurrency"], sets["checks"][0]["name"]) == ("openai:set", 9, "new")
    (repo / "aurea.yaml").write_text("checks: [{name: own, run: [make]}]\n")
    assert plan("s.yaml", AUREA_MODEL="from-environment")["model"] == "from-environment"
    assert plan("s.yaml")["model"] == "gpt-5-mini"


def test_relative_paths_begin_at_the_file(shell: Any, plan: Plan, repo: Path) -> None:
    (repo / "sub" / "s.yaml").write_text(HEAD + "repo: ..\n")
    assert plan(Path("mine") / "sub" / "s.yaml")["repo"] == str(repo)
    assert plan("--repo", "mine", "--objective", "x")["repo"] == str(repo), "of a flag at the working directory"
    assert json.loads(shell("-C", "mine", "run", "sub/s.yaml", "--dry-run", "--json").out)["repo"] == str(repo)


def test_nothing_to_do(shell: Any, repo: Path) -> None:
    (repo / "aurea.yaml").unlink()
    told = shell("-C", repo, "run")
    assert (told.code, told.out) == (2, "")
    assert "nothing to do: no spec, no --objective" in told.err
    told = shell("run", "--objective", "x", "--check", "a=true")
    assert told.code == 2
    assert "is in no git repository" in told.err


def test_which_run_it_is(shell: Any, finished: Path) -> None:
    on = shell.on(finished)
    folder = finished.parent
    before = on("list", "--json").out
    for words, reason in (
        ((folder / "alpha-made.yaml", "--run-id", "alpha-waits"), "run 'alpha-waits' is of another spec"),
        ((folder / "alpha-made.yaml", "--run-id", "alpha-made"), "run 'alpha-made' exists already"),
        ((folder / "alpha-waits.yaml", "--run-id", "alpha-waits", "--new"), "run 'alpha-waits' exists already"),
        ((folder / "alpha-made.yaml", "--set", "concurrency=9", "--run-id", "alpha-made"), "is of another spec"),
    ):
        told = on("run", *words)
        assert (told.code, told.out) == (2, ""), words
        assert reason in told.err
    assert on("list", "--json").out == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--set", "project=other"), "--set project: project: cannot change in the middle of a run"),
        (("--set", "max_atempts=9"), "did you mean 'max_attempts'?"),
        (("--set", "concurrency=0"), "--set concurrency: concurrency: must be at least 1"),
        (("--budget", "plenty"), "--budget: budget_usd: must be a number or `none`"),
        (("--set", "checks.0.run=true"), "cannot change in the middle of a run"),
    ],
)
def test_what_a_resume_cannot_change(words: tuple[str, ...], reason: str, shell: Any, finished: Path) -> None:
    told = shell.on(finished)("resume", "alpha-waits", *words)
    assert (told.code, told.out) == (2, "")
    assert reason in told.err


def test_what_cannot_be_played_or_recorded_is_refused_before_a_run_is_made(shell: Any) -> None:
    (shell.cwd / "bad.yaml").write_text("schema: aurea.cassette/1\n---\nitem: a\nrole: coder\n")
    (shell.cwd / "s.yaml").write_text(HEAD + CHECKS + "provider: replay\ncassette: bad.yaml\n")
    told = shell("run", "s.yaml")
    assert (told.code, told.out) == (2, "")
    assert "bad.yaml:3: conversation: " in told.err
    (shell.cwd / "tape.yaml").write_text("schema: aurea.cassette/1\nrun: another-run\n")
    (shell.cwd / "s.yaml").write_text(HEAD + CHECKS)
    for file, reason in (("tape.yaml", "holds the recording of run 'another-run'"), (".", "is a folder")):
        told = shell("run", "s.yaml", "--record", file)
        assert (told.code, told.out) == (2, "")
        assert reason in told.err
    assert json.loads(shell("list", "--json").out) == []
    assert not (shell.home / "runs").exists()


def test_a_provider_without_its_key_is_refused_before_a_run_is_made(shell: Any) -> None:
    (shell.cwd / "s.yaml").write_text(HEAD + CHECKS + "provider: openai\n")
    told = shell("run", "s.yaml", OPENAI_API_KEY="")
    assert (told.code, told.out) == (2, "")
    assert "OPENAI_API_KEY" in told.err
    assert not (shell.home / "runs").exists()
