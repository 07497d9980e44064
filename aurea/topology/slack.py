"""Room in a run: how much later each step could have ended, and how much shorter the run were without a slow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aurea.topology.chain import predecessor
from aurea.topology.executed import Step

MOST_DRAGS = 12


@dataclass(frozen=True)
class Network:
    """The executed steps as a network that gives the recorded times when it is played again.

    A step begins `lag` seconds after the last of its predecessors is over: what it had to await, and what held the
    place it waited for. `steps` stand in an order in which every predecessor comes first.
    """

    steps: tuple[Step, ...]
    before: Mapping[str, tuple[str, ...]]
    lag: Mapping[str, float]


def network(steps: Sequence[Step]) -> Network:
    """The network of `steps`, the parents of which may be incomplete or, after a resume, out of order."""
    order = sorted(steps, key=lambda step: step.end)
    place = {step.id: index for index, step in enumerate(order)}
    by_id = {step.id: step for step in order}
    before: dict[str, tuple[str, ...]] = {}
    lag: dict[str, float] = {}
    for step in order:
        found = [name for name in step.parents if name in place and place[name] < place[step.id]]
        binding = predecessor(step, by_id, order, {step.id}, step.start)
        if binding is not None and place[binding.id] < place[step.id] and binding.id not in found:
            found.append(binding.id)
        before[step.id] = tuple(found)
        lag[step.id] = step.start - max((by_id[name].end for name in found), default=0.0)
    return Network(tuple(order), before, lag)


def slack(net: Network) -> dict[str, float]:
    """For each step the seconds by which it could have ended later without making the run longer."""
    end = max((step.end for step in net.steps), default=0.0)
    latest = {step.id: end for step in net.steps}
    for step in reversed(net.steps):
        must_begin = latest[step.id] - step.seconds - net.lag[step.id]
        for name in net.before[step.id]:
            latest[name] = min(latest[name], must_begin)
    return {step.id: max(round(latest[step.id] - step.end, 6), 0.0) for step in net.steps}


def drags(net: Network, chain: Sequence[str]) -> dict[str, float]:
    """For the slowest steps of the realised chain: how many seconds shorter the run were had they taken no time.

    Found by playing the run again. A step beside the chain has none, so only those on it are looked at.
    """
    on_chain = set(chain)
    slowest = sorted((step for step in net.steps if step.id in on_chain), key=lambda step: -step.seconds)[:MOST_DRAGS]
    whole = _play(net, None)
    found = {step.id: round(whole - _play(net, step.id), 6) for step in slowest}
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def idle_while_ready(net: Network) -> float:
    """Seconds that attempts and landings, which wait for a place, spent waiting though all they needed was there."""
    return sum(max(net.lag[step.id], 0.0) for step in net.steps if step.kind in ("implement", "land"))


def _play(net: Network, without: str | None) -> float:
    """The makespan of the run, with the step `without` taking no time."""
    ends: dict[str, float] = {}
    for step in net.steps:
        ready = max((ends[name] for name in net.before[step.id]), default=0.0)
        start = max(ready + net.lag[step.id], 0.0)
        ends[step.id] = start + (0.0 if step.id == without else step.seconds)
    return max(ends.values(), default=0.0)
