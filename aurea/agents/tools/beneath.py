"""A folder and nothing outside it: every name on the way is opened from the folder above it, and no link is followed.

Checking a path and then opening it loses against a link that is put there in between; a walk over descriptors does not.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aurea.agents.tools.paths import is_git_name, parts_of
from aurea.domain.errors import Blocked, ToolFailed, ToolRefused, WorkspaceLost

ABSENT = "absent"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a named pipe would wait for a writer for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """One name in a folder; `size` in bytes for files."""

    name: str
    kind: Literal["file", "folder", "link", "other"]
    size: int


class Beneath:
    """The files below `root`. `staging` is a folder on the same file system where a file is written before it is moved.

    All paths are relative text as a model writes it. Methods raise `ToolRefused` for what may not be touched,
    `ToolFailed` for what went wrong, `WorkspaceLost` where `root` is gone, `Blocked` where the disk is full.
    """

    def __init__(self, root: Path, staging: Path) -> None:
        self.root = root
        self._staging = staging

    def read(self, path: str, limit: int) -> tuple[bytes, int]:
        """The first `limit` bytes of a file, and its whole size."""
        with self._parent(path) as (folder, name), _told(path):
            file = _open_file(folder, name, path)
            try:
                return _read_up_to(file, limit), os.fstat(file).st_size
            finally:
                os.close(file)

    def digest(self, path: str) -> str:
        """The SHA-256 of a file's content, or `absent`."""
        try:
            with self._parent(path) as (folder, name), _told(path):
                if _kind_of(folder, name) is None:
                    return ABSENT
                file = _open_file(folder, name, path)
                with os.fdopen(file, "rb") as stream:
                    return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
        except ToolFailed:
            return ABSENT

    def has(self, path: str) -> bool:
        """Whether there is a file at `path`; what is no regular file is refused."""
        try:
            with self._parent(path) as (folder, name), _told(path):
                return _regular(folder, name, path) is not None
        except ToolFailed:
            return False

    def write(self, path: str, data: bytes) -> None:
        """Put a file in place as a whole, with the folders above it; the mode of an existing file stays."""
        with self._parent(path, create=True) as (folder, name), _told(path):
            self._replace(folder, name, data, _regular(folder, name, path))

    def delete(self, path: str) -> None:
        """Delete a file."""
        with self._parent(path) as (folder, name), _told(path):
            if _regular(folder, name, path) is None:
                raise ToolFailed(f"there is no file {path!r}")
            os.unlink(name, dir_fd=folder)

    def entries(self, path: str) -> list[Entry]:
        """What a folder holds, by name, without git's own files."""
        with self._folder(parts_of(path, self.root), path) as folder, _told(path):
            found = []
            with os.scandir(folder) as listing:
                for entry in listing:
                    if not is_git_name(entry.name):
                        found.append(_entry(entry))
            return sorted(found, key=lambda entry: entry.name)

    def check(self, path: str) -> None:
        """Raise unless `path` leads to a file or folder without leaving the root."""
        names = parts_of(path, self.root)
        if not names:
            return
        with self._folder(names[:-1], path) as folder, _told(path):
            mode = _kind_of(folder, names[-1])
            if mode is None:
                raise ToolFailed(f"there is no {path!r}")
            if stat.S_ISLNK(mode):
                raise ToolRefused(f"{path!r} is a symbolic link")

    def _replace(self, folder: int, name: str, data: bytes, mode: int | None) -> None:
        # Written outside the tree first: a crash leaves no half of a file, and nothing that would be committed.
        staging = os.open(self._staging, _FOLDER)
        draft = f".write-{secrets.token_hex(8)}"
        try:
            file = os.open(draft, _NEW, 0o666, dir_fd=staging)
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
                if mode is not None:
                    os.fchmod(stream.fileno(), stat.S_IMODE(mode) & 0o777)
            os.rename(draft, name, src_dir_fd=staging, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=staging)
            raise
        finally:
            os.close(staging)

    @contextmanager
    def _parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder in which the last name of `path` lies, and that name."""
        names = parts_of(path, self.root)
        if not names:
            raise ToolFailed(f"{path!r} is the workspace's root folder, not a file")
        if path.endswith(("/", "/.")):
            raise ToolFailed(f"{path!r} names a folder, not a file")
        with self._folder(names[:-1], path, create=create) as folder:
            yield folder, names[-1]

    @contextmanager
    def _folder(self, names: tuple[str, ...], path: str, *, create: bool = False) -> Iterator[int]:
        """The open folder at the end of `names`, entered one name at a time."""
        try:
            here = os.open(self.root, _FOLDER)
        except OSError as failed:
            raise WorkspaceLost(
                f"the files of the workspace {str(self.root)!r} are gone: {failed.strerror}"
            ) from failed
        try:
            for name in names:
                with _told(path):
                    below = _enter(here, name, path, create=create)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


def _enter(folder: int, name: str, path: str, *, create: bool) -> int:
    for _ in range(2):
        try:
            return os.open(name, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not create:
                raise ToolFailed(f"there is no {path!r}: the folder {name!r} does not exist") from None
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
        except OSError as failed:
            if failed.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            mode = _kind_of(folder, name)
            if mode is not None and not stat.S_ISLNK(mode):
                raise ToolFailed(f"{path!r} cannot be reached: {name!r} is a {_describe(mode)}, not a folder") from None
            raise ToolRefused(f"{path!r} leads through the symbolic link {name!r}") from None
    raise ToolFailed(f"the folder {name!r} on the way to {path!r} disappears as it is made")


def _open_file(folder: int, name: str, path: str) -> int:
    """A descriptor of a regular file for reading."""
    if _regular(folder, name, path) is None:
        raise ToolFailed(f"there is no file {path!r}")
    try:
        file = os.open(name, _READ, dir_fd=folder)
    except OSError as failed:
        if failed.errno == errno.ELOOP:  # put there since it was looked at
            raise ToolRefused(f"{path!r} is a symbolic link") from None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ToolRefused(f"{path!r} is not a regular file")
    return file


def _regular(folder: int, name: str, path: str) -> int | None:
    """The mode of the file `name`, or None where there is nothing; anything else than a file is an error."""
    mode = _kind_of(folder, name)
    if mode is None or stat.S_ISREG(mode):
        return mode
    if stat.S_ISDIR(mode):
        raise ToolFailed(f"{path!r} is a folder, not a file")
    raise ToolRefused(f"{path!r} is a {_describe(mode)}, not a regular file")


def _read_up_to(file: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    left = limit
    while left > 0 and (chunk := os.read(file, min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _kind_of(folder: int, name: str) -> int | None:
    """The mode of `name` itself, never of what a link points to; None where there is nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _describe(mode: int) -> str:
    names = {stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFREG: "file"}
    return names.get(stat.S_IFMT(mode), "device")


def _entry(entry: os.DirEntry[str]) -> Entry:
    if entry.is_symlink():
        return Entry(entry.name, "link", 0)
    if entry.is_dir(follow_symlinks=False):
        return Entry(entry.name, "folder", 0)
    if entry.is_file(follow_symlinks=False):
        return Entry(entry.name, "file", entry.stat(follow_symlinks=False).st_size)
    return Entry(entry.name, "other", 0)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What the operating system refuses, in words; a full disk is nobody's change."""
    try:
        yield
    except OSError as failed:
        if failed.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Blocked(
                f"{path!r} could not be written: the disk is full", remedy="make room, then resume"
            ) from failed
        raise ToolFailed(f"{path!r}: {failed.strerror or failed}") from failed
