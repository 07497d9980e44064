"""What a repository says about itself: how its workspaces are set up and which commands prove a change."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_PYTHON = "python3"
_VENV_PYTHON = ".venv/bin/python"
_SETUP_CFG = re.compile(r"^\[(tool:pytest|tool\.pytest)", re.MULTILINE)
_TARGET = re.compile(r"^(test|check)\s*:(?!=)", re.MULTILINE)
_NO_TEST = "no test specified"


@dataclass(frozen=True)
class Step:
    """A command for `setup`, and what it was found by."""

    run: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class FoundCheck:
    """A check, and what it was found by."""

    name: str
    run: tuple[str, ...]
    why: str
    kind: Literal["test", "lint"] = "test"

    def as_spec(self) -> dict[str, Any]:
        """The check as it is written in a spec."""
        return {"name": self.name, "run": list(self.run), "kind": self.kind}


@dataclass(frozen=True)
class Found:
    """Everything that was found; names of checks are unique."""

    setup: tuple[Step, ...] = ()
    checks: tuple[FoundCheck, ...] = ()


def discover(folder: Path) -> Found:
    """Look at the files at the root of `folder`; runs nothing. A file that makes no sense finds nothing."""
    parts = [_python(folder), _node(folder), _cargo(folder), _go(folder)]
    if not any(check.kind == "test" for part in parts for check in part.checks):
        parts.append(_make(folder))
    checks: dict[str, FoundCheck] = {}
    for check in (check for part in parts for check in part.checks):
        name = check.name if check.name not in checks else f"{check.name}-{check.run[0]}"
        checks[name] = FoundCheck(name, check.run, check.why, check.kind)
    return Found(tuple(step for part in parts for step in part.setup), tuple(checks.values()))


def _python(folder: Path) -> Found:
    project = _toml(folder / "pyproject.toml")
    why = _why_pytest(folder, project)
    if why is None:
        return Found()
    if (folder / "uv.lock").is_file():
        return Found((Step(("uv", "sync"), "uv.lock"),), (FoundCheck("tests", ("uv", "run", "pytest", "-q"), why),))
    wanted = _wanted(folder, project)
    if not wanted:
        return Found(checks=(FoundCheck("tests", (_PYTHON, "-m", "pytest", "-q"), why),))
    source = "requirements.txt" if "-r" in wanted else "pyproject.toml"
    setup = (
        Step((_PYTHON, "-m", "venv", ".venv"), f"{source} asks for packages: each workspace gets its own"),
        Step((_VENV_PYTHON, "-m", "pip", "install", "-q", *wanted, "pytest"), source),
    )
    return Found(setup, (FoundCheck("tests", (_VENV_PYTHON, "-m", "pytest", "-q"), why),))


def _why_pytest(folder: Path, project: Mapping[str, Any]) -> str | None:
    """What says that pytest tests this project, or None."""
    tools = project.get("tool")
    if isinstance(tools, dict) and "pytest" in tools:
        return "[tool.pytest] in pyproject.toml"
    if (folder / "pytest.ini").is_file():
        return "pytest.ini"
    if _SETUP_CFG.search(_text(folder / "setup.cfg")):
        return "[tool:pytest] in setup.cfg"
    for place in ("tests", "test", "."):
        inside = folder / place
        if inside.is_dir() and any(inside.glob("test_*.py" if place == "." else "**/test_*.py")):
            return "test files in " + ("the root" if place == "." else f"{place}/")
    return None


def _wanted(folder: Path, project: Mapping[str, Any]) -> tuple[str, ...]:
    """What pip must install before the tests can run; empty where the tests need no more than the files."""
    about = project.get("project")
    about = about if isinstance(about, dict) else {}
    extras = about.get("optional-dependencies")
    named = [name for name in ("test", "tests", "dev") if isinstance(extras, dict) and name in extras]
    if about and (about.get("dependencies") or named or (folder / "src").is_dir()):
        return ("-e", f".[{','.join(named)}]" if named else ".")
    if (folder / "requirements.txt").is_file():
        return ("-r", "requirements.txt")
    return ()


def _node(folder: Path) -> Found:
    package = _json(folder / "package.json")
    scripts = package.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    manager, setup = _node_setup(folder, package)
    checks = []
    if scripts.get("test") and _NO_TEST not in str(scripts["test"]):
        checks.append(FoundCheck("tests", (manager, "test"), "the script `test` in package.json"))
    if scripts.get("lint"):
        checks.append(FoundCheck("lint", (manager, "run", "lint"), "the script `lint` in package.json", "lint"))
    return Found(setup if checks else (), tuple(checks))


def _node_setup(folder: Path, package: Mapping[str, Any]) -> tuple[str, tuple[Step, ...]]:
    for lock, manager in (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn")):
        if (folder / lock).is_file():
            return manager, (Step((manager, "install", "--frozen-lockfile"), lock),)
    if (folder / "package-lock.json").is_file():
        return "npm", (Step(("npm", "ci"), "package-lock.json"),)
    if package.get("dependencies") or package.get("devDependencies"):
        return "npm", (Step(("npm", "install"), "the dependencies in package.json"),)
    return "npm", ()


def _cargo(folder: Path) -> Found:
    there = (folder / "Cargo.toml").is_file()
    return Found(checks=(FoundCheck("tests", ("cargo", "test"), "Cargo.toml"),)) if there else Found()


def _go(folder: Path) -> Found:
    there = (folder / "go.mod").is_file()
    return Found(checks=(FoundCheck("tests", ("go", "test", "./..."), "go.mod"),)) if there else Found()


def _make(folder: Path) -> Found:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        target = _TARGET.search(_text(folder / name))
        if target:
            return Found(checks=(FoundCheck("tests", ("make", target[1]), f"the target `{target[1]}` in {name}"),))
    return Found()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(_text(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
