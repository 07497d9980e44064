"""Decides which files of a workspace may become a commit, by looking at nothing but the files themselves."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

LARGEST_BYTES = 100 * 1024 * 1024
GIT_NAME = "a name that git keeps for itself"

# Traces of tools that nobody wants landed. Only files that the base does not track are left out by it.
CLUTTER = """\
__pycache__/
*.py[co]
.pytest_cache/
.mypy_cache/
.ruff_cache/
.hypothesis/
.import_linter_cache/
.coverage
.coverage.*
.tox/
.nox/
.venv/
*.egg-info/
.eggs/
.ipynb_checkpoints/
node_modules/
.DS_Store
*.swp
"""


@dataclass
class Picked:
    """What a snapshot is made of.

    `stage` is given to git, `files` are the paths that differ from the base, `refused` says what was left out and why.
    """

    stage: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def refuse(self, path: str, reason: str) -> None:
        """Leave `path` out and say why."""
        self.refused.append(f"{os.fsencode(path).decode('utf-8', 'backslashreplace')} ({reason})")
        self.files = [other for other in self.files if other != path]


def pick(tree: Path, listed: Iterable[str], gitlinks: frozenset[str]) -> Picked:
    """Sort what `git ls-files -t -o -m -d` listed into what may be staged and what is refused.

    `gitlinks` are the submodules of the base: they stay as they are, whatever became of their folders.
    """
    root = Path(os.path.realpath(tree))
    picked = Picked()
    refused_folders: list[str] = []
    linked: dict[str, bool] = {}
    for path in sorted(gitlinks):
        refused_folders.append(f"{path}/")
        if _is_populated(tree / path):
            picked.refuse(path, "files in a submodule")
    for path in _paths(listed):
        if path.rstrip("/") in gitlinks:
            continue
        if reason := _reason(root, path):
            picked.refuse(path, reason)
            refused_folders.append(path.rstrip("/") + "/")
            continue
        picked.files.append(path)
        # Below a link that took a folder's place nothing is there any more; staging the link removes it.
        if not _under_link(root, path, linked):
            picked.stage.append(path)
    if refused_folders:
        # What was below a refused entry stays as the base has it: a refused change is no change.
        below = tuple(refused_folders)
        picked.files = [path for path in picked.files if not path.startswith(below)]
        picked.stage = [path for path in picked.stage if not path.startswith(below)]
    return picked


def may_have_gitlinks(tree: Path, listed: Iterable[str]) -> bool:
    """Whether the base may have submodules that matter: it says so, or an entry is gone or has become a folder."""
    return (tree / ".gitmodules").exists() or any(
        entry[0] == "R" or (entry[0] == "C" and (tree / entry[2:]).is_dir()) for entry in listed
    )


def _paths(listed: Iterable[str]) -> list[str]:
    """The paths in order, each once (a deleted file is listed as removed and as changed)."""
    return sorted({entry[2:] for entry in listed})


def _reason(root: Path, path: str) -> str | None:
    """Why `path` may not be committed, or None."""
    if path.endswith("/"):
        return "a repository of its own"
    if not _is_utf8(path):
        return "its name is not UTF-8"
    if any(_is_git_name(part) for part in path.split("/")):
        return GIT_NAME
    try:
        found = (root / path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None  # deleted
    if stat.S_ISLNK(found.st_mode):
        return _link_reason(root, path)
    if stat.S_ISDIR(found.st_mode):
        return None  # a folder took the place of a file
    if not stat.S_ISREG(found.st_mode):
        return "neither a file nor a link"
    if found.st_size > LARGEST_BYTES:
        return f"larger than {LARGEST_BYTES // (1024 * 1024)} MB"
    if not os.access(root / path, os.R_OK):
        return "not readable"
    return None


def _link_reason(root: Path, path: str) -> str | None:
    """Why a symbolic link may not be committed: it leaves the tree, by text or in effect, or enters `.git`."""
    target = (root / path).readlink()
    if target.is_absolute():
        return "a link to an absolute path"
    folder = Path(path).parent
    leads = Path(os.path.realpath(root / folder / target))
    if os.path.normpath(folder / target).split("/")[0] == ".." or not leads.is_relative_to(root):
        return "a link that leaves the tree"
    if any(_is_git_name(part) for part in leads.relative_to(root).parts):
        return "a link into git's own files"
    return None


def _is_git_name(part: str) -> bool:
    """Whether some file system takes `part` for `.git`: any case, short name, dots behind, unseen letters."""
    plain = "".join(letter for letter in part if letter not in _UNSEEN).lower()
    plain = plain.split(":")[0].rstrip(". ")
    return plain in {".git", "git~1"}


# Letters that HFS+ leaves out when it compares names.
_UNSEEN = frozenset("\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff")


def _under_link(root: Path, path: str, known: dict[str, bool]) -> bool:
    """Whether a folder above `path` is a symbolic link."""
    folder = path.rpartition("/")[0]
    if not folder:
        return False
    if folder not in known:
        known[folder] = (root / folder).is_symlink() or _under_link(root, folder, known)
    return known[folder]


def _is_populated(folder: Path) -> bool:
    return folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir()))


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def exclude_pattern(path: str) -> bytes:
    """A line of an exclude file that matches exactly `path`, counted from the top of the tree."""
    raw = os.fsencode(path)
    for special in (b"\\", b"*", b"?", b"["):
        raw = raw.replace(special, b"\\" + special)
    # A line end cannot be written in the file; `?` stands for any one byte but a slash.
    return b"/" + raw.replace(b"\n", b"?").replace(b" ", b"\\ ")
