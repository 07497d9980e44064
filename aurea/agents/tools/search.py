"""Searching the workspace: `git grep` as a command, so that a costly pattern can be ended like any other."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aurea.agents.tools.base import Arguments
from aurea.agents.tools.beneath import Beneath
from aurea.agents.tools.commands import CommandTool, Terminal, sendable, told
from aurea.agents.tools.text import cut
from aurea.domain.errors import ToolFailed
from aurea.ports import CommandResult

LIMIT_S = 30.0
LINES = 200
LINE = 300


class SearchArguments(Arguments):
    """`search_codebase`."""

    pattern: Annotated[str, Field(description="a regular expression, matched line by line")]
    path: Annotated[str, Field(description="file or folder to search, relative to the workspace's root")] = "."


class SearchCodebase(CommandTool[SearchArguments]):
    """Search text files for a regular expression; ignored files are left out. Answers `path:line:text`."""

    name = "search_codebase"
    arguments = SearchArguments

    def __init__(self, terminal: Terminal, files: Beneath) -> None:
        super().__init__(terminal)
        self._files = files

    async def act(self, arguments: SearchArguments) -> str:
        """The matching lines, bounded."""
        pattern = sendable(arguments.pattern, "pattern")
        path = arguments.path or "."
        self._files.check(path)
        result = await self._grep("-P", pattern, path)
        if result.exit_code == 128 and "compiled" in result.output:  # a git without Perl's expressions
            result = await self._grep("-E", pattern, path)
        if result.outcome == "timeout":
            return told(result)
        if result.exit_code == 1:
            return "no matches"
        if result.exit_code != 0:
            raise ToolFailed(f"the search ended with {result.exit_code}: {cut(result.output.strip(), 1000)}")
        lines = result.output.splitlines()
        shown = [line if len(line) <= LINE else f"{line[:LINE]}..." for line in lines[:LINES]]
        if len(lines) > LINES or result.total_bytes > len(result.output.encode()):
            shown.append("[more matches are left out; make the pattern or the path narrower]")
        return cut("\n".join(shown))

    async def _grep(self, dialect: str, pattern: str, path: str) -> CommandResult:
        words = ("git", "--no-pager", "-c", "color.ui=false", "--literal-pathspecs", "grep")
        options = ("--untracked", "--line-number", "-I", dialect, "-e", pattern, "--", path)
        return await self.terminal.run(*words, *options, limit_s=LIMIT_S)
