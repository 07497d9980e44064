"""Faulty specs through the real command: exit 2, every fault with its place on standard error, and nothing made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

HEAD = "project: notes\nobjective: a notes service\n"
CHECKS = "checks: [{name: tests, run: [pytest, -q]}]\n"
GOOD = HEAD + CHECKS
PLACED = re.compile(r"s\.yaml:\d+:\d+: [\w.$-]+: \S")


def items(*written: str) -> str:
    return (
        GOOD
        + "items:\n"
        + "".join(f"  - {{goal: 'do {n}', criteria: [c], {line}}}\n" for n, line in enumerate(written))
    )


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)

FAULTY: dict[str, tuple[str | bytes, list[str]]] = {
    "cycle": (
        items("id: a, depends_on: [c]", "id: b, depends_on: [a]", "id: c, depends_on: [b]"),
        ["5:55: items.0.depends_on.0: the dependencies form a cycle: a -> c -> b -> a"],
    ),
    "unknown key": (GOOD + "colour: blue\n", ["4:1: colour: unknown key 'colour'"]),
    "typo": (GOOD + "concurency: 2\n", ["4:1: concurency: unknown key 'concurency'; did you mean 'concurrency'?"]),
    "duplicate key": (GOOD + "project: x\n", ["4:1: project: the key 'project' stands here twice (first in line 1)"]),
    "wrong type": (GOOD + "concurrency: many\n", ["4:14: concurrency: must be a whole number, not 'many'"]),
    "missing field": ("project: notes\n" + CHECKS, ["1:1: objective: required, and not given"]),
    "alias bomb": (GOOD + BOMB, ["more than"]),
    "bad UTF-8": (b"project: notes\nobjective: caf\xe9\n", ["2:15: $: byte 29 (0xe9) is not UTF-8"]),
    "unknown provider": (GOOD + "provider: opnai\n", ["4:11: provider: must be one of `openai`, "]),
    "unknown provider of a role": (GOOD + "roles: {coder: 'opnai:x'}\n", ["did you mean 'openai'?"]),
    "no checks": (HEAD, ["1:1: checks: no checks, and nothing could be proven without"]),
    "empty checks": (HEAD + "checks: []\n", ["3:9: checks: no checks: nothing could be proven"]),
    "unknown check": (items("id: a, checks: [test]"), ["unknown check 'test'; the checks are tests; did you mean 'tests'?"]),
    "self-dependency": (items("id: a, depends_on: [a]"), ["items.0.depends_on.0: item 'a' depends on itself"]),
    "missing dependency": (items("id: a, depends_on: [b]"), ["item 'a' depends on 'b', which"]),
    "two items of one id": (items("id: a", "id: a"), ["items.1.id: two items have the id 'a'"]),
    "a list at the top": ("- project: notes\n", ["1:1: $: a spec is a mapping of keys to values, this is a list"]),
    "a text at the top": ("notes", ["1:1: $: a spec is a mapping of keys to values"]),
    "empty": ("", ["1:1: $: a spec is a mapping of keys to values, this is empty"]),
    "only a comment": ("# later\n", ["this is empty"]),
    "NUL": (GOOD + "base: 'a\0b'\n", ["4:9: $: the control character U+0000 may not stand here"]),
    "tabs": ("project: notes\nroles:\n\tcoder: x\n", ["3:1: "]),
    "an open quote": ("project: 'notes\nobjective: x\n", ["1:10: "]),
    "two objectives": (GOOD + "task_description: x\n", ["4:1: task_description: `objective` and `task_description`"]),
    "unknown role": (items("id: a, role: codr"), ["items.0.role: item 'a' names the unknown role 'codr'"]),
    "unknown role of roles": (GOOD + "roles: {codr: x}\n", ["4:9: roles.codr: unknown role 'codr'"]),
    "deep nesting": (GOOD + "mcp: " + "[" * 500 + "]" * 500 + "\n", ["nested deeper than 40 levels"]),
    "shell syntax": (
        HEAD + "checks: [{name: t, run: make a && make b}]\n",
        ["3:25: checks.0.run: `&&` needs a shell", "[bash, -c,"],
    ),
    "unproven with checks": (GOOD + "unproven: true\n", ["4:11: unproven: `unproven: true` goes only together with"]),
    "a bad number": (GOOD + "budget_usd: .nan\n", ["4:13: budget_usd: "]),
    "a date for a name": ("project: 2030-01-01\nobjective: x\nbase: 1.10\n" + CHECKS, ["3:7: base: "]),
    "a path outside": (HEAD + "checks: [{name: t, run: x, cwd: ../b}]\n", ["leads out of the workspace"]),
    "two documents": (GOOD + "---\nproject: two\n", ["4:1: $: a second document begins"]),
    "a tag": (GOOD + "base: !!python/object:os.system x\n", ["4:7: base: the tag "]),
}  # fmt: skip

LATER = {
    "land: pull_request": "land: `land: pull_request`: not available yet",
    "push: origin": "push: `push`: not available yet",
    "sandbox: bubblewrap": "sandbox: `sandbox: bubblewrap`: not available yet",
    "sandbox: container": "sandbox: `sandbox: container`: not available yet",
    "repo: https://example.org/x.git": "repo: a repository by URL: not available yet",
    "repo: git@example.org:x.git": "repo: a repository by URL: not available yet",
    "network: [pypi.org]": "network: `network` as a list of hosts: not available yet",
}


def refused(shell: Any, content: str | bytes, call: Any = None) -> list[str]:
    """What is said about this spec; holds the command to everything else that is promised of a faulty one."""
    path = shell.cwd / "s.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    told = (call or shell)("run", "s.yaml")
    assert told.code == 2, told
    assert told.out == ""
    assert told.lines
    assert not shell.home.exists(), "nothing is made: no ledger, no run folder"
    assert [entry.name for entry in shell.cwd.iterdir()] == ["s.yaml"]
    assert not (shell.home.parent / "workspaces").exists()
    lines: list[str] = told.lines
    return lines


@pytest.mark.parametrize("kind", FAULTY)
def test_a_faulty_spec(kind: str, shell: Any) -> None:
    content, wanted = FAULTY[kind]
    told = refused(shell, content)
    assert all(PLACED.match(line) for line in told), told
    for words in wanted:
        assert any(words in line for line in told), told


@pytest.mark.parametrize("line", LATER)
def test_what_is_not_available_yet_is_refused_and_never_ignored(line: str, shell: Any) -> None:
    (told,) = refused(shell, GOOD + line + "\n")
    assert PLACED.match(told)
    assert LATER[line] in told


@pytest.mark.parametrize("kind", ["cycle", "alias bomb", "bad UTF-8"])
def test_the_installed_command_says_the_same(kind: str, shell: Any) -> None:
    content, wanted = FAULTY[kind]
    told = refused(shell, content, shell.process)
    assert all(PLACED.match(line) for line in told), told
    assert any(wanted[0] in line for line in told)


def test_a_file_of_20_mb(shell: Any) -> None:
    (told,) = refused(shell, GOOD + "# " + "x" * 20_000_000)
    assert told.startswith("s.yaml:1:1: $: larger than")


def test_all_faults_of_a_file_at_once(shell: Any) -> None:
    told = refused(
        shell,
        "project: two words\nobjectiv: x\nland: trget\nconcurrency: 0\nchecks: [{name: t, run: a | b, kind: tst}]\n"
        "items: [{id: a, goal: x, criteria: [c], depends_on: [a], checks: [u]}]\noutput_dir: out\n",
    )
    assert [line.split(": ")[1] for line in told] == [
        "objective", "project", "objectiv", "land", "concurrency", "checks.0.run", "checks.0.kind",
        "items.0.depends_on.0", "items.0.checks.0",
    ]  # fmt: skip


def test_a_missing_file_and_a_folder(shell: Any) -> None:
    for name in ("none.yaml", "."):
        told = shell("run", name)
        assert (told.code, told.out) == (2, "")
        assert f"cannot read the spec {name}" in told.err
    assert not shell.home.exists()


def test_the_folder_for_output_stays_as_it_is(shell: Any) -> None:
    out = shell.cwd / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (shell.cwd / "s.yaml").write_text(GOOD + "output_dir: out\n")
    told = shell("run", "s.yaml")
    assert told.code == 2
    assert "output_dir" in told.err
    assert "is not empty" in told.err
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    assert not (shell.home / "runs").exists()


def test_faults_in_flags_name_the_flag(shell: Any) -> None:
    (shell.cwd / "s.yaml").write_text(GOOD)
    told = shell("run", "s.yaml", "--land", "trget", "--set", "roles.codr.model=x", "--set", "what", "--budget", "lots")
    assert told.code == 2
    flags = [line.split(": ")[0] for line in told.lines]
    assert sorted(flags) == ["--budget", "--land", "--set", "--set roles.codr.model"], told.lines
    assert not shell.home.exists()


def test_the_same_faults_with_json_leave_standard_output_empty(shell: Any) -> None:
    (shell.cwd / "s.yaml").write_text(GOOD + "colour: blue\n")
    told = shell("run", "s.yaml", "--json")
    assert (told.code, told.out) == (2, "")
    assert told.lines == ["s.yaml:4:1: colour: unknown key 'colour'"]


def test_a_fault_in_the_defaults_of_a_repository_names_that_file(shell: Any, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    (repo / ".git").mkdir(parents=True)
    (repo / "aurea.yaml").write_text("concurency: 3\nchecks: [{name: t, run: 'a > b'}]\n")
    (shell.cwd / "s.yaml").write_text(HEAD + "repo: ../repo\ncolour: blue\n")
    told = shell("run", "s.yaml")
    assert told.code == 2
    assert sorted(line.split(": ")[1] for line in told.lines) == ["checks.0.run", "colour", "concurency"]
    assert any("aurea.yaml:1:1: concurency: " in line for line in told.lines), told.lines
