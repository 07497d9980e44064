"""Repositories as users have them, with fingerprints of everything that Aurea may not touch."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aimock import missing, running

USER_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "protocol.file.allow",
    "GIT_CONFIG_VALUE_0": "always",
    **{f"GIT_{role}_NAME": "Ursula" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "ursula@example.org" for role in ("AUTHOR", "COMMITTER")},
}


class User:
    """A user at work in a repository of hers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def env(self) -> dict[str, str]:
        return dict(USER_ENV)

    def git(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", "-C", self.path, *words], env=USER_ENV, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"git {words}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def init(self, *words: str) -> User:
        self.path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "--template=", "-b", "main", *words)
        return self

    def write(self, name: str, text: str = "text\n") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
        return path

    def commit(self, message: str = "work", **files: str) -> str:
        for name, text in files.items():
            self.write(name, text)
        self.git("add", "-A")
        self.git("commit", "-q", "--no-verify", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def fingerprint(self) -> dict[str, str]:
        """A digest of every file, link and folder of hers. Objects and Aurea's own refs are left out."""
        common = Path(self.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
        git_dir = Path(self.git("rev-parse", "--absolute-git-dir"))
        found: dict[str, str] = {}
        for top in {self.path, common, git_dir}:
            for path in sorted(top.rglob("*")):
                name = str(path.relative_to(top)).removeprefix(".git/")
                if not name.startswith(("objects", "refs/aurea", "refs/heads/aurea")):
                    found[f"{top.name}: {name}"] = _digest(path)
        return found


def _digest(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"{mode:o} -> {path.readlink()}"
    return f"{mode:o} {hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ''}"


@pytest.fixture
def user_at() -> Callable[[Path], User]:
    return User


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that each test gets a copy of."""
    made = User(tmp_path_factory.mktemp("template") / "user").init()
    made.commit("first", **{"readme.md": "# Notes\n", "notes/store.py": "a = 1\nb = 2\nc = 3\n"})
    made.git("tag", "-a", "-m", "first release", "v1.0")
    made.commit("second", **{"notes/api.py": "x = 1\n"})
    return made.path


@pytest.fixture
def user(template: Path, tmp_path: Path) -> User:
    """A small repository: three files in two commits, a tag between them."""
    shutil.copytree(template, tmp_path / "user", copy_function=shutil.copyfile)
    return User(tmp_path / "user")


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running aimock."""
    if reason := missing():
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("aimock")) as address:
        yield address
