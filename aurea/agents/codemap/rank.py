"""Which files and definitions matter most for a piece of work: PageRank over references, begun where the work is. Pure.

After Page, Brin, Motwani and Winograd, "The PageRank Citation Ranking: Bringing Order to the Web" (1999), with a
personalised start; that a map of a repository can be ranked so was shown by the coding tool aider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from aurea.agents.codemap.focus import Focus, is_test, relevance
from aurea.agents.codemap.links import Links, callers, link
from aurea.ports import Code, Definition, SourceFile

DAMPING = 0.6  # a reader follows a reference so often, and begins again at the work otherwise
BACKWARDS = 0.3  # how much a reference leads from what is used to who uses it
EVERYWHERE = 0.05  # the part of all beginnings that lies in all files alike
ROUNDS, CLOSE = 50, 1e-4
OWN = 0.3  # what a file's own rank adds to its definitions, beside what refers to them
LIFT = 0.7  # how far popularity is taken out: 0 not at all, 1 wholly
MOST_SPOKEN = 3.0
PRIVATE = 0.3
TEST = 0.3  # what definitions of tests count: they are found by their names, and rarely built on
KINDS = {"type": 1.0, "function": 1.0, "value": 0.5}


Steps = dict[str, list[tuple[str, float]]]


@dataclass(frozen=True)
class Ranked:
    """Files by path with their rank, and the definitions of each with theirs."""

    files: Mapping[str, float]
    definitions: Mapping[str, tuple[tuple[float, Definition], ...]]


def rank(code: Code, focus: Focus) -> Ranked:
    """Rank what `code` has for the work that `focus` describes. The same for the same input, to the last bit.

    What everything refers to ranks high whatever the work is; so each rank is held against the one without any work.
    """
    links, uses = link(code)
    about = relevance(code, focus)
    paths = [file.path for file in code.files]
    steps = _steps(_both_ways(links))
    here = pagerank(steps, _start(paths, about.files))
    anyway = pagerank(steps, _start(paths, {}))
    files = {path: here[path] / math.pow(anyway[path], LIFT) for path in paths}
    out = {path: sum(targets.values()) for path, targets in links.items()}

    def weighed(file: SourceFile, one: Definition) -> float:
        shares = [(user, by / out[user]) for user, by in callers(uses, file.path, one.name).items()]
        usual = sum(anyway[user] * share for user, share in shares)
        lifted: float = sum(here[user] * share for user, share in shares) / math.pow(usual, LIFT) if usual else 0.0
        spoken = min(MOST_SPOKEN, about.of_name(one.name) / 4)
        own: float = OWN * files[file.path] * (1 / len(file.definitions) ** 0.5 + spoken)
        return (lifted * (1 + spoken) + own) * _standing(file.path, one)

    return Ranked(
        files, {file.path: tuple((weighed(file, one), one) for one in file.definitions) for file in code.files}
    )


def pagerank(steps: Steps, start: Mapping[str, float]) -> dict[str, float]:
    """The share of time that a reader spends in each file, who takes `steps` and begins by `start` (sum 1)."""
    now = dict(start)
    for _ in range(ROUNDS):
        lost = sum(share for path, share in now.items() if path not in steps)
        again = 1 - DAMPING + DAMPING * lost
        then = {path: again * share for path, share in start.items()}
        for path, targets in steps.items():
            share = DAMPING * now[path]
            for target, part in targets:
                then[target] += share * part
        moved = sum(abs(then[path] - now[path]) for path in now)
        now = then
        if moved < CLOSE:
            break
    return now


def _start(paths: list[str], relevant: Mapping[str, float]) -> dict[str, float]:
    if not paths:
        return {}
    whole = sum(relevant.values())
    evenly = EVERYWHERE if whole else 1.0
    return {
        path: evenly / len(paths) + ((1 - evenly) * relevant.get(path, 0.0) / whole if whole else 0.0) for path in paths
    }


def _both_ways(links: Links) -> Links:
    both: Links = {path: dict(targets) for path, targets in links.items()}
    for path, targets in links.items():
        for target, weight in targets.items():
            back = both[target]
            back[path] = back.get(path, 0.0) + BACKWARDS * weight
    return both


def _steps(links: Links) -> Steps:
    """Where a reader goes from each file, with what probability."""
    whole = {path: sum(targets.values()) for path, targets in links.items() if targets}
    return {path: [(target, by / whole[path]) for target, by in links[path].items()] for path in whole}


def _standing(path: str, one: Definition) -> float:
    """What a definition counts by what it is."""
    private = PRIVATE if one.name.startswith("_") and not one.name.startswith("__") else 1.0
    return KINDS.get(one.kind, 1.0) * private * (TEST if is_test(path) else 1.0)
