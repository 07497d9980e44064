"""The file tools: read, write, append, edit, list and delete below the workspace's root."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import Field

from aurea.agents.policy import WRITES
from aurea.agents.tools.base import AgentTool, Arguments
from aurea.agents.tools.beneath import Beneath
from aurea.agents.tools.paths import parts_of
from aurea.agents.tools.text import OUTPUT_LIMIT
from aurea.domain.errors import ToolFailed, ToolRefused

LARGEST_WRITE = 2 * 1024 * 1024
LARGEST_READ = 8 * 1024 * 1024
READ_LINES = 2000
READ_CHARACTERS = 60_000
LISTED = 500

Path = Annotated[str, Field(description="relative to the workspace's root, with `/` between folders")]


class ReadArguments(Arguments):
    """`read_file`."""

    path: Path
    offset: Annotated[int, Field(ge=1, description="first line, from 1")] = 1
    limit: Annotated[int, Field(ge=1, description="how many lines")] = READ_LINES


class WriteArguments(Arguments):
    """`write_file` and `append_file`."""

    path: Path
    content: str


class EditArguments(Arguments):
    """`edit_file`."""

    path: Path
    old: Annotated[str, Field(min_length=1, description="text that stands exactly once in the file, copied exactly")]
    new: Annotated[str, Field(description="what takes its place")]


class ListArguments(Arguments):
    """`list_directory`."""

    path: Path = "."


class DeleteArguments(Arguments):
    """`delete_file`."""

    path: Path


class FileMemory:
    """The files whose content this conversation knows, because it read or wrote them."""

    def __init__(self, files: Beneath) -> None:
        self._files = files
        self._known: set[tuple[str, ...]] = set()

    def add(self, path: object) -> None:
        """The content of `path` is known from here on."""
        self._known.add(parts_of(str(path), self._files.root))

    def require(self, path: str) -> None:
        """Refuse where a file is there that was not read."""
        if self._files.has(path) and parts_of(path, self._files.root) not in self._known:
            raise ToolRefused(
                f"{path!r} exists and you have not read it: read_file it first, then decide what to write"
            )


class ReadFile(AgentTool[ReadArguments]):
    """Read a text file, whole or from line `offset` on, `limit` lines."""

    name = "read_file"
    arguments = ReadArguments

    def __init__(self, files: Beneath, memory: FileMemory) -> None:
        super().__init__()
        self._files = files
        self._memory = memory

    async def act(self, arguments: ReadArguments) -> str:
        """The lines asked for, with a note where that is not the whole file."""
        data, size = self._files.read(arguments.path, LARGEST_READ)
        if b"\0" in data[:8192]:
            return f"[{arguments.path} is a binary file of {size} bytes; it is not shown]"
        text = data.decode("utf-8", "replace")
        if not text:
            return "[the file is empty]"
        lines = [f"{line}\n" for line in text.split("\n")]
        lines[-1] = lines[-1][:-1]  # the text behind the last line end
        if not lines[-1]:
            lines.pop()
        start = arguments.offset - 1
        if start >= len(lines):
            raise ToolFailed(f"{arguments.path!r} has {len(lines)} lines; there is no line {arguments.offset}")
        shown = _within(lines[start : start + arguments.limit])
        end = start + len(shown)
        body = "".join(shown)[:READ_CHARACTERS]
        notes = []
        if start or end < len(lines):
            more = f"; go on with offset {end + 1}" if end < len(lines) else ""
            notes.append(f"lines {arguments.offset}-{end} of {len(lines)}{more}")
        if size > len(data):
            notes.append(f"only the first {len(data)} of {size} bytes can be read")
        if len(body) < sum(map(len, shown)):
            notes.append("a line was cut off")
        if "\ufffd" in body:
            notes.append("some bytes are not UTF-8")
        return f"{body}\n[{'; '.join(notes)}]" if notes else body

    def remember(self, arguments: Mapping[str, object]) -> None:
        """A file that was read is known."""
        self._memory.add(arguments["path"])


A = TypeVar("A", WriteArguments, EditArguments, DeleteArguments)


class ChangingTool(AgentTool[A]):
    """Base of the tools that change one file, each change as a whole or not at all."""

    writes = True
    effects = WRITES

    def __init__(self, files: Beneath, memory: FileMemory) -> None:
        super().__init__()
        self.files = files
        self.memory = memory

    @abstractmethod
    async def act(self, arguments: A) -> str:
        """Change the file and say so."""

    def before(self, arguments: Mapping[str, object]) -> str:
        """The digest of the file as it is now; empty where it may not be touched at all."""
        try:
            return self.files.digest(str(arguments.get("path", "")))
        except ToolRefused:
            return ""

    def remember(self, arguments: Mapping[str, object]) -> None:
        """What this conversation wrote it knows."""
        self.memory.add(arguments["path"])

    def put(self, path: str, text: str) -> int:
        """Write `text` as UTF-8; how many bytes that were."""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise ToolRefused("the content holds halves of characters and cannot be written as UTF-8") from None
        if len(data) > LARGEST_WRITE:
            raise ToolRefused(f"{len(data)} bytes are too many for one file; the limit is {LARGEST_WRITE}")
        self.files.write(path, data)
        return len(data)

    def text(self, path: str) -> str:
        """The file as text, exactly, so that nothing is lost when it is written back."""
        data, size = self.files.read(path, LARGEST_WRITE)
        if size > len(data):
            raise ToolFailed(f"{path!r} has {size} bytes; files over {LARGEST_WRITE} cannot be changed with this tool")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise ToolFailed(f"{path!r} is not UTF-8 text; change it with run_python") from None


class WriteFile(ChangingTool[WriteArguments]):
    """Write a whole file, with the folders above it. An existing file must have been read before."""

    name = "write_file"
    arguments = WriteArguments

    async def act(self, arguments: WriteArguments) -> str:
        """Replace or make the file."""
        self.memory.require(arguments.path)
        size = self.put(arguments.path, arguments.content)
        return f"wrote {size} bytes to {arguments.path}"


class AppendFile(ChangingTool[WriteArguments]):
    """Add text to the end of a file, or make it."""

    name = "append_file"
    arguments = WriteArguments

    async def act(self, arguments: WriteArguments) -> str:
        """The old content and the new behind it, put in place at once."""
        old = self.text(arguments.path) if self.files.has(arguments.path) else ""
        size = self.put(arguments.path, old + arguments.content)
        return f"{arguments.path} has {size} bytes now"

    def remember(self, arguments: Mapping[str, object]) -> None:
        """What stood there before is still not known."""


class EditFile(ChangingTool[EditArguments]):
    """Replace text that stands exactly once in a file. Copy `old` from what you have read of it, enough to be unique."""

    name = "edit_file"
    arguments = EditArguments

    async def act(self, arguments: EditArguments) -> str:
        """One replacement; says how often `old` stands there otherwise. What matches exactly once is known well enough."""
        text = self.text(arguments.path)
        old, new = arguments.old, arguments.new
        if old not in text and "\r\n" in text and "\r" not in old:
            old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
        at = text.find(old)
        if at < 0:
            raise ToolFailed(f"`old` does not stand in {arguments.path!r}; read the file and copy it exactly")
        if text.find(old, at + 1) >= 0:
            count = max(2, text.count(old))
            raise ToolFailed(f"`old` stands {count} times in {arguments.path!r}; take more lines around it")
        if old == new:
            raise ToolFailed("`old` and `new` are the same; nothing would change")
        self.put(arguments.path, text[:at] + new + text[at + len(old) :])
        return f"edited {arguments.path} at line {text.count(chr(10), 0, at) + 1}"


class DeleteFile(ChangingTool[DeleteArguments]):
    """Delete a file."""

    name = "delete_file"
    arguments = DeleteArguments

    async def act(self, arguments: DeleteArguments) -> str:
        """Delete it."""
        self.files.delete(arguments.path)
        return f"deleted {arguments.path}"

    def remember(self, arguments: Mapping[str, object]) -> None:
        """A file that is gone needs not be known."""


class ListDirectory(AgentTool[ListArguments]):
    """List a folder: folders end with `/`, files carry their size in bytes."""

    name = "list_directory"
    arguments = ListArguments

    def __init__(self, files: Beneath) -> None:
        super().__init__()
        self._files = files

    async def act(self, arguments: ListArguments) -> str:
        """One line per entry."""
        found = self._files.entries(arguments.path or ".")
        forms = {"folder": "{0.name}/", "file": "{0.name}  {0.size}", "link": "{0.name}  (symbolic link)"}
        lines: list[str] = []
        left = OUTPUT_LIMIT
        for entry in found[:LISTED]:
            line = forms.get(entry.kind, "{0.name}  (special file)").format(entry)
            left -= len(line) + 1
            if left < 0:
                break
            lines.append(line)
        if len(found) > len(lines):
            lines.append(f"[{len(found) - len(lines)} more; search_codebase looks into all of them]")
        return "\n".join(lines) or "[the folder is empty]"


def _within(lines: list[str]) -> list[str]:
    """As many lines as fit under `READ_CHARACTERS`, at least one."""
    total = 0
    for index, line in enumerate(lines):
        total += len(line)
        if total > READ_CHARACTERS and index:
            return lines[:index]
    return lines
