"""What is found in a repository that says nothing about itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurea.domain.spec import Check
from aurea.intake.discover import discover

VENV = [["python3", "-m", "venv", ".venv"]]
PIP = [".venv/bin/python", "-m", "pip", "install", "-q"]
PYTEST = {"tests": ["python3", "-m", "pytest", "-q"]}
VENV_PYTEST = {"tests": [".venv/bin/python", "-m", "pytest", "-q"]}

CASES = {
    "nothing": ({}, [], {}),
    "test files": ({"tests/a/test_x.py": ""}, [], PYTEST),
    "a test file at the root": ({"test_x.py": ""}, [], PYTEST),
    "tests without test files": ({"tests/data.txt": ""}, [], {}),
    "pyproject": ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, [], PYTEST),
    "setup.cfg": ({"setup.cfg": "[tool:pytest]\n"}, [], PYTEST),
    "pytest.ini": ({"pytest.ini": ""}, [], PYTEST),
    "no tests in pyproject": ({"pyproject.toml": "[project]\nname = 'x'\n"}, [], {}),
    "broken pyproject": ({"pyproject.toml": "[", "test_x.py": ""}, [], PYTEST),
    "dependencies": (
        {"test_x.py": "", "pyproject.toml": "[project]\ndependencies = ['x']\n"},
        [*VENV, [*PIP, "-e", ".", "pytest"]],
        VENV_PYTEST,
    ),
    "extras": (
        {"test_x.py": "", "pyproject.toml": "[project]\n[project.optional-dependencies]\ndev = []\ndocs = []\n"},
        [*VENV, [*PIP, "-e", ".[dev]", "pytest"]],
        VENV_PYTEST,
    ),
    "src layout": (
        {"tests/test_x.py": "", "src/x.py": "", "pyproject.toml": "[project]\nname = 'x'\n"},
        [*VENV, [*PIP, "-e", ".", "pytest"]],
        VENV_PYTEST,
    ),
    "requirements": (
        {"test_x.py": "", "requirements.txt": "x\n"},
        [*VENV, [*PIP, "-r", "requirements.txt", "pytest"]],
        VENV_PYTEST,
    ),
    "uv": ({"test_x.py": "", "uv.lock": ""}, [["uv", "sync"]], {"tests": ["uv", "run", "pytest", "-q"]}),
    "npm": (
        {"package.json": '{"scripts": {"test": "vitest", "lint": "eslint"}}', "package-lock.json": ""},
        [["npm", "ci"]],
        {"tests": ["npm", "test"], "lint": ["npm", "run", "lint"]},
    ),
    "npm without lock": (
        {"package.json": '{"scripts": {"test": "vitest"}, "devDependencies": {"vitest": "1"}}'},
        [["npm", "install"]],
        {"tests": ["npm", "test"]},
    ),
    "npm's own placeholder": (
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
        [],
        {},
    ),
    "pnpm": (
        {"package.json": '{"scripts": {"test": "x"}}', "pnpm-lock.yaml": ""},
        [["pnpm", "install", "--frozen-lockfile"]],
        {"tests": ["pnpm", "test"]},
    ),
    "broken package.json": ({"package.json": "[1"}, [], {}),
    "odd package.json": ({"package.json": '{"scripts": ["test"]}'}, [], {}),
    "cargo": ({"Cargo.toml": ""}, [], {"tests": ["cargo", "test"]}),
    "go": ({"go.mod": ""}, [], {"tests": ["go", "test", "./..."]}),
    "make": ({"Makefile": "all: x\ntest: all\n\tx\n"}, [], {"tests": ["make", "test"]}),
    "make check": ({"Makefile": "check:\n\tx\n"}, [], {"tests": ["make", "check"]}),
    "a variable is no target": ({"Makefile": "test := x\ncheck:= y\n"}, [], {}),
    "make only where nothing else tests": ({"Makefile": "test:\n", "test_x.py": ""}, [], PYTEST),
    "two languages": ({"test_x.py": "", "go.mod": ""}, [], {**PYTEST, "tests-go": ["go", "test", "./..."]}),
}


@pytest.mark.parametrize(("files", "setup", "checks"), CASES.values(), ids=CASES)
def test_what_is_found(
    files: dict[str, str], setup: list[list[str]], checks: dict[str, list[str]], tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = discover(tmp_path)
    assert [list(step.run) for step in found.setup] == setup
    assert {check.name: list(check.run) for check in found.checks} == checks
    for check in found.checks:
        assert check.why
        Check.model_validate(check.as_spec())
