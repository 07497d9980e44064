"""Who refers to whom: names that files use, led to the files that define them, by what they import. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from posixpath import basename, dirname, join, normpath, splitext

from aurea.ports import Code, SourceFile

UNSURE = 3  # files that may define a name that no import leads to; of more, none is meant
GUESSED = 0.1  # what a reference counts that no import leads to
TELLING = 4  # letters from which on a name says something by itself
IMPORTED = 0.2  # what an import counts without a name
_FOLDERS = frozenset({"__init__", "index", "mod", "lib", "main"})  # files that stand for their folder

Links = dict[str, dict[str, float]]  # from a file, to a file
Uses = dict[tuple[str, str], dict[str, float]]  # of a file's name, by which files


def link(code: Code) -> tuple[Links, Uses]:
    """How strongly each file refers to each other one, and to each name in it."""
    definers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file in code.files:
        for name in dict.fromkeys(one.name for one in file.definitions):
            definers[file.family, name].append(file.path)
    lookup = _Imports(code.files)
    links: Links = {file.path: {} for file in code.files}
    uses: Uses = {}
    for file in code.files:
        imported = lookup.of(file)
        folders = _packages(file, imported)
        out = links[file.path]
        for path in imported:
            out[path] = out.get(path, 0.0) + IMPORTED
        for name, count in file.references.items():
            there = definers.get((file.family, name))
            if there is None or file.path in there:
                continue
            meant, sure = _meant(there, imported, folders)
            if sure < 1 and (len(meant) > UNSURE or len(name) < TELLING):
                continue
            strength = sure * math.sqrt(count) * _telling(name) / len(meant)
            for path in meant:
                out[path] = out.get(path, 0.0) + strength
                uses.setdefault((path, name), {})[file.path] = strength
    return links, uses


def _packages(file: SourceFile, imported: Iterable[str]) -> tuple[str, ...]:
    """Folders whose files `file` can name: those of packages that it imports, and its own in languages that import none."""
    found = dict.fromkeys(f"{dirname(path)}/" for path in imported if _stem(path) in _FOLDERS)
    if file.family in ("go", "java"):
        found[f"{dirname(file.path)}/"] = None
    return tuple(found)


def _meant(there: Sequence[str], imported: Mapping[str, None], folders: tuple[str, ...]) -> tuple[Sequence[str], float]:
    """Which of the files that define a name are meant by who imports these files and packages, and how sure that is."""
    if meant := [path for path in there if path in imported]:
        return meant, 1.0
    if folders and (meant := [path for path in there if path.startswith(folders)]):
        return meant, 1.0
    return there, GUESSED


def _telling(name: str) -> float:
    """How much a name says: short ones are used for many things, private ones are not for others."""
    if name.startswith("_"):
        return 0.2
    return 0.5 if len(name) < TELLING else 1.0


class _Imports:
    """Leads what a file imports to files of the tree."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._by_place: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._by_end: dict[tuple[str, str], list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for file in files:
            for parts in _places(file):
                self._by_place[file.family, "/".join(parts)].append(file.path)
                if parts:
                    self._by_end[file.family, parts[-1]].append((parts, file.path))

    def of(self, file: SourceFile) -> dict[str, None]:
        """The files that `file` imports, each once."""
        found: dict[str, None] = {}
        for name in file.imports:
            found |= dict.fromkeys(path for path in self._meant(file, name) if path != file.path)
        return found

    def _meant(self, file: SourceFile, name: str) -> list[str]:
        if name.startswith("."):
            place = normpath(join(dirname(file.path), name))
            for known in (place, splitext(place)[0]):
                if found := self._by_place.get((file.family, "" if known == "." else known)):
                    return found
            return []
        parts = tuple((splitext(name)[0] if file.family == "c" else name).split("/"))
        best, meant = 0, list[str]()
        for there, path in self._by_end.get((file.family, parts[-1]), ()):
            same = _same_end(parts, there)
            if same < min(len(parts), len(there)) or same < best:
                continue
            meant = [*meant, path] if same == best else [path]
            best = same
        return meant


def _places(file: SourceFile) -> list[tuple[str, ...]]:
    """The names under which a file may be imported, as parts of a path."""
    *folders, _ = file.path.split("/")
    folder = tuple(folders)
    if file.family == "go":
        return [folder]
    whole = (*folder, _stem(file.path))
    return [whole, folder] if whole[-1] in _FOLDERS else [whole]


def _stem(path: str) -> str:
    return basename(path).partition(".")[0]


def _same_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        count += 1
    return count


def callers(uses: Uses, path: str, name: str) -> Mapping[str, float]:
    """Which files use a name of a file, and how strongly."""
    return uses.get((path, name), {})
