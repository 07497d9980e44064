"""The limits of one conversation: turns, tool calls, the attempt's own time, and what the model is told near them."""

from __future__ import annotations

MAX_TURNS = 60
MAX_TOOL_CALLS = 150


class Limits:
    """Counts what a conversation used. Time is the sum of its model calls and tools, in seconds, never of waiting.

    What it says depends on the counted numbers alone, so a conversation that is taken up again is told the same.
    """

    def __init__(self, timeout_s: float, max_turns: int = MAX_TURNS, max_tool_calls: int = MAX_TOOL_CALLS) -> None:
        self.turns = 0
        self.tool_calls = 0
        self._seconds = 0.0
        self._timeout_s = timeout_s
        self._max_turns = max_turns
        self._max_tool_calls = max_tool_calls
        self._warned: set[str] = set()

    def spend(self, seconds: float) -> None:
        """Count time that a model call or a tool took."""
        self._seconds += seconds

    def remaining(self) -> float:
        """Seconds of the attempt's own time that are left; never negative."""
        return max(0.0, self._timeout_s - self._seconds)

    @property
    def out_of_calls(self) -> bool:
        """Whether no further tool may be called."""
        return self.tool_calls >= self._max_tool_calls

    def reached(self) -> str | None:
        """The limit that ends the conversation before its next turn, or None."""
        if self.turns >= self._max_turns:
            return "turns"
        if self.remaining() <= 0:
            return "time"
        if self.out_of_calls and "tool_calls" in self._warned:
            return "tool_calls"
        return None

    def explain(self, limit: str) -> str:
        """A reached limit in words."""
        words = {
            "turns": f"{self._max_turns} model turns",
            "tool_calls": f"{self._max_tool_calls} tool calls",
            "time": f"{self._timeout_s:g} s of its own time",
        }
        if limit == "context":
            return "its conversation grew longer than the model can take"
        return f"it used up its {words[limit]} before it submitted a result"

    def warning(self, result: str) -> str | None:
        """What the model is told before its next turn, once per limit that is near; `result` ends it."""
        finish = f"Call {result} now, with what is done; say what is missing."
        if self.turns == self._max_turns - 1 and self._new("turns"):
            return f"This is your last turn. {finish}"
        if self.out_of_calls and self._new("tool_calls"):
            return f"You have no tool calls left. {finish}"
        if self.remaining() < min(60.0, self._timeout_s / 5) and self._new("time"):
            return f"About {self.remaining():.0f} s of your time are left. {finish}"
        return None

    def _new(self, limit: str) -> bool:
        new = limit not in self._warned
        self._warned.add(limit)
        return new
