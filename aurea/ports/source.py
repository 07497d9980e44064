"""What is known of source code by reading it: definitions, what a file refers to, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Definition:
    """Something a file defines. `depth` counts the types around it; `signature` is one line, without the body.

    `kind` is type, function or value.
    """

    name: str
    kind: str
    line: int
    depth: int
    signature: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read. `references` counts the names that it uses; `imports` are paths as it writes them.

    An import is written with `/` between its parts; one that begins with `./` or `../` is relative to the file. Names are
    looked up among files of the same `family` of languages.
    """

    path: str
    family: str
    definitions: tuple[Definition, ...] = ()
    references: Mapping[str, int] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """The code of one tree: files that were read, paths of all `others`, and how many there was no time to read."""

    files: tuple[SourceFile, ...] = ()
    others: tuple[str, ...] = ()
    unread: int = 0


class CodeReader(Protocol):
    """Reads the code of a tree, within a time that it knows itself."""

    async def read(self, tree: str, first: Sequence[str] = ()) -> Code:
        """The code of a tree or commit; where time is short, the files `first` before others."""
        ...
