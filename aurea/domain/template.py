"""A template as somebody writes it: where the items come from, the line that they walk, and what it says in their goals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from aurea.domain.route import LINE, Line
from aurea.domain.spec import ItemSpec, Part, Reviewer, Switch

SCHEMA = "aurea.template/1"
PLACEHOLDERS = ("objective", "acceptance", "project")
UNSAID = "what the objective asks for is there, and nothing beyond it"  # where a spec has no acceptance

_PLACEHOLDER = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")


class Rejected(Part):
    """Where an item goes back to that failed: to the plan after `after` failed attempts, or always to `implement`.

    `on_request`: to the plan, too, when its agent escalates `needs_replanning`, instead of to a person.
    """

    to: Literal["plan", "implement"] = "plan"
    after: Annotated[int, Field(strict=True, ge=1)] = 2
    on_request: Switch = False


class TemplateItem(ItemSpec):
    """A work item of a template; goal, title and criteria may hold `PLACEHOLDERS` in braces."""

    line: Line | None = None


class Template(Part):
    """A template file. `reviewers`, `review_loops` and `max_attempts` hold for specs that do not give their own."""

    schema_: Annotated[Literal["aurea.template/1"], Field(alias="schema")]
    description: str = ""
    plan: Literal["planner"] | None = None
    items: tuple[TemplateItem, ...] | None = None
    line: Line = LINE
    rejected: Rejected | None = None
    reviewers: tuple[Reviewer, ...] | None = None
    review_loops: Annotated[int, Field(strict=True, ge=0, le=50)] | None = None
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=50)] | None = None


def unknown_placeholders(text: str) -> list[str]:
    """The names in braces that stand for nothing."""
    return [found[2] for found in _PLACEHOLDER.finditer(text) if found[2] and found[2] not in PLACEHOLDERS]


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with every `{name}` replaced by its value; `{{name}}` is the text `{name}` itself."""
    return _PLACEHOLDER.sub(lambda found: f"{{{found[1]}}}" if found[1] else values.get(found[2], found[0]), text)


def filled_criteria(criteria: Sequence[str], acceptance: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """`criteria` filled; one that is `{acceptance}` and nothing else becomes a criterion for each statement of it."""
    told: list[str] = []
    for text in criteria:
        told += (acceptance or (UNSAID,)) if text.strip() == "{acceptance}" else (filled(text, values),)
    return told
