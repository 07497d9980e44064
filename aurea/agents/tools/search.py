"""Searching the workspace: ripgrep where it is there, else `git grep`; as a command, so that a costly pattern can be ended.

Both are told to read Perl's expressions and give the same answer: what git ignores, nested repositories, links and files
with a NUL are left out, whatever else ignore files and configuration of either say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from posixpath import dirname
from typing import Annotated, NamedTuple

from pydantic import Field

from aurea.agents.tools.base import Arguments
from aurea.agents.tools.beneath import Beneath
from aurea.agents.tools.commands import CommandTool, Terminal, sendable, told
from aurea.agents.tools.text import cut
from aurea.domain.errors import ToolFailed, ToolRefused
from aurea.ports import CommandResult

LIMIT_S = 30.0
LINES = 200
LINE = 300
TEXT = 2**20  # bytes of a file in which a NUL is looked for
ATTRIBUTES = 2**16  # bytes of an attributes file that are read
UNICODE = "(*UCP)"  # letters and digits of all scripts are such, as they are to ripgrep
_MATCH = re.compile(r"(?:\./)?([^\0]+)\0(\d+)[\0:]([^\n]*)\n?")
_STOPPED = re.compile(r"^.*: WARNING: stopped searching binary file.*\n?", re.MULTILINE)
_LEFT_OUT = re.compile(r"\n\.\.\. \d+ bytes left out \.\.\.\n")


class SearchArguments(Arguments):
    """`search_codebase`."""

    pattern: Annotated[str, Field(description="a regular expression, matched line by line")]
    path: Annotated[str, Field(description="file or folder to search, relative to the workspace's root")] = "."


class Match(NamedTuple):
    """A line that matches."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        path = self.path if self.path.isprintable() else json.dumps(self.path)
        text = self.text if len(self.text) <= LINE else f"{self.text[:LINE]}..."
        return f"{path}:{self.line}:{text}"


class SearchCodebase(CommandTool[SearchArguments]):
    """Search text files for a regular expression; ignored files are left out. Answers `path:line:text`."""

    name = "search_codebase"
    arguments = SearchArguments

    def __init__(self, terminal: Terminal, files: Beneath) -> None:
        super().__init__(terminal)
        self._files = files
        self._ripgrep = True

    async def act(self, arguments: SearchArguments) -> str:
        """The matching lines in the order of their paths, bounded."""
        pattern = sendable(arguments.pattern, "pattern")
        path = arguments.path or "."
        self._files.check(path)
        result = await self._by_ripgrep(pattern) if path in (".", "./") else None
        if result is None:
            result = await self._by_git(pattern, path)
        if result.outcome == "timeout":
            return told(result)
        if result.exit_code not in (0, 1):
            said = result.output.strip().replace(UNICODE, "")
            raise ToolFailed(f"the search ended with {result.exit_code}: {cut(said, 1000)}")
        whole = result.total_bytes <= len(result.output.encode())
        shown: list[str] = []
        for match in self._in_text(sorted(matches(result.output))):
            if len(shown) == LINES:
                whole = False
                break
            shown.append(str(match))
        if not whole:
            shown.append("[more matches are left out; make the pattern or the path narrower]")
        return cut("\n".join(shown)) or "no matches"

    async def _by_ripgrep(self, pattern: str) -> CommandResult | None:
        """The whole workspace searched by ripgrep; None where git is to do it, or to say what is wrong."""
        # No option of older versions keeps ripgrep from its own ignore file.
        if not self._ripgrep or self.terminal.which("rg") is None or (self._files.root / ".rgignore").exists():
            return None
        words = ("rg", "--no-config", "--pcre2", "--no-messages")
        files = ("--hidden", "--glob", "!.git", "--no-ignore-dot", "--no-ignore-parent")
        form = ("--no-heading", "--with-filename", "--line-number", "--null", "--color", "never", "--sort", "path")
        columns = ("--max-columns", str(8 * LINE), "--max-columns-preview")
        result = await self.terminal.run(*words, *files, *form, *columns, "-e", pattern, "--", "./", limit_s=LIMIT_S)
        if result.outcome == "timeout":
            return result
        self._ripgrep = "PCRE2 is not available" not in result.output
        if result.exit_code not in (0, 1) or self._git_knows_more(result.output):
            return None
        return result

    async def _by_git(self, pattern: str, path: str) -> CommandResult:
        result = await self._grep("-P", UNICODE + pattern, path)
        if result.exit_code == 128 and "compiled" in result.output:  # a git without Perl's expressions
            result = await self._grep("-E", pattern, path)
        return result

    async def _grep(self, dialect: str, pattern: str, path: str) -> CommandResult:
        words = ("git", "--no-pager", "-c", "color.ui=false", "--literal-pathspecs", "grep")
        options = ("--untracked", "--line-number", "--null", "-I", dialect, "-e", pattern, "--", path)
        return await self.terminal.run(*words, *options, limit_s=LIMIT_S)

    def _git_knows_more(self, output: str) -> bool:
        """Whether files were found in a nested repository, or attributes say of some that they are no text."""
        folders: set[str] = set()
        for match in matches(output):
            folder = dirname(match.path)
            while folder and folder not in folders:
                folders.add(folder)
                folder = dirname(folder)
        root = self._files.root
        if any((root / folder / ".git").exists() for folder in folders):
            return True
        attributes = (f"{folder}/.gitattributes".lstrip("/") for folder in ("", *folders))
        return any(b"diff" in said or b"binary" in said for said in map(self._beginning, attributes))

    def _beginning(self, path: str, most: int = ATTRIBUTES) -> bytes:
        try:
            return self._files.read(path, most)[0]
        except (ToolFailed, ToolRefused):
            return b""

    def _in_text(self, found: list[Match]) -> Iterator[Match]:
        """Those of files without a NUL."""
        binary: dict[str, bool] = {}
        for match in found:
            if match.path not in binary:
                binary[match.path] = b"\0" in self._beginning(match.path, TEXT)
            if not binary[match.path]:
                yield match


def matches(output: str) -> Iterator[Match]:
    """The matches in what git or ripgrep printed, up to where its middle was left out."""
    for path, line, text in _MATCH.findall(_STOPPED.sub("", _LEFT_OUT.split(output, maxsplit=1)[0])):
        yield Match(path, int(line), text.removesuffix("\r"))
