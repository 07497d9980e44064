"""Watches how a conversation goes: a score from 0 to 100 by what can be counted, and what the agent is told by it.

Everything follows from calls, answers and recorded seconds, so a conversation that is taken up again is judged the same.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aurea.agents.hands import Answer
from aurea.agents.loopguard import call_hash

EVERY_CALLS = 15
EVERY_S = 60.0
WINDOW = 15
PAUSE = 5  # calls, and
PAUSE_TURNS = 3  # turns that an agent has to change course before it is told again
IGNORED = 3
WAIT_S = 10.0
BETTER = 5

Tone = Literal["", "gentle", "direct", "firm"]

_PASSING = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?\s?(?:ms|s|seconds?)\b|\d\d:\d\d(?::\d\d)?|'[^'\n]*'", re.IGNORECASE)
_COMMANDS = ("run_shell", "run_python")
_UNCHANGED = ((60, 80), (45, 60), (30, 35))  # so many calls without a change cost so much
_WRITTEN = ((80_000, 60), (40_000, 35))  # and so many tokens


@dataclass(frozen=True)
class Look:
    """What the guardian saw, and with which score."""

    score: int
    signals: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Call:
    tool: str
    key: str  # with its answer
    fresh: bool  # had not been seen since the last new change
    error: str


class Guardian:
    """The watch over one conversation. `writing`: its role is to change files."""

    def __init__(self, *, writing: bool) -> None:
        self._writing = writing
        self._calls: deque[_Call] = deque(maxlen=WINDOW)
        self._seen: set[str] = set()
        self._changes: set[str] = set()
        self._idle = 0  # calls since a file changed, or may have
        self._tokens = 0
        self._since = 0
        self._looked_at_s = 0.0
        self._told_before = PAUSE
        self._turns_before = PAUSE_TURNS
        self._ignored = 0
        self._last: int | None = None

    def saw(self, tool: str, arguments: Mapping[str, Any] | str, answer: Answer) -> None:
        """Take note of a call and its answer."""
        self._since += 1
        self._told_before += 1
        if waited(answer):
            return
        key = call_hash(tool, arguments, answer.text)
        if answer.changed and key not in self._changes:
            self._changes.add(key)
            self._seen.clear()
            self._ignored, self._last = 0, None
        self._calls.append(_Call(tool, key, key not in self._seen, _error(answer)))
        self._seen.add(key)
        may_have = tool in _COMMANDS and not failed(answer)
        self._idle = 0 if answer.changed or may_have else self._idle + 1
        self._tokens = 0 if answer.changed or may_have else self._tokens

    def wrote(self, tokens: int) -> None:
        """Take note of a turn of the model, and of how much it wrote."""
        self._tokens += tokens
        self._turns_before += 1

    def due(self, seconds: float) -> bool:
        """Whether it is time to look; `seconds` is what the attempt has used of its time."""
        return self._since >= EVERY_CALLS or (self._since > 0 and seconds - self._looked_at_s >= EVERY_S)

    def look(self, seconds: float) -> Look:
        """The score, and what speaks against the way things go."""
        self._since, self._looked_at_s = 0, seconds
        found = [*self._repeats(), *self._errors(), *self._ping_pong(), *self._idleness()]
        return Look(max(0, 100 - sum(cost for cost, _ in found)), tuple(words for _, words in found))

    def heed(self, look: Look, score: int) -> tuple[Tone, bool]:
        """In which tone the agent is to be told of `score`, and whether it has ignored `IGNORED` nudges in a row.

        The tone is empty where all goes well enough, and while the agent had no time yet to follow the last nudge. Only
        what can be counted, `look`, says that a nudge was ignored.
        """
        tone = tone_of(score)
        if not tone:
            self._ignored, self._last = 0, None
        if not tone or self._told_before < PAUSE or self._turns_before < PAUSE_TURNS:
            return "", False
        worse = self._last is not None and tone_of(look.score) != "" and look.score <= self._last + BETTER
        self._ignored = self._ignored + 1 if worse else 0
        self._last, self._told_before, self._turns_before = look.score, 0, 0
        return tone, self._ignored >= IGNORED

    def _repeats(self) -> list[tuple[int, str]]:
        again = sum(not call.fresh for call in self._calls)
        if again < 4:
            return []
        words = f"{again} of the last {len(self._calls)} calls repeated earlier ones and got the same answer"
        return [(80 * again // len(self._calls), words)]

    def _errors(self) -> list[tuple[int, str]]:
        errors = Counter((call.tool, call.error) for call in self._calls if call.error)
        if not errors:
            return []
        (tool, _), times = errors.most_common(1)[0]
        if times < 3:
            return []
        return [(min(60, 35 + 5 * (times - 3)), f"{tool} failed {times} times with the same error")]

    def _ping_pong(self) -> list[tuple[int, str]]:
        keys = [call.key for call in self._calls][-6:]
        if len(keys) < 6 or keys[0] == keys[1] or keys[::2] != [keys[0]] * 3 or keys[1::2] != [keys[1]] * 3:
            return []
        return [
            (
                45,
                f"it went back and forth between the same two calls of {self._calls[-2].tool} and {self._calls[-1].tool}",
            )
        ]

    def _idleness(self) -> list[tuple[int, str]]:
        if not self._writing:
            return []
        found = []
        if cost := next((cost for calls, cost in _UNCHANGED if self._idle >= calls), 0):
            found.append((cost, f"no file was changed in the last {self._idle} calls"))
        if cost := next((cost for tokens, cost in _WRITTEN if self._tokens >= tokens), 0):
            found.append((cost, f"{self._tokens} tokens were written since a file was last changed"))
        return found


def tone_of(score: int) -> Tone:
    """The tone that a score asks for."""
    return "" if score >= 70 else "gentle" if score >= 50 else "direct" if score >= 25 else "firm"


def nudge(tone: Tone, score: int, signals: tuple[str, ...], result: str, advice: str = "") -> str:
    """What the agent is told. `advice` is a model's."""
    seen = "; ".join(signals) or "the work moves away from the task"
    hint = f" {advice}" if advice else ""
    match tone:
        case "gentle":
            return f"A look at how it goes ({score} of 100): {seen}.{hint} Is this the way to the goal? If not, try another."
        case "direct":
            return (
                f"This does not lead to the goal ({score} of 100): {seen}.{hint} Stop what you are doing. Read the acceptance "
                "criteria again, name what keeps you from the next one, and take a different step."
            )
        case _:
            return (
                f"Stop ({score} of 100): {seen}.{hint} Do now what brings the task forward: make the change, or run a "
                f"check, or call {result} and say plainly what is missing. If nothing changes, this attempt ends."
            )


def waited(answer: Answer) -> bool:
    """Whether a call was a wait for something that takes long, and went well."""
    return answer.seconds >= WAIT_S and not failed(answer)


def failed(answer: Answer) -> bool:
    """Whether a call, or the command that it ran, went wrong."""
    return answer.outcome != "ok" or (
        answer.text.startswith("exit code ") and not answer.text.startswith("exit code 0")
    )


def _error(answer: Answer) -> str:
    """The end of what went wrong, without what differs each time; empty where nothing did."""
    return _PASSING.sub("#", answer.text[-600:]).strip() if failed(answer) else ""
