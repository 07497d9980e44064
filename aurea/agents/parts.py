"""What a role is shown, as a value: named parts, each within a budget of tokens, in the order in which they are told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aurea.agents.tools.text import cut, storable
from aurea.domain.messages import Value

FENCE = 500  # characters that a fence and its introduction take
CHARS = 4  # of a token, as an estimate that holds for English and for code
_FENCE_END = re.compile(r"<(\s*/\s*(?:untrusted|project-rules))", re.IGNORECASE)


class Part(Value):
    """One part of what a role is shown. `budget` is the most tokens it may take; an empty part is left out."""

    name: str
    title: str
    text: str
    budget: int

    @property
    def tokens(self) -> int:
        """About how many tokens it takes."""
        return -(-len(self.text) // CHARS)


class Prompt(Value):
    """The first messages of a conversation: the role's standing instructions, and the parts that it is told."""

    system: str
    parts: tuple[Part, ...]

    @classmethod
    def stored(cls, text: str, system: str) -> Prompt:
        """A prompt as the ledger keeps it. An older build kept the task alone, told under `system`."""
        if not text.startswith("{"):
            return cls(system=system, parts=(Part(name="task", title="Task", text=text, budget=len(text)),))
        return cls.model_validate_json(text)

    @property
    def task(self) -> str:
        """The parts as the one message that they make."""
        return "\n\n".join(f"## {part.title}\n{part.text}" for part in self.parts) + "\n"


class Budgets(dict[str, int]):
    """The most tokens of each part; one with none is left out."""

    def part(self, name: str, title: str, text: str) -> Part:
        """A part that keeps within its budget."""
        return part(name, title, text if self[name] else "", self[name])

    def inside(self, name: str) -> int:
        """Characters that a part has for what is in its fence."""
        return max(0, self[name] * CHARS - FENCE)


def part(name: str, title: str, text: str, budget: int) -> Part:
    """A part whose text keeps within `budget` tokens: the beginning and the end, with a note of what is missing."""
    return Part(name=name, title=title, text=storable(cut(text.strip(), budget * CHARS)), budget=budget)


def parts(*wanted: Part) -> tuple[Part, ...]:
    """Those that say something."""
    return tuple(one for one in wanted if one.text)


def fitting(entries: Iterable[str], budget: int, *, between: str = "\n") -> str:
    """As many whole entries, first ones first, as `budget` tokens hold, and how many are left out."""
    kept: list[str] = []
    left, missing = budget * CHARS - 60, 0
    for entry in entries:
        if len(entry) + len(between) > left:
            missing += 1
        else:
            left -= len(entry) + len(between)
            kept.append(entry)
    if missing:
        kept.append(f"[{missing} more left out]")
    return between.join(kept)


def bullets(lines: Sequence[str], budget: int) -> str:
    """One line each."""
    return fitting([f"- {line}" for line in lines], budget)


def untrusted(source: str, text: str, limit: int) -> str:
    """Fenced material that nobody should take for instructions, cut to about `limit` characters."""
    return _fenced("untrusted", source, text, limit)


def project_rules(source: str, text: str, limit: int) -> str:
    """The repository's own rules, fenced and cut as well: to be kept to, and not to be taken for the task."""
    return _fenced("project-rules", source, text, limit)


def _fenced(tag: str, source: str, text: str, limit: int) -> str:
    inside = _FENCE_END.sub(r"<\\\1", cut(text.strip("\n"), limit))
    return f'<{tag} source="{source}">\n{inside}\n</{tag}>'
