"""Code as it is shown: paths with the lines of their definitions, the best of it within a budget of characters. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from aurea.agents.codemap.rank import Ranked
from aurea.ports import Code, Definition, SourceFile

LINE = 120  # characters of a line
FADING = 0.15  # how much less each further definition of the same file counts
OTHERS = 0.1  # the part of the room that paths without definitions may take
NAMES, ALL_NAMES = 6, 40  # names of a folder: beside code, and where there is none that can be read
WORST = 1e-7  # what counts less than that is not worth its line


def mapped(code: Code, ranked: Ranked, room: int, *, leave_out: Collection[str] = (), others: bool = True) -> str:
    """The map: the best definitions under their files, the best file first, in at most about `room` characters.

    `others`: with the paths of files that have no definitions, in a short form.
    """
    some = (int(room * OTHERS), NAMES) if code.files else (room, ALL_NAMES)
    also = _others(code.others, *some) if others else ""
    late = f"[{code.unread} more files of code could not be read in time]" if code.unread else ""
    room -= len(also) + len(late) + 2
    by_path = {file.path: file for file in code.files}
    chosen: dict[str, dict[int, Definition]] = {}
    for score, path, one in _candidates(ranked, leave_out):
        have = chosen.get(path, {})
        wanted = [d for d in (*_around(by_path[path], one), one) if d.line not in have]
        cost = sum(len(_line(d)) + 1 for d in wanted) + (0 if have else len(path) + 1)
        if cost > room or score < WORST:
            continue
        room -= cost
        chosen.setdefault(path, {}).update({d.line: d for d in wanted})
    order = sorted(chosen, key=lambda path: (-ranked.files[path], path))
    blocks = [shown(path, [chosen[path][line] for line in sorted(chosen[path])]) for path in order]
    return "\n".join(text for text in (*blocks, also, late) if text)


def shown(path: str, definitions: Iterable[Definition]) -> str:
    """A path, and under it definitions with their lines."""
    return "\n".join((path, *(_line(one) for one in definitions)))


def outline(file: SourceFile, room: int) -> str:
    """All definitions of a file, or as many of its outer ones as `room` characters hold."""
    for depth in (9, 1, 0):
        some = [one for one in file.definitions if one.depth <= depth]
        text = shown(file.path, some)
        if len(text) <= room:
            return text
    lines = text.split("\n")
    while len(lines) > 1 and sum(len(line) + 1 for line in lines) > room - 30:
        lines.pop()
    return "\n".join((*lines, f"  [{len(some) - len(lines) + 1} more]"))


def _candidates(ranked: Ranked, leave_out: Collection[str]) -> list[tuple[float, str, Definition]]:
    """All definitions, the best first; each further one of the same file counts a little less."""
    found = []
    for path, definitions in ranked.definitions.items():
        if path in leave_out:
            continue
        best = sorted(definitions, key=lambda pair: (-pair[0], pair[1].line))
        found += [(score / (1 + FADING * place), path, one) for place, (score, one) in enumerate(best)]
    return sorted(found, key=lambda entry: (-entry[0], entry[1], entry[2].line))


def _around(file: SourceFile, wanted: Definition) -> list[Definition]:
    """The types that a definition stands in, the outermost first."""
    around: list[Definition] = []
    for one in file.definitions:
        if one is wanted or one.line > wanted.line:
            break
        del around[one.depth :]
        around.append(one)
    return around[: wanted.depth]


def _line(one: Definition) -> str:
    text = one.signature if len(one.signature) <= LINE else f"{one.signature[: LINE - 3]}..."
    return f"{one.line:5} {'  ' * one.depth}{text}"


def _others(paths: Sequence[str], room: int, most: int) -> str:
    """Files without definitions: those of a folder on one line, the outer folders first."""
    folders: dict[str, list[str]] = {}
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        folders.setdefault(str(PurePosixPath(path).parent), []).append(PurePosixPath(path).name)
    lines = ["without definitions:"]
    for folder, names in folders.items():
        some = names if len(names) <= most else [*names[: most - 2], f"and {len(names) - most + 2} more"]
        lines.append(f"  {'' if folder == '.' else f'{folder}/: '}{', '.join(some)}")
    while len(lines) > 1 and sum(len(line) + 1 for line in lines) > room:
        lines.pop()
    return "\n".join(lines) if len(lines) > 1 else ""
