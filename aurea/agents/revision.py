"""What a planner is told before it revises one item of a plan that is being worked on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aurea.agents.parts import CHARS, Part, bullets, part, parts, untrusted
from aurea.agents.tools.text import cut
from aurea.domain.spec import ItemSpec

BUDGETS = {"revision": 500, "item": 4_000, "lessons": 3_000, "plan": 3_000}

TASK = """\
The plan below was accepted and is being worked on. Its item `{item}` {why}.
Find out what is wrong with it: it may be too large, cut wrongly, worded so that nobody can meet it, or lack groundwork that
nobody was given. Then call submit_plan with this item under its id, whole, as it is to be attempted next: goal, criteria,
files, checks.
- Where it needs groundwork or is too large, add at most {most} new items under new ids; it goes on when they have landed.
- All other items stay as they are: do not list them. A new item may depend on them.
- Criteria that are statements of the acceptance stay.
- Where the item is right and only the work was wrong, submit it as it is, with a goal that says what to do otherwise."""


def revision_brief(
    *,
    item: ItemSpec,
    failures: int,
    requested: bool,
    lessons: str,
    others: Sequence[tuple[ItemSpec, str]],
    most_new: int,
) -> tuple[Part, ...]:
    """What comes before the usual parts of a planner: the item, what its attempts taught, and how the plan stands.

    `requested`: its agent gave it back, since the plan does not fit. `others` are the other items, each with its state.
    """
    why = f"has failed {failures} times"
    if requested:
        why = "was given back by the agent at work on it, who says below that the plan does not fit"
    task = TASK.format(item=item.id, why=why, most=most_new)
    told = untrusted("what attempts at the item taught", lessons, BUDGETS["lessons"] * CHARS - 200) if lessons else ""
    lines = [_line(spec, state) for spec, state in others]
    return parts(
        part("revision", "Revise one item of the plan", task, BUDGETS["revision"]),
        part("item", f"The item {item.id} as it is", _whole(item), BUDGETS["item"]),
        part("lessons", "Its failed attempts, latest first", told, BUDGETS["lessons"]),
        part("plan", "The other items of the plan", bullets(lines, BUDGETS["plan"]), BUDGETS["plan"]),
    )


def _whole(item: ItemSpec) -> str:
    lines = [f"title: {item.name}", f"goal: {item.goal}", "criteria:", *(f"- {text}" for text in item.criteria)]
    lines += [
        f"{name}: {', '.join(words)}"
        for name, words in (("files", item.files), ("depends_on", item.depends_on), ("checks", item.checks))
        if words
    ]
    return "\n".join([*lines, f"priority: {item.priority}", f"role: {item.role}"])


def _line(spec: ItemSpec, state: str) -> str:
    after = f", after {', '.join(spec.depends_on)}" if spec.depends_on else ""
    files = f"; files: {', '.join(spec.files[:8])}" if spec.files else ""
    return f"{spec.id} ({state.replace('_', ' ')}{after}): {cut(' '.join(spec.goal.split()), 300)}{files}"
