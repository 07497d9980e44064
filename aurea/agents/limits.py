"""The limits of one conversation: turns, tool calls, tokens, the attempt's own time, and what the model is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from aurea.domain.messages import Usage

MAX_TURNS = 60
MAX_TOOL_CALLS = 150
MAX_TOKENS = 5_000_000
LAST_TOKENS = 1_500  # what the answer of a last turn at the end of the money may have
LAST_TURN_S = 60.0  # what the last turn may take beyond the attempt's own time, at most


@dataclass(frozen=True)
class Allowance:
    """How much a conversation may use."""

    timeout_s: float
    turns: int = MAX_TURNS
    tool_calls: int = MAX_TOOL_CALLS
    tokens: int = MAX_TOKENS


class Limits:
    """Counts what a conversation used. Time is the sum of its model calls and tools, in seconds, never of waiting.

    What it says depends on the counted numbers alone, so a conversation that is taken up again is told the same. At a
    limit there is one last turn, `last`, which may only hand in what there is.
    """

    def __init__(self, allowed: Allowance) -> None:
        self.turns = 0
        self.tool_calls = 0
        self.tokens = 0
        self.seconds = 0.0
        self.last: str | None = None
        self._allowed = allowed
        self._warned = False

    def spend(self, seconds: float) -> None:
        """Count time that a model call or a tool took."""
        self.seconds += seconds

    def use(self, usage: Usage) -> None:
        """Count the tokens of a model call."""
        self.tokens += usage.input_tokens + usage.output_tokens

    def remaining(self) -> float:
        """Seconds of the attempt's own time that are left; never negative."""
        return max(0.0, self._allowed.timeout_s - self.seconds)

    def call_time(self) -> float:
        """How long the next model call may take, tries included. The last one has some time where none is left."""
        own = 0.0 if self.last is None else min(LAST_TURN_S, max(5.0, self._allowed.timeout_s / 5))
        return max(self.remaining(), own)

    @property
    def out_of_calls(self) -> bool:
        """Whether no further tool may be called."""
        return self.last is not None or self.tool_calls >= self._allowed.tool_calls

    def near(self) -> str | None:
        """The limit that leaves only one more turn, to hand in what there is; None: there is room for more."""
        if self.remaining() <= 0:
            return "time"
        if self.tool_calls >= self._allowed.tool_calls:
            return "tool_calls"
        if self.tokens >= self._allowed.tokens:
            return "tokens"
        return "turns" if self.turns >= self._allowed.turns - 1 else None

    def explain(self, limit: str) -> str:
        """A reached limit in words."""
        if limit == "context":
            return "its conversation grew longer than the model can take"
        return f"it used up its {self._words(limit)} before it submitted a result"

    def warning(self, result: str) -> str | None:
        """What the model is told before its next turn where time gets short, once; `result` ends the conversation."""
        if self._warned or self.remaining() >= min(60.0, self._allowed.timeout_s / 5):
            return None
        self._warned = True
        return (
            f"About {self.remaining():.0f} s of your time are left. Call {result} soon, with what is done; "
            "say what is missing."
        )

    def last_word(self, result: str) -> str:
        """What the model is told before its last turn."""
        why = {
            "turns": "This is your last turn.",
            "tool_calls": "You have no tool calls left.",
            "time": "Your time is over.",
            "tokens": "You have used up your tokens.",
            "context": "This conversation has grown longer than you can take.",
            "budget": "Your budget is used up.",
        }
        return (
            f"{why[self.last or 'turns']} Call {result} now, with what is done; say plainly what is left to do. "
            "No other tool can be called any more."
        )

    def go_on(self, result: str) -> str:
        """Take back a last turn, and what the model is told then."""
        self.last = None
        return (
            "There is money for your work again, and all your tools are back. What you handed in is kept as a report so "
            f"far. Go on where you stopped; call {result} again when everything is done."
        )

    def _words(self, limit: str) -> str:
        words = {
            "turns": f"{self._allowed.turns} model turns",
            "tool_calls": f"{self._allowed.tool_calls} tool calls",
            "time": f"{self._allowed.timeout_s:g} s of its own time",
            "tokens": f"{self._allowed.tokens} tokens",
            "budget": "budget",
        }
        return words[limit]
