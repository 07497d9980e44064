"""The route of work items: which phases an attempt passes through, and when a failed item goes back to the planner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PHASES = ("implement", "check", "review_precheck", "review")
PROVING = ("check", "review_precheck")  # nothing lands that has not passed these

Phase = Literal["implement", "check", "review_precheck", "review"]


def line_problems(line: object) -> list[tuple[tuple[int, ...], str]]:
    """Which rules a line, of any shape, breaks: where in it, and in words; empty where it is sound.

    A line is a list of phases, in which a list of its own stands for phases that run at the same time.
    """
    if not isinstance(line, list | tuple):
        return [((), "must be a list of phases, as in [implement, [check, review_precheck], review]")]
    found: list[tuple[tuple[int, ...], str]] = []
    seen: list[object] = []
    for index, entry in enumerate(line):
        group = entry if isinstance(entry, list | tuple) else (entry,)
        if not group:
            found.append(((index,), "must not be empty"))
        for inner, name in enumerate(group):
            where = (index,) if group is not entry else (index, inner)
            found += [(where, words) for words in _phase_problems(name, seen, first=index == 0 and len(group) == 1)]
            seen.append(name)
    found += [((), f"`{name}` is missing: nothing may land without it") for name in PROVING if name not in seen]
    return found


def _phase_problems(name: object, seen: Sequence[object], *, first: bool) -> list[str]:
    if name == "land":
        return ["`land` always comes last; leave it out"]
    if name == "plan":
        return ["`plan` always comes first; say with `rejected` when an item goes back to it"]
    if name not in PHASES:
        return [f"unknown phase {name!r}; the phases are {', '.join(PHASES)}"]
    if name in seen:
        return [f"the phase `{name}` stands here twice"]
    if first != (name == "implement"):
        return ["a line begins with `implement`, which stands alone" if first else "`implement` stands alone, at first"]
    return []


def _grouped(line: Any) -> Any:
    """Every entry as a list, so that one phase is a group of one."""
    if not isinstance(line, list | tuple):
        return line
    return tuple(tuple(entry) if isinstance(entry, list | tuple) else (entry,) for entry in line)


def _sound(line: tuple[tuple[Phase, ...], ...]) -> tuple[tuple[Phase, ...], ...]:
    if found := line_problems(line):
        raise ValueError("; ".join(words for _, words in found))
    return line


Line = Annotated[
    tuple[tuple[Phase, ...], ...],
    BeforeValidator(_grouped, json_schema_input_type=list[Phase | list[Phase]]),
    AfterValidator(_sound),
]

LINE: tuple[tuple[Phase, ...], ...] = (("implement",), ("check", "review_precheck"), ("review",))


class Route(BaseModel):
    """What a template, by its `name`, makes of a run beside its items; recorded with the run.

    `line` is walked by every item that has none in `lines`. An item that a planner wrote goes back to it after
    `replan_after` failed attempts; None: never. With `on_request` it does so, too, when its agent says that the plan
    does not fit, which a person is asked about otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    line: Line = LINE
    lines: dict[str, Line] = Field(default_factory=dict)
    replan_after: Annotated[int, Field(strict=True, ge=1)] | None = 2
    on_request: bool = False

    def line_of(self, item: str) -> tuple[tuple[Phase, ...], ...]:
        """The groups of phases that the attempts of `item` pass through; those of a group run at the same time."""
        return self.lines.get(item, self.line)


LOOP = Route(name="loop")  # what the shipped template of that name says
