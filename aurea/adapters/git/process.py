"""Runs the git program: an environment built from nothing, no hooks or helpers, typed errors, killed when cancelled."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from aurea.domain.errors import AureaError, Blocked, Permanent, Transient

IDENTITY = "Aurea <aurea@localhost>"
STDERR_TAIL = 2_000
GRACE_S = 2.0

# What no configuration may decide while Aurea works: programs to start, files to convert, logs to write.
SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=true",
    "core.quotePath=false",
    "core.logAllRefUpdates=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.pager=cat",
    "credential.helper=",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
)


class GitFailed(Permanent):
    """A git command ended with an error; the message has the command and the end of what it said."""


@dataclass(frozen=True)
class Completed:
    """How a git command ended. `cut`: it was stopped because it said more than was asked for."""

    code: int
    stdout: bytes
    stderr: str
    cut: bool = False

    @property
    def text(self) -> str:
        """Standard output as text without the last line end; names that are not UTF-8 survive the way back."""
        return os.fsdecode(self.stdout).rstrip("\n")

    @property
    def fields(self) -> list[str]:
        """Standard output split at NUL."""
        return os.fsdecode(self.stdout).split("\0")[:-1] if self.stdout else []


@cache
def program() -> str:
    """The path of the git program; `Blocked` where there is none."""
    found = shutil.which("git")
    if found is None:
        raise Blocked("git was not found on the PATH", remedy="install git 2.38 or newer")
    return str(Path(found).absolute())


def bare_environment() -> dict[str, str]:
    """An environment in which git knows nothing of the user: no home, no system or global configuration, no prompts."""
    return {
        "PATH": f"{Path(program()).parent}:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
    }


@dataclass(frozen=True)
class Git:
    """The git program with a fixed environment. `folder` is where it runs; `options` go before the command."""

    env: Mapping[str, str] = field(default_factory=bare_environment)
    folder: Path = Path("/")
    options: tuple[str, ...] = tuple(word for setting in SAFE for word in ("-c", setting))

    def at(self, folder: Path, **env: str | Path) -> Git:
        """The same with another folder and more variables."""
        return replace(self, folder=folder, env={**self.env, **{name: str(value) for name, value in env.items()}})

    async def __call__(
        self,
        *words: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (0,),
        limit: int | None = None,
    ) -> Completed:
        """Run `git WORDS` to its end.

        An exit code outside `accept` raises: `Transient` for a lock that somebody else holds, `Blocked` for what no
        change of files can mend (disk full, no permission), else `GitFailed`. With `limit`, git is stopped after that
        many bytes of output and what came is returned as `cut`.
        """
        command = (program(), *self.options, *words)
        # Its own session: Ctrl-C in the terminal is for Aurea to handle, and must not break git halfway.
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.env, **(env or {})},
            cwd=self.folder,
            start_new_session=True,
        )
        try:
            if limit is None:
                stdout, stderr = await child.communicate(stdin)
                cut = False
            else:
                stdout, stderr, cut = await _bounded(child, limit)
        except BaseException:
            await _end(child)
            raise
        code = child.returncode if child.returncode is not None else -1
        said = stderr.decode("utf-8", "replace").strip()
        if code not in accept and not cut:
            raise failure(words, code, said)
        return Completed(code, stdout, said, cut)


def failure(words: tuple[str, ...], code: int, said: str) -> AureaError:
    """The error that fits what git said."""
    tail = said[-STDERR_TAIL:] or "it said nothing"
    message = f"`git {' '.join(words)[:300]}` ended with {code}: {tail}"
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return Blocked(message, remedy="free disk space, then resume")
    if "Permission denied" in said or "Read-only file system" in said or "insufficient permission" in said:
        return Blocked(message, remedy="let this user write to the repository's object folder and refs, then resume")
    if ".lock': File exists" in said:
        return Transient(message, remedy="another git process is at work there; if none is, delete the lock file")
    return GitFailed(message, remedy="run `git fsck` in the repository if this looks like damage")


async def _bounded(child: asyncio.subprocess.Process, limit: int) -> tuple[bytes, bytes, bool]:
    """Read at most `limit` bytes of output, then stop the child."""
    assert child.stdout is not None and child.stderr is not None
    errors = asyncio.ensure_future(child.stderr.read())
    try:
        parts: list[bytes] = []
        left = limit
        while left > 0 and (part := await child.stdout.read(min(left, 65_536))):
            parts.append(part)
            left -= len(part)
        cut = left <= 0 and bool(await child.stdout.read(1))
        if cut:
            child.kill()
            while await child.stdout.read(
                65_536
            ):  # what was in the pipe; an unread pipe keeps the child's end from being seen
                pass
        stderr = await errors
        await child.wait()
    finally:
        errors.cancel()
    return b"".join(parts), stderr, cut


async def _end(child: asyncio.subprocess.Process) -> None:
    """End a git process: first so that it can take its lock files away, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.returncode is not None:
            return
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass
        waiting = asyncio.ensure_future(child.wait())
        await asyncio.wait({waiting}, timeout=GRACE_S)
        if not waiting.done():
            waiting.cancel()
