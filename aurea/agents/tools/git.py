"""The git tools: the private, throw-away repository of the workspace. Nothing done to it counts for what lands."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from aurea.agents.policy import WRITES
from aurea.agents.tools.base import Arguments, NoArguments
from aurea.agents.tools.commands import CommandTool, Terminal, sendable, told
from aurea.agents.tools.text import cut
from aurea.domain.errors import ToolFailed, ToolRefused

MESSAGE_LIMIT = 20_000


class DiffArguments(Arguments):
    """`git_diff`."""

    ref: Annotated[str, Field(description="what to compare the files with")] = "HEAD"


class LogArguments(Arguments):
    """`git_log`."""

    limit: Annotated[int, Field(ge=1, le=200, description="how many commits")] = 20


class CommitArguments(Arguments):
    """`git_commit`."""

    message: str


async def git(terminal: Terminal, *words: str) -> str:
    """What a git command says; `ToolFailed` with its own words where it fails."""
    result = await terminal.run("git", "--no-pager", "-c", "color.ui=false", *words)
    if result.outcome == "timeout":
        return told(result)
    if result.exit_code != 0:
        raise ToolFailed(f"git ended with {result.exit_code}: {cut(result.output.strip(), 2000)}")
    return cut(result.output.rstrip())


class GitStatus(CommandTool[NoArguments]):
    """Show which files were changed, added or deleted."""

    name = "git_status"

    async def act(self, arguments: NoArguments) -> str:
        """One line per file."""
        return await git(self.terminal, "status", "--short", "--untracked-files=all") or "nothing changed"


class GitDiff(CommandTool[DiffArguments]):
    """Show the changes of tracked files against a commit, by default the last one."""

    name = "git_diff"
    arguments = DiffArguments

    async def act(self, arguments: DiffArguments) -> str:
        """The unified diff."""
        ref = arguments.ref or "HEAD"
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./@{}^~-]*", ref):
            raise ToolRefused(f"{ref!r} is no name of a commit")
        return await git(self.terminal, "diff", "--no-ext-diff", ref, "--") or f"no differences from {ref}"


class GitLog(CommandTool[LogArguments]):
    """Show the latest commits."""

    name = "git_log"
    arguments = LogArguments

    async def act(self, arguments: LogArguments) -> str:
        """One line per commit."""
        words = ("log", f"--max-count={arguments.limit}", "--date=short", "--format=%h %ad %an: %s")
        return await git(self.terminal, *words) or "no commits"


class GitCommit(CommandTool[CommitArguments]):
    """Commit all changes in the workspace's own repository. Optional: the files are taken as they are at the end."""

    name = "git_commit"
    arguments = CommitArguments
    repeatable = False
    writes = True
    effects = WRITES

    async def act(self, arguments: CommitArguments) -> str:
        """The commit in git's words."""
        message = sendable(arguments.message, "message")[:MESSAGE_LIMIT]
        await git(self.terminal, "add", "--all")
        author = ("-c", "user.name=agent", "-c", "user.email=agent@localhost")
        return await git(self.terminal, *author, "commit", "--no-verify", "-m", message)
