"""Faults in what a user wrote: where each stands, and how all of them are told at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from aurea.domain.errors import UsageError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where something was written: a file with line and column, counted from 1, or a flag, which has neither."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, told as `FILE:LINE:COLUMN: PATH: message`."""

    file: str
    line: int | None
    column: int | None
    path: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}"


class SpecFaults(UsageError):
    """Everything that is wrong with a spec, sorted by place."""

    located = True

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass
class Places:
    """Where each key and each value of a document was written; `root` is where the document begins."""

    root: Place
    written: dict[tuple[KeyPath, bool], Place] = field(default_factory=dict)

    def put(self, path: KeyPath, value: Place, key: Place | None = None) -> None:
        """Remember where the value at `path` stands, and its key."""
        self.written[path, False] = value
        if key is not None:
            self.written[path, True] = key

    def of(self, path: KeyPath, *, key: bool = False) -> Place:
        """Where the value (or the key) at `path` stands; what was not written stands where its container begins."""
        if key and (path, True) in self.written:
            return self.written[path, True]
        while path:
            if (path, False) in self.written:
                return self.written[path, False]
            path = path[:-1]
        return self.root

    def graft(self, source: Places, path: KeyPath, target: KeyPath) -> None:
        """Let everything at and below `target` stand where `source` has it at and below `path`."""
        size = len(path)
        below = [(key, place) for key, place in source.written.items() if key[0][:size] == path]
        self.written.update({((*target, *inner[size:]), key): place for (inner, key), place in below})

    def drop(self, path: KeyPath) -> None:
        """Forget everything at and below `path`."""
        size = len(path)
        self.written = {key: place for key, place in self.written.items() if key[0][:size] != path}


@dataclass
class Faults:
    """Collects faults of one spec, each with the place of its path. `files` says in which order they are told."""

    places: Places
    found: dict[Fault, None] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def add(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        """One more fault at the value (or the key) at `path`."""
        self.put(self.places.of(path, key=key), path, message)

    def put(self, place: Place, path: KeyPath, message: str) -> None:
        """One more fault at `place`."""
        self.found[Fault(place.file, place.line, place.column, spelled(path), message)] = None

    def refuse(self, place: Place, path: KeyPath, message: str) -> NoReturn:
        """One more fault, after which nothing can be understood: raise all of them."""
        self.put(place, path, message)
        raise SpecFaults(self.sorted())

    def stop(self) -> None:
        """Raise `SpecFaults` where anything was found."""
        if self.found:
            raise SpecFaults(self.sorted())

    def sorted(self) -> Iterator[Fault]:
        """The faults file by file, by line and column; last what stands in no file."""
        named = dict.fromkeys([*self.files, *(fault.file for fault in self.found)])
        files = {file: rank for rank, file in enumerate(named)}
        return iter(sorted(self.found, key=lambda f: (f.line is None, files[f.file], f.line or 0, f.column or 0)))


def end_of(text: str, name: str) -> Place:
    """The place behind the last character of `text`."""
    lines = re.split(r"\r\n|\r|\n", text)
    return Place(name, len(lines), len(lines[-1]) + 1)


def spelled(path: KeyPath) -> str:
    """A path as people write it: `checks.0.run`; `$` is the whole document."""
    return ".".join(str(part) if re.fullmatch(r"[\w-]+", str(part)) else json.dumps(part) for part in path) or "$"


def did_you_mean(wrong: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of `known` is close to `wrong`, else nothing."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(wrong).lower(), names, 1)
    return f"; did you mean {names[close[0]]!r}?" if close else ""
