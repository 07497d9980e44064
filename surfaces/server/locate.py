"""The Prefect server that the user names, found the way Prefect finds it but without importing Prefect."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurea.domain.errors import UsageError

SETTING = "PREFECT_API_URL"


@dataclass(frozen=True)
class NamedServer:
    """A Prefect API address and the place that names it."""

    api_url: str
    source: str


def named_server(environ: Mapping[str, str], folder: Path) -> NamedServer | None:
    """The server named for a program started in `folder` with this environment, or None where nothing names one.

    The places and their order are Prefect's: environment, `.env`, `prefect.toml`, `pyproject.toml`, active profile.
    `UsageError` where one of the files that Prefect insists on cannot be read.
    """
    dotenv = _dotenv(folder / ".env")
    toml = _toml(folder / "prefect.toml")
    project = _table(_toml(folder / "pyproject.toml"), "tool", "prefect")
    profiles = _profiles_path(environ, dotenv, toml, project, folder)
    candidates = (
        (_variable(environ, SETTING), "the environment"),
        (_variable(dotenv, SETTING), str(folder / ".env")),
        (_table(toml, "api").get("url"), str(folder / "prefect.toml")),
        (_table(project, "api").get("url"), str(folder / "pyproject.toml")),
        (_profile(profiles, environ).get(SETTING), str(profiles)),
    )
    for value, source in candidates:
        if isinstance(value, str) and value:
            return NamedServer(value.rstrip("/"), source)
    return None


def _profiles_path(
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    toml: Mapping[str, Any],
    project: Mapping[str, Any],
    folder: Path,
) -> Path:
    named = (
        environ.get("PREFECT_PROFILES_PATH")
        or dotenv.get("PREFECT_PROFILES_PATH")
        or toml.get("profiles_path")
        or project.get("profiles_path")
    )
    if named:
        return folder / str(named)
    if home := environ.get("PREFECT_HOME"):
        return folder / Path(home).expanduser() / "profiles.toml"
    return Path(environ.get("HOME") or Path.home()) / ".prefect" / "profiles.toml"


def _profile(path: Path, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The settings of the active profile; the profile that Prefect ships names no server."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # Prefect warns of it and goes on without
    return _table(document, "profiles", environ.get("PREFECT_PROFILE") or str(document.get("active")))


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as fault:
        raise UsageError(
            f"cannot look for a Prefect server in {path}: {fault}", remedy="Prefect reads this file too: repair it"
        ) from fault


def _dotenv(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value}


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    """Prefect does not mind the case of a variable's name."""
    if name in environ:
        return environ[name]
    return next((value for key, value in environ.items() if key.upper() == name), None)


def _table(document: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The table at `path`; empty where there is none."""
    for key in path:
        inner = document.get(key)
        if not isinstance(inner, Mapping):
            return {}
        document = inner
    return document
