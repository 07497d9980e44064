"""Which repository a run is about, looked at from outside: that it is there, its name, and whether a folder is free."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

DEFAULTS = "aurea.yaml"


def root_above(folder: Path) -> Path | None:
    """The nearest folder at or above `folder` that holds a repository's working tree, or None."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return None


def unusable(path: Path) -> str | None:
    """Why `path` cannot be the repository of a run, or None where it can."""
    if not path.exists():
        return f"{str(path)!r} does not exist; leave `repo` out for a new repository"
    if not path.is_dir():
        return f"{str(path)!r} is no folder"
    if (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()):
        return None
    above = root_above(path)
    hint = f"; it lies in the repository {str(above)!r}" if above else "; run `git init` there, or leave `repo` out"
    return f"{str(path)!r} is no git repository (it holds no .git){hint}"


def project_name(folder: Path) -> str:
    """The name of a project that nobody named: that of its folder, in the letters that names may have."""
    plain = unicodedata.normalize("NFKD", folder.name).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:64]
    return name or "project"


def is_free(folder: Path) -> bool:
    """Whether a new repository may be made at `folder`: it is not there yet, or it is an empty folder."""
    return not folder.exists() or (folder.is_dir() and next(folder.iterdir(), None) is None)
