"""Deletes workspaces: read-only folders too, never through a symbolic link, and only what carries Aurea's mark."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from aurea.domain.errors import Blocked

MARK = "aurea-workspace"


async def remove_strays(folder: Path, keep: Iterable[Path] = ()) -> list[Path]:
    """Delete the workspaces under `folder`, at any depth of plain folders, that are not in `keep`.

    Folders without Aurea's mark are left alone, so that a wrong `AUREA_WORKSPACES` costs nobody his files. Returns what
    was deleted.
    """
    return await asyncio.to_thread(_remove_strays, folder, {path.absolute() for path in keep})


def find_strays(folder: Path, keep: Iterable[Path] = ()) -> list[Path]:
    """What `remove_strays` would delete."""
    kept = {path.absolute() for path in keep}
    return [path for path in _workspaces(folder.absolute(), depth=2) if path not in kept]


def _remove_strays(folder: Path, keep: set[Path]) -> list[Path]:
    gone: list[Path] = []
    for path in find_strays(folder, keep):
        delete_folder(path)
        gone.append(path)
    return gone


def _workspaces(folder: Path, depth: int) -> list[Path]:
    """Marked folders below `folder`: workspaces lie in one folder per run."""
    if not folder.is_dir():
        return []
    found: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or not entry.is_dir():
            continue
        if (entry / MARK).is_file():
            found.append(entry)
        elif depth > 1:
            found.extend(_workspaces(entry, depth - 1))
    return found


def delete_folder(path: Path) -> None:
    """Delete a workspace with all that is in it, or the file or link that took its place; what links point to stays.

    The mark goes last, so that a deletion which was broken off is found again. Raises `Blocked` where something stays.
    """
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        _open_folders(path)
        with os.scandir(path) as entries:
            inside = [entry for entry in entries if entry.name != MARK]
        for entry in inside:
            _delete(Path(entry.path))
        (path / MARK).unlink(missing_ok=True)
        path.rmdir()
    except OSError as failed:
        raise Blocked(f"{str(path)!r} could not be deleted: {failed}", remedy="delete it by hand") from failed


def _delete(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        _open_folders(path)
        shutil.rmtree(path)


def _open_folders(top: Path) -> None:
    """Give the owner every right on the folder `top`, and where it was locked on all folders in it."""
    if stat.S_IMODE(top.lstat().st_mode) & stat.S_IRWXU != stat.S_IRWXU:
        top.chmod(stat.S_IRWXU)
    for folder, names, _ in os.walk(
        top
    ):  # from the top down, links not followed: a folder is opened before it is listed
        for name in names:
            inner = Path(folder, name)
            mode = inner.lstat().st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
                inner.chmod(stat.S_IRWXU)
