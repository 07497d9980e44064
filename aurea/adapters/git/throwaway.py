"""The private repository in a workspace's tree: agents and builds read history in it, and Aurea never looks at it.

Written file by file: that is cheaper than `git init` and two more processes per workspace.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

BRANCH = "attempt"


@dataclass(frozen=True)
class History:
    """What all private repositories of a run share: where the objects are, the user's tags, how far history goes."""

    objects: Path
    object_format: str
    packed_refs: str
    shallow: bytes | None


def write_throwaway(tree: Path, base: str, index: Path, exclude: Path, history: History) -> None:
    """Write `tree/.git`: branch `attempt` at `base`, the index as checked out, tags, the user's objects."""
    folder = tree / ".git"
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (folder / name).mkdir(parents=True)
    (folder / "objects/info/alternates").write_text(f"{history.objects}\n")
    (folder / "HEAD").write_text(f"ref: refs/heads/{BRANCH}\n")
    (folder / "refs/heads" / BRANCH).write_text(f"{base}\n")
    (folder / "config").write_text(_config(history.object_format, exclude))
    if history.packed_refs:
        (folder / "packed-refs").write_text(history.packed_refs)
    if history.shallow is not None:
        (folder / "shallow").write_bytes(history.shallow)
    shutil.copy2(index, folder / "index")  # with its time: git tells by it which files it must look at again


def config_text(object_format: str, **core: str) -> str:
    """A repository configuration that every git since 2.38 understands."""
    version = "0" if object_format == "sha1" else "1"
    lines = [
        "[core]",
        f"\trepositoryformatversion = {version}",
        *(f"\t{name} = {value}" for name, value in core.items()),
    ]
    if object_format != "sha1":
        lines += ["[extensions]", f"\tobjectformat = {object_format}"]
    return "\n".join(lines) + "\n"


def _config(object_format: str, exclude: Path) -> str:
    escaped = str(exclude).replace("\\", "\\\\").replace('"', '\\"')
    return (
        config_text(
            object_format,
            bare="false",
            filemode="true",
            logallrefupdates="true",
            autocrlf="false",
            excludesFile=f'"{escaped}"',
        )
        + "[user]\n\tname = Aurea\n\temail = aurea@localhost\n"
        + "[commit]\n\tgpgsign = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    )
