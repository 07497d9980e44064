"""Which paths an agent may name: relative, downwards, nothing of git's. Rules on text; links are found on the way."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath

from aurea.domain.errors import ToolRefused

LONGEST_PATH = 4096
LONGEST_NAME = 255
_GIT_NAMES = frozenset({".git", "git~1"})


def parts_of(path: str, root: Path) -> tuple[str, ...]:
    """The names along `path` below the workspace `root`; `()` for the root itself. `ToolRefused` says what is wrong."""
    if not path.strip():
        raise ToolRefused("the path is empty")
    if len(path) > LONGEST_PATH:
        raise ToolRefused(f"the path is longer than {LONGEST_PATH} characters")
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        raise ToolRefused(f"the path {path!r} holds a control character")
    if "\\" in path:
        raise ToolRefused(f"the path {path!r} holds a backslash; write `/` between folders")
    if path.startswith("/"):
        raise ToolRefused(f"the path {path!r} is absolute; {_relative_hint(path, root)}")
    if path.startswith("~"):
        raise ToolRefused(f"the path {path!r} means a home folder; name files relative to the workspace's root")
    names = tuple(name for name in path.split("/") if name not in ("", "."))
    for name in names:
        _check_name(name, path)
    return names


def is_git_name(name: str) -> bool:
    """Whether some file system would take `name` for `.git`: other case, trailing dots or spaces, invisible letters."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    return visible.split(":")[0].rstrip(". ").lower() in _GIT_NAMES


def _check_name(name: str, path: str) -> None:
    if not name.strip(". "):
        raise ToolRefused(
            f"the path {path!r} leads upwards or nowhere; only files below the workspace's root can be named"
        )
    if is_git_name(name):
        raise ToolRefused(f"the path {path!r} leads into git's own files; use the git tools")
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        raise ToolRefused(f"the path {path!r} holds characters that no file name can have") from None
    if size > LONGEST_NAME:
        raise ToolRefused(f"a name in the path is longer than {LONGEST_NAME} bytes")


def _relative_hint(path: str, root: Path) -> str:
    pure = PurePosixPath(path)
    if ".." not in pure.parts and pure.is_relative_to(PurePosixPath(root)):
        return f"write it relative to the workspace's root: {str(pure.relative_to(PurePosixPath(root)))!r}"
    return "only files below the workspace's root can be named, relative to it"
