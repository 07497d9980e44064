"""Good specs: where each value comes from, which provider and repository, and the digest of the result."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from aurea.domain.errors import UsageError
from aurea.domain.spec import Budgets, Spec
from aurea.intake.changes import changes
from aurea.intake.faults import SpecFaults
from aurea.intake.layers import Flags
from aurea.intake.providers import DEFAULT_MODELS
from aurea.intake.resolve import Resolved, Stored, require_free_output, resolve
from aurea.settings import Settings

SPEC = "project: notes\nobjective: from spec\nchecks: [{name: tests, run: pytest -q}]\n"
KEY = {"OPENAI_API_KEY": "k"}
NO_FLAGS = Flags()


def go(
    cwd: Path, source: object = Path("s.yaml"), flags: Flags = NO_FLAGS, env: dict[str, str] = KEY, **more: object
) -> Resolved:
    """Resolve with an environment of its own."""
    return resolve(source, flags, cwd=cwd, settings=Settings.read(env), **more)  # type: ignore[arg-type]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """What looks like a repository from outside."""
    folder = tmp_path / "Mein Projekt ü"
    (folder / ".git").mkdir(parents=True)
    return folder.resolve()


def test_a_spec_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "s.yaml").write_text(SPEC + "output_dir: ../out\n")
    got = go(tmp_path, Path("sub/s.yaml"))
    assert got.spec.objective == "from spec"
    assert got.spec.output_dir == str((tmp_path / "out").resolve())
    assert got.repo is None
    assert got.source_text == SPEC + "output_dir: ../out\n"
    assert got.source_name == "sub/s.yaml"
    assert (got.provider, got.model) == ("openai", DEFAULT_MODELS["openai"])
    assert (got.spec.provider, got.spec.model) == (got.provider, got.model)
    assert got.digest.startswith("sha256:")
    assert got.warnings == ()


def test_files_of_a_servers_command_lie_beside_the_spec(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    servers = (
        'mcp:\n  - {name: a, command: [./run, --in, ../x, ./]}\n  - {name: b, command: "python ./tools/s.py a./b"}\n'
    )
    (folder / "s.yaml").write_text(SPEC + servers)
    listed, spoken = (server.command for server in go(tmp_path, Path("a b/s.yaml")).spec.mcp)
    assert listed == (str(folder / "run"), "--in", str(tmp_path / "x"), str(folder))
    assert spoken == ("python", str(folder / "tools" / "s.py"), "a./b")


def test_the_spec_may_be_a_text_an_object_or_standard_input(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC)
    data = {"project": "notes", "task_description": "from spec", "checks": [{"name": "tests", "run": ["pytest", "-q"]}]}
    given = [
        go(tmp_path),
        go(tmp_path, SPEC),
        go(tmp_path, json.dumps(data)),
        go(tmp_path, data),
        go(tmp_path, "-", stdin=io.BytesIO(SPEC.encode())),
    ]
    assert len({got.digest for got in given}) == 1
    assert [got.source_name for got in given] == ["s.yaml", "<spec>", "<spec>", "<spec>", "<stdin>"]
    assert all(got.source_text for got in given)


def test_a_resolved_spec_survives_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        SPEC + "env: {PORT: 8080}\nsetup: [\"pip install -e '.[dev]'\"]\nrun_timeout_s: none\nbudget_usd: none\n"
        "roles: {coder: 'openai:x', planner: {options: {num_ctx: 1}}}\nnetwork: open\nmodel_headers: always\n"
        "items: [{id: a, goal: x, criteria: [c], priority: -1}]\n"
    )
    got = go(tmp_path)
    assert Spec.model_validate(json.loads(json.dumps(got.spec.model_dump(mode="json")))) == got.spec
    assert got.spec.env == {"PORT": "8080"}
    assert got.spec.setup == (("pip", "install", "-e", ".[dev]"),)
    assert got.spec.roles["coder"].model == "openai:x"


def test_the_digest_tells_specs_apart(tmp_path: Path) -> None:
    one = go(tmp_path, SPEC).digest
    assert go(tmp_path, "# words\n" + SPEC.replace(": notes", ":   'notes'")).digest == one
    assert go(tmp_path, SPEC + "concurrency: 4\n").digest == one
    assert go(tmp_path, SPEC + "concurrency: 5\n").digest != one


@pytest.mark.parametrize(
    ("flags", "spec", "defaults", "wanted"),
    [
        (Flags(), "", "", 4),
        (Flags(), "", "concurrency: 3", 3),
        (Flags(), "concurrency: 2", "concurrency: 3", 2),
        (Flags(concurrency=1), "concurrency: 2", "concurrency: 3", 1),
        (Flags(concurrency=1, sets=("concurrency=9",)), "concurrency: 2", "", 9),
        (Flags(overrides={"concurrency": 8}), "concurrency: 2", "", 8),
    ],
)
def test_the_higher_layer_wins(flags: Flags, spec: str, defaults: str, wanted: int, repo: Path) -> None:
    (repo / "aurea.yaml").write_text(f"{defaults}\nmax_attempts: 2\n")
    (repo / "s.yaml").write_text(f"{SPEC}repo: .\n{spec}\n")
    got = go(repo, flags=flags)
    assert got.spec.concurrency == wanted
    assert got.spec.max_attempts == 2
    assert got.repo == repo


@pytest.mark.parametrize(
    ("flags", "spec", "defaults", "env", "block", "wanted"),
    [
        ({"provider": "replay"}, "provider: openai", "", KEY, None, ("replay", "cassette")),
        ({}, "provider: replay", "provider: openai", KEY, None, ("replay", "cassette")),
        ({}, "", "provider: replay", {"PROVIDER": "openai"}, None, ("replay", "cassette")),
        ({}, "", "", {"AUREA_PROVIDER": "replay", **KEY}, {"provider": "openai"}, ("replay", "cassette")),
        ({}, "", "", {"ANTHROPIC_API_KEY": "k"}, {"provider": "openai", "model": "b"}, ("openai", "b")),
        ({}, "", "", KEY, None, ("openai", "gpt-5-mini")),
        ({"model": "m"}, "model: n", "", {"MODEL": "o", **KEY}, None, ("openai", "m")),
        ({}, "model: n", "model: d", {"MODEL": "o", **KEY}, None, ("openai", "n")),
        ({}, "", "model: d", {"MODEL": "o", **KEY}, None, ("openai", "d")),
        ({}, "", "", {"MODEL": "o", **KEY}, {"model": "b"}, ("openai", "o")),
        # A model that stands beside another provider belongs to that one.
        ({"provider": "openai"}, "provider: replay\nmodel: n", "", {}, None, ("openai", "gpt-5-mini")),
        ({"provider": "openai"}, "provider: openai\nmodel: n", "", {}, None, ("openai", "n")),
    ],
)
def test_which_provider_and_model(
    flags: dict[str, str],
    spec: str,
    defaults: str,
    env: dict[str, str],
    block: dict[str, str] | None,
    wanted: tuple[str, str],
    repo: Path,
) -> None:
    (repo / "c.yaml").write_text("")
    (repo / "aurea.yaml").write_text(f"{defaults}\ncassette: c.yaml\n")
    (repo / "s.yaml").write_text(f"{SPEC}repo: .\n{spec}\n")
    stored = Stored({"aurea-provider/default": block}) if block else None
    got = go(repo, flags=Flags(**flags), env=env, stored=stored)
    assert (got.provider, got.model) == wanted


def test_stored_defaults_stand_behind_everything_else(repo: Path) -> None:
    (repo / "aurea.yaml").write_text("max_attempts: 3\nblocks: {policy: all, ledger: team}\n")
    (repo / "s.yaml").write_text(SPEC + "repo: .\nconcurrency: 2\nblocks: {policy: night}\n")
    kept = {"concurrency": 7, "max_attempts": 7, "review_loops": 1, "approvals": ["plan"]}
    env = {**KEY, "AUREA_BLOCKS": "ledger=mine, workspace=fast"}
    spec = go(repo, env=env, stored=Stored({"aurea-policy/night": kept})).spec
    assert (spec.concurrency, spec.max_attempts, spec.review_loops, spec.approvals) == (2, 3, 1, ("plan",))
    names = spec.blocks.model_dump(exclude_none=True)
    assert names == {"policy": "night", "ledger": "team", "workspace": "fast"}
    given = go(repo, flags=Flags(overrides={"blocks.policy": "day", "blocks.provider": "x"})).spec.blocks
    assert (given.policy, given.provider, given.ledger) == ("day", "x", "team")


def test_a_hard_stop_of_the_day_holds_beside_those_of_a_spec(repo: Path) -> None:
    (repo / "s.yaml").write_text(SPEC + "budgets: {item_usd: 1, roles: {coder: 2}}\n")
    kept = {"budgets": {"day_usd": 20, "item_usd": 9, "roles": {"planner": 1}}}
    budgets = go(repo, stored=Stored({"aurea-policy/default": kept})).spec.budgets
    assert (budgets.day_usd, budgets.item_usd, budgets.roles) == (20, 1, {"coder": 2})


def test_faults_in_what_is_stored_name_the_block(repo: Path) -> None:
    (repo / "s.yaml").write_text(SPEC)
    with pytest.raises(SpecFaults, match="block aurea-policy/night: concurrency: "):
        go(repo, stored=Stored({"aurea-policy/night": {"concurrency": 0}}))
    with pytest.raises(SpecFaults, match=r"AUREA_BLOCKS: blocks\.polcy: .*did you mean 'policy'"):
        go(repo, env={**KEY, "AUREA_BLOCKS": "polcy=night"})
    with pytest.raises(UsageError, match="names no blocks"):
        Settings.read({"AUREA_BLOCKS": "night"})


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, r"no provider: .*OPENAI_API_KEY \(openai\).*OLLAMA_HOST \(ollama\)"),
        ({"OPENAI_API_KEY": "a", "GEMINI_API_KEY": "b"}, r"openai \(OPENAI_API_KEY\), google \(GEMINI_API_KEY\)"),
        ({"PROVIDER": "opnai", **KEY}, r"PROVIDER: unknown provider 'opnai'; did you mean 'openai'\?"),
        ({"PROVIDER": "replay", **KEY}, "PROVIDER: provider replay plays a recording"),
    ],
)
def test_a_provider_is_never_guessed(env: dict[str, str], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        go(tmp_path, SPEC, env=env)
    assert refused.value.exit_code == 2
    assert refused.value.remedy


def test_an_objective_alone_works_on_the_repository_around(repo: Path) -> None:
    (repo / "sub").mkdir()
    got = go(repo / "sub", None, Flags(objective="fix it", checks=('tests=pytest -q -k "a and b"',)))
    assert got.repo == repo
    assert got.spec.project == "Mein-Projekt-u"
    assert got.spec.checks is not None
    assert got.spec.checks[0].run == ("pytest", "-q", "-k", "a and b")
    assert got.source_text is None


def test_an_objective_takes_the_checks_of_aurea_yaml_and_not_its_plan(repo: Path) -> None:
    (repo / "aurea.yaml").write_text(
        "project: p\nobjective: usual\nchecks: [{name: lint, run: ruff check}]\n"
        "items: [{id: a, goal: x, criteria: [c]}]\n"
    )
    got = go(repo, None, Flags(objective="other"))
    assert (got.spec.project, got.spec.objective, got.spec.items) == ("p", "other", None)
    assert [check.name for check in got.spec.checks or ()] == ["lint"]
    usual = go(repo, None)
    assert usual.spec.objective == "usual"
    assert [item.id for item in usual.spec.items or ()] == ["a"]
    assert usual.source_name == "aurea.yaml"
    assert go(repo.parent, repo / "aurea.yaml").digest == usual.digest


def test_an_objective_takes_the_checks_that_can_be_found(repo: Path) -> None:
    (repo / "tests").mkdir()
    (repo / "tests" / "test_x.py").write_text("")
    got = go(repo, None, Flags(objective="fix it"))
    assert [check.run for check in got.spec.checks or ()] == [("python3", "-m", "pytest", "-q")]


@pytest.mark.parametrize("defaults", [None, "max_attempts: 2\n"])
def test_an_objective_without_any_check_is_refused(defaults: str | None, repo: Path) -> None:
    if defaults:
        (repo / "aurea.yaml").write_text(defaults)
    with pytest.raises(SpecFaults, match=r'checks: no checks, .*--check tests="COMMAND"') as refused:
        go(repo, None, Flags(objective="fix it"))
    assert len(refused.value.faults) == 1


def test_nothing_to_work_on(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing to do: no spec, no --objective, and no aurea.yaml"):
        go(repo, None)
    (repo / "aurea.yaml").write_text("checks: [{name: t, run: x}]\n")
    with pytest.raises(SpecFaults, match=r"aurea.yaml:1:1: objective: required, and not given"):
        go(repo, None)
    with pytest.raises(UsageError, match="is in no git repository"):
        go(tmp_path, None, Flags(objective="x"))


def test_aurea_yaml_stays_with_its_repository(repo: Path, tmp_path: Path) -> None:
    (repo / "aurea.yaml").write_text("repo: ..\nchecks: [{name: t, run: x}]\nproject: [\n")
    with pytest.raises(SpecFaults, match=r"aurea.yaml:4:1: project: the text ends here while a bracket is still open"):
        go(repo, None, Flags(objective="x"))
    (repo / "aurea.yaml").write_text("repo: ..\nchecks: [{name: t, run: x}]\n")
    with pytest.raises(SpecFaults, match=r"aurea.yaml:1:7: repo: aurea.yaml is about the repository it stands in"):
        go(repo, None, Flags(objective="x"))
    (tmp_path / "s.yaml").write_text(SPEC)
    assert go(tmp_path).repo is None


def test_faults_in_two_files_are_told_together(repo: Path) -> None:
    (repo / "aurea.yaml").write_text("timeout_s: soon\ncolor: x\n")
    (repo / "s.yaml").write_text(SPEC + "repo: .\nland: nowhere\n")
    with pytest.raises(SpecFaults) as wrong:
        go(repo)
    assert [(fault.file, fault.line) for fault in wrong.value.faults] == [
        ("s.yaml", 5),
        ("aurea.yaml", 1),
        ("aurea.yaml", 2),
    ]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text(""), "is no folder"),
        (lambda path: path.mkdir(), "is no git repository"),
    ],
)
def test_a_repository_that_is_none(make: object, told: str, tmp_path: Path) -> None:
    make(tmp_path / "r")  # type: ignore[operator]
    with pytest.raises(SpecFaults, match=told):
        go(tmp_path, SPEC + "repo: r\n")
    with pytest.raises(SpecFaults, match=f"--repo: repo: .*{told}"):
        go(tmp_path, SPEC, Flags(repo="r"))


def test_a_linked_worktree_is_a_repository(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".git").write_text("gitdir: elsewhere")
    assert go(tmp_path, SPEC + "repo: r\n").repo == (tmp_path / "r").resolve()


def test_sets_reach_deep(tmp_path: Path) -> None:
    text = SPEC + "roles: {coder: 'openai:x', planner: {options: {a: 1}}}\n"
    sets = (
        "roles.coder.options.temperature=0.5",
        "roles.planner.options.a=2",
        "roles.reviewer=openai:z",
        "checks.0.timeout_s=5",
        "checks.1={name: lint, run: ruff check}",
        "env.TZ=UTC",
        "budget_usd=none",
        "output_dir=out",
    )
    spec = go(tmp_path, text, Flags(sets=sets)).spec
    assert (spec.roles["coder"].model, spec.roles["coder"].options) == ("openai:x", {"temperature": 0.5})
    assert spec.roles["planner"].options == {"a": 2}
    assert spec.roles["reviewer"].model == "openai:z"
    assert spec.checks is not None
    assert [(check.name, check.timeout_s) for check in spec.checks] == [("tests", 5), ("lint", 300)]
    assert spec.env == {"TZ": "UTC"}
    assert spec.budget_usd == "none"
    assert spec.output_dir == str(tmp_path.resolve() / "out")


def test_roles_merge_role_by_role(repo: Path) -> None:
    (repo / "aurea.yaml").write_text("roles: {coder: 'openai:a', planner: 'openai:b'}\n")
    (repo / "s.yaml").write_text(SPEC + "repo: .\nroles: {coder: 'openai:c'}\n")
    roles = go(repo).spec.roles
    assert (roles["coder"].model, roles["planner"].model) == ("openai:c", "openai:b")


def test_an_unproven_run_and_no_reviewers(tmp_path: Path) -> None:
    spec = go(tmp_path, "project: p\nobjective: o\nchecks: []\nunproven: true\nreviewers: []\nsandbox: process\n").spec
    assert (spec.checks, spec.unproven, spec.reviewers) == ((), True, ())


def test_warnings_say_what_has_no_effect(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("")
    got = go(tmp_path, SPEC + "pass_env: [NOPE]\ncassette: c.yaml\n", env={**KEY, "AUREA_ZZZZZZZZ": "1"})
    assert [warning.split(":")[0] for warning in got.warnings] == [
        "the environment variable AUREA_ZZZZZZZZ is not known to Aurea and has no effect",
        "pass_env",
        "cassette",
    ]


def test_a_new_repository_needs_a_free_folder(tmp_path: Path) -> None:
    spec = go(tmp_path, SPEC + "output_dir: out\n").spec
    require_free_output(spec)
    (tmp_path / "out").mkdir()
    require_free_output(spec)
    (tmp_path / "out" / "x").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        require_free_output(spec)


def test_what_may_change_while_a_run_is_under_way(tmp_path: Path) -> None:
    spec = go(tmp_path, SPEC + "output_dir: out\n").spec
    flags = Flags(budget="7", model="m", sets=("roles.coder=openai:y", "checks.0.timeout_s=9", "max_attempts=2"))
    changed = changes(spec, flags, tmp_path)
    assert set(changed) == {"budget_usd", "model", "roles", "checks", "max_attempts"}
    after = Spec.model_validate({**spec.model_dump(mode="json"), **json.loads(json.dumps(changed))})
    assert (after.budget_usd, after.model, after.max_attempts) == (7, "m", 2)
    assert after.checks is not None
    assert after.checks[0].timeout_s == 9
    assert changes(spec, Flags(), tmp_path) == {}


def test_a_key_that_came_later_may_change_to_and_fro(tmp_path: Path) -> None:
    usual = go(tmp_path, SPEC).spec
    assert (
        not {"stream", "context", "budgets", "plugins"} & usual.model_dump(mode="json").keys()
    )  # digests of older specs
    assert changes(usual, Flags(sets=("stream=true",)), tmp_path) == {"stream": True}
    streamed = go(tmp_path, SPEC + "stream: true\n").spec
    assert changes(streamed, Flags(sets=("stream=auto",)), tmp_path) == {"stream": "auto"}
    assert changes(streamed, Flags(sets=("max_attempts=2",)), tmp_path) == {"max_attempts": 2}


def test_caps_on_money_may_change_one_by_one(tmp_path: Path) -> None:
    bare = go(tmp_path, SPEC).spec
    assert "budgets" not in bare.model_dump(mode="json")
    none = {"item_usd": "none", "day_usd": "none", "roles": {}, "items": {}}
    day = changes(bare, Flags(sets=("budgets.day_usd=5",)), tmp_path)
    assert day == {"budgets": {**none, "day_usd": 5.0}}
    more = bare.model_copy(update={"budgets": Budgets.model_validate(day["budgets"])})
    raised = changes(more, Flags(sets=("budgets.items.storage=2", "budgets.roles.coder=0.5")), tmp_path)
    assert raised == {"budgets": {**none, "day_usd": 5.0, "items": {"storage": 2.0}, "roles": {"coder": 0.5}}}
    assert changes(more, Flags(sets=("budgets.day_usd=none",)), tmp_path) == {"budgets": none}
    with pytest.raises(SpecFaults, match="unknown role 'codr'"):
        changes(more, Flags(sets=("budgets.roles.codr=1",)), tmp_path)


def test_another_provider_brings_its_model_along(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("")
    spec = go(tmp_path, SPEC + "provider: replay\ncassette: c.yaml\n").spec
    openai = Flags(sets=("provider=openai",))
    assert changes(spec, openai, tmp_path) == {"provider": "openai", "model": DEFAULT_MODELS["openai"]}
    named = Flags(sets=("provider=openai",), model="m")
    assert changes(spec, named, tmp_path) == {"provider": "openai", "model": "m"}


def test_what_may_not_change_while_a_run_is_under_way(tmp_path: Path) -> None:
    spec = go(tmp_path, SPEC).spec
    sets = ("objective=x", "checks.0.run=x", "max_attemps=1", "concurrency=0", "provider=opnai")
    with pytest.raises(SpecFaults) as wrong:
        changes(spec, Flags(sets=sets), tmp_path)
    told = [(fault.file, fault.message.split(";")[0]) for fault in wrong.value.faults]
    assert told == [
        ("--set objective", "cannot change in the middle of a run"),
        ("--set max_attemps", "cannot change in the middle of a run"),
        ("--set max_attemps", "unknown key 'max_attemps'"),
        ("--set checks.0.run", "cannot change in the middle of a run"),
        (
            "--set provider",
            "must be one of `openai`, `anthropic`, `google`, `openrouter`, `glm`, `ollama`, `mlx`, `replay`",
        ),
        ("--set concurrency", "must be at least 1, not 0"),
    ]


def test_resolving_is_quick(tmp_path: Path) -> None:
    items = "".join(f"  - {{id: i{n}, goal: g{n}, criteria: [c], files: [a{n}.py]}}\n" for n in range(12))
    (tmp_path / "s.yaml").write_text(SPEC + "items:\n" + items)
    took = []
    for _ in range(4):
        began = time.process_time()
        go(tmp_path)
        took.append(time.process_time() - began)
    assert min(took) < 0.06
