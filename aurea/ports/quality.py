"""The gate over the tables of a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from aurea.domain.events import QualityJudged


@dataclass(frozen=True)
class Judgement:
    """What the quality gate found, and the texts that are kept with it."""

    fact: QualityJudged
    bodies: Mapping[str, str]


class QualityGate(Protocol):
    """Judges the tables of one run."""

    def warm(self) -> None:
        """Get ready, beside the agents' work; returns at once, and does nothing the second time."""
        ...

    async def judge(self) -> Judgement:
        """Judge the run as it stands. What cannot be judged has not passed."""
        ...

    async def close(self) -> None:
        """End what it has started."""
        ...
