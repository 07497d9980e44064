"""Time that a model call spends waiting for its turn, which does not count as the call's own."""

from __future__ import annotations

from aurea.domain.state import Place


class Waiting:
    """Seconds waited so far, by the place of the call. The layers that wait add to it, the journal takes them off."""

    def __init__(self) -> None:
        self._seconds: dict[Place, float] = {}

    def add(self, place: Place, seconds: float) -> None:
        """The call at `place` waited."""
        self._seconds[place] = self._seconds.get(place, 0.0) + seconds

    def of(self, place: Place) -> float:
        """What the call at `place` has waited so far."""
        return self._seconds.get(place, 0.0)

    def take(self, place: Place) -> float:
        """What the call at `place` waited in all; forgets it."""
        return self._seconds.pop(place, 0.0)
