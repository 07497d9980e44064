"""The realised chain: the steps and waits that explain the whole time of a run, found by walking back from its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from aurea.topology.executed import Step


@dataclass(frozen=True)
class Link:
    """A step on the chain: how much of the time it explains, and how long it waited for its predecessor before that."""

    step: str
    kind: str
    work_s: float
    wait_s: float


def realised_chain(steps: Sequence[Step]) -> list[Link]:
    """The chain, first to last. Its work and waits sum to the time from the run's beginning to its last step's end.

    A step's predecessor is the parent that ended last, or, where it began later than that, what ended last before it
    began: that held the place it waited for.
    """
    by_id = {step.id: step for step in steps}
    ends = sorted(steps, key=lambda step: step.end)
    links: list[Link] = []
    seen: set[str] = set()
    step = ends[-1] if ends else None
    cursor = step.end if step else 0.0
    while step is not None:
        seen.add(step.id)
        start = min(step.start, cursor)
        before = predecessor(step, by_id, ends, seen, start)
        reached = min(before.end, start) if before else 0.0
        links.append(Link(step.id, step.kind, round(cursor - start, 6), round(start - reached, 6)))
        cursor, step = reached, before
    return links[::-1]


def predecessor(
    step: Step, by_id: Mapping[str, Step], ends: Sequence[Step], seen: Set[str], start: float
) -> Step | None:
    """What `step`, which began at `start`, waited for last; `ends` are all steps by their end, `seen` are left out."""
    parents = [by_id[name] for name in step.parents if name in by_id and name not in seen]
    latest = max(parents, key=lambda parent: parent.end, default=None)
    if step.kind not in ("implement", "land"):  # only these wait for a place; the others begin when they are ready
        return latest
    ready = latest.end if latest else 0.0
    held = [other for other in ends if ready < other.end <= start and other.item != step.item and other.id not in seen]
    return held[-1] if held else latest
