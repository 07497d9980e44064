"""The environment of a command, built from nothing: what it gets of the caller's, and what it gets of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

from aurea.adapters.commands.editable import EditableInstall, find_in
from aurea.domain.command_words import OWN_PYTHON

NAME, EMAIL = "Aurea", "aurea@localhost"


class Folders(Protocol):
    """Where a command has its files, its home and its temporary files."""

    @property
    def tree(self) -> Path:
        """Where it runs."""
        ...

    @property
    def home(self) -> Path:
        """Its home."""
        ...

    @property
    def tmp(self) -> Path:
        """Its temporary files."""
        ...


def build_environment(
    workspace: Folders,
    caller: Mapping[str, str],
    *,
    pass_env: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment of a command in `workspace`; nothing else gets through, keys least of all.

    Later wins: what every command gets, the names of `caller` that `pass_env` lets through, `env` of spec and check.
    """
    home, tmp = str(workspace.home), str(workspace.tmp)
    built = {
        "PATH": search_path(caller),
        "HOME": home,
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_CONFIG_HOME": f"{home}/.config",
        "XDG_DATA_HOME": f"{home}/.local/share",
        "XDG_STATE_HOME": f"{home}/.local/state",
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "CI": "1",
        # Git: nobody answers a prompt, no configuration of this machine, and never a repository above the workspace.
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(workspace.tree.parent),
        "GIT_AUTHOR_NAME": NAME,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_COMMITTER_EMAIL": EMAIL,
    }
    active = caller.get("VIRTUAL_ENV", "")
    if active and not _is_own(Path(active)):
        built["VIRTUAL_ENV"] = active
    built.update({name: caller[name] for name in pass_env if name in caller})
    built.update(env or {})
    return built


def search_path(caller: Mapping[str, str]) -> str:
    """The caller's PATH without the environment that Aurea itself is installed in, were it the active one.

    Relative entries are dropped: from a workspace they would name programs that an agent wrote.
    """
    return _without_own(caller.get("PATH", os.defpath))


@cache
def _without_own(path: str) -> str:
    """The same for one PATH, which is asked for with every command; looking at it takes dozens of system calls."""
    kept = [
        entry
        for entry in dict.fromkeys(path.split(os.pathsep))
        if entry.startswith("/") and not _is_own(Path(entry).parent)
    ]
    return os.pathsep.join(kept) or os.defpath.lstrip(os.pathsep)


def substitute(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command with `{aurea_python}` replaced by the interpreter that runs Aurea."""
    return tuple(word.replace(OWN_PYTHON, sys.executable) for word in argv)


def find_editable_install(
    caller: Mapping[str, str], repository: Path, interpreters: Iterable[Path] = ()
) -> EditableInstall | None:
    """An editable install that would make commands test the user's files in `repository`, not the workspace's.

    Looks at `python` and `python3` as commands find them, and at further `interpreters`; runs none of them.
    """
    found = dict.fromkeys(_on_path(name, search_path(caller)) for name in ("python", "python3"))
    for interpreter in [*filter(None, found), *interpreters]:
        if install := find_in(interpreter, repository):
            return install
    return None


def _on_path(name: str, path: str) -> Path | None:
    for folder in path.split(os.pathsep):
        program = Path(folder, name)
        if program.is_file() and os.access(program, os.X_OK):
            return program
    return None


def _is_own(prefix: Path) -> bool:
    """`prefix` is the virtual environment that Aurea runs in. A Python shared with the system is nobody's own."""
    return sys.prefix != sys.base_prefix and prefix.resolve() == Path(sys.prefix).resolve()
