"""`aurea init`: what it writes can be read, says what was found, explains every line, and is what runs begin with."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "python": {"tests/test_a.py": "", "requirements.txt": "x\n"},
    "node": {"package.json": '{"scripts": {"test": "vitest", "lint": "eslint"}}', "package-lock.json": ""},
    "go": {"go.mod": ""},
    "rust": {"Cargo.toml": ""},
    "make": {"Makefile": "check:\n\ttrue\n"},
    "two": {"test_x.py": "", "go.mod": ""},
    "extras": {"test_x.py": "", "pyproject.toml": "[project]\ndependencies = []\noptional-dependencies.dev = []\n"},
}


@pytest.fixture
def repo(shell: Any) -> Path:
    """A repository of the user's whose folder has an odd name."""
    folder: Path = shell.cwd / "null"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("kind", FILES)
def test_what_it_writes_says_the_same_as_what_was_found(kind: str, shell: Any, repo: Path) -> None:
    write(repo, FILES[kind])
    words = ("-C", repo, "run", "--objective", "mend it", "--dry-run", "--json")
    found = json.loads(shell(*words).out)
    told = shell("-C", repo, "init")
    assert (told.code, told.out) == (0, f"{repo / 'aurea.yaml'}\n")
    written = json.loads(shell(*words).out)
    assert written == found
    assert written["checks"]
    assert written["project"] == "null"


@pytest.mark.parametrize("kind", FILES)
def test_every_line_of_it_is_explained(kind: str, shell: Any, repo: Path) -> None:
    write(repo, FILES[kind])
    shell("-C", repo, "init")
    lines = (repo / "aurea.yaml").read_text().splitlines()
    for before, line in pairwise(lines):
        if line and not line.lstrip().startswith("#"):
            assert before.lstrip().startswith("#") or before.rstrip().endswith(":"), line


def test_it_overwrites_only_when_told_to(shell: Any, repo: Path) -> None:
    write(repo, FILES["go"] | {"aurea.yaml": "mine\n"})
    told = shell("-C", repo, "init")
    assert (told.code, told.out) == (2, "")
    assert "--force" in told.err
    assert (repo / "aurea.yaml").read_text() == "mine\n"
    assert shell("-C", repo, "init", "--force").code == 0
    assert "go.mod" in (repo / "aurea.yaml").read_text()


def test_it_is_written_at_the_root_from_a_folder_inside(shell: Any, repo: Path) -> None:
    write(repo, FILES["make"] | {"deep/er/x": ""})
    assert shell("-C", repo / "deep/er", "init").code == 0
    assert (repo / "aurea.yaml").is_file()


def test_without_any_check_it_says_that_one_is_needed(shell: Any, repo: Path) -> None:
    told = shell("-C", repo, "init")
    assert told.code == 0
    assert "no check was found" in told.err
    told = shell("-C", repo, "run", "--objective", "mend it", "--dry-run")
    assert told.code == 2
    assert "checks" in told.err
    told = shell("-C", repo, "run", "--objective", "mend it", "--check", "t=make test", "--dry-run")
    assert told.code == 0


def test_outside_of_a_repository_it_is_refused(shell: Any) -> None:
    told = shell("init")
    assert (told.code, told.out) == (2, "")
    assert "git init" in told.err
