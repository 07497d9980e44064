"""What a piece of work is about: the paths and words that it is written with, held against the code. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from aurea.domain.spec import ItemSpec
from aurea.ports import Code, SourceFile

NAMED = 10.0  # what a path of the work counts, against words
BUILT_ON = 4.0  # what a file counts that the work builds on
IN_NAME = 2.0  # what a word counts that stands in a file's name, against one that a definition has
IN_FOLDER = 1.5  # and one in the name of a folder above it
EXACT = 4.0  # what a name counts that the work writes out as code does
TEST = 0.5  # what the words of a test count: it leads to the code, and is not what the work is about
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+|[\w-]+\.[A-Za-z]{1,4}\b")
_QUOTED = re.compile(r"`([A-Za-z_]\w+)")
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_TEST = re.compile(r"(?:^|/)(?:tests?|spec|__tests__)/|(?:^|/)test_[^/]*$|(?:_test|\.test|\.spec|Test)\.[a-z]+$")


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A word without the ending of its form, roughly: enough to bring `landings` and `landing` together."""
    word = word.lower()
    for ending in ("ings", "ing", "ies", "ers", "er", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)].rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word


# Words that say nothing, in the form that `stem` gives them.
_EMPTY = frozenset(stem(word) for word in (
    "the", "and", "for", "with", "that", "this", "from", "into", "are", "not", "has", "have", "its", "each", "all",
    "one", "can", "must", "may", "when", "then", "than", "which", "what", "where", "who", "how", "why", "will",
    "would", "should", "does", "only", "also", "any", "other", "such", "them", "they", "their", "there", "these",
    "those", "was", "were", "been", "being", "but", "new", "use", "uses", "used", "using", "add", "adds", "added",
    "make", "makes", "made", "work", "works", "item", "items", "file", "files", "code", "test", "tests"
))  # fmt: skip


@dataclass(frozen=True)
class Focus:
    """`paths` are named by the work, `built_on` by what it depends on; `text` is the rest of what it says."""

    paths: tuple[str, ...] = ()
    built_on: tuple[str, ...] = ()
    text: str = ""

    @classmethod
    def of(cls, item: ItemSpec, built_on: Iterable[str] = ()) -> Focus:
        """What a work item is about."""
        return cls(tuple(item.files), tuple(built_on), "\n".join((item.title, item.goal, *item.criteria)))


@dataclass(frozen=True)
class Relevance:
    """How much each file matters by itself, and which words of the work a definition's name is made of."""

    files: Mapping[str, float]
    words: Mapping[str, float]
    names: frozenset[str]

    def of_name(self, name: str) -> float:
        """How much the work speaks of something called `name`."""
        by_words = sum(self.words.get(piece, 0.0) for piece in pieces(name))
        return by_words + (EXACT if name in self.names else 0.0)


def relevance(code: Code, focus: Focus) -> Relevance:
    """Hold the words of the work against names of files and definitions; rare words say more than common ones."""
    words = Counter(stem(word) for word in _WORD.findall(focus.text))
    wanted = {word for word in words if len(word) > 2 and word not in _EMPTY}
    speaks = {file.path: _spoken_in(file, wanted) for file in code.files}
    seen = Counter(word for words_of in speaks.values() for word in words_of)
    weight = {word: math.log(len(code.files) / count) for word, count in seen.items()}
    names = frozenset(name for name in _NAME.findall(focus.text) if _is_code(name)) | {*_QUOTED.findall(focus.text)}
    named = [*focus.paths, *_PATH.findall(focus.text)]
    found: dict[str, float] = {}
    for file in code.files:
        path = file.path
        score = sum(weight[word] * by for word, by in speaks[path].items())
        score += EXACT * sum(one.name in names for one in file.definitions)
        # One file that the words speak of says more than many that they touch.
        score = score**2 / 10 * (TEST if is_test(path) else 1.0)
        score += NAMED * 10 * any(stands_for(name, path) for name in named)
        score += BUILT_ON * 10 * any(stands_for(name, path) for name in focus.built_on)
        if score:
            found[path] = score
    return Relevance(found, weight, names)


def stands_for(name: str, path: str) -> bool:
    """Whether `name`, as somebody wrote it, means the file `path`: itself, a folder above it, a pattern, its end."""
    name = name.strip().removeprefix("./").rstrip("/")
    if not name:
        return False
    if any(sign in name for sign in "*?["):
        return PurePosixPath(path).match(name)
    return path == name or path.startswith(f"{name}/") or path.endswith(f"/{name}")


@lru_cache(maxsize=50_000)
def pieces(name: str) -> frozenset[str]:
    """The words that a name is made of, in one form: `readStems` and `read_stem` are read and stem."""
    return frozenset(stem(piece) for piece in _PIECES.findall(name))


def is_test(path: str) -> bool:
    """Whether a file lies among tests, or is called one."""
    return bool(_TEST.search(path))


def _spoken_in(file: SourceFile, wanted: Set[str]) -> dict[str, float]:
    """Those of the words `wanted` that the file's names hold, with what they count there."""
    path = PurePosixPath(file.path)
    found: dict[str, float] = {}
    for one in file.definitions:
        found.update(dict.fromkeys(pieces(one.name) & wanted, 1.0))
    for folder in path.parent.parts:
        found.update(dict.fromkeys(pieces(folder) & wanted, IN_FOLDER))
    found.update(dict.fromkeys(pieces(path.stem) & wanted, IN_NAME))
    return dict(sorted(found.items()))


def _is_code(name: str) -> bool:
    """Whether a word is written as only code is."""
    return "_" in name.strip("_") or (name[1:] != name[1:].lower() and name != name.upper())


def matching(names: Sequence[str], paths: Iterable[str]) -> list[str]:
    """Those of `paths` that `names` stand for, in the order of the names."""
    known = list(paths)
    return list(dict.fromkeys(path for name in names for path in known if stands_for(name, path)))
