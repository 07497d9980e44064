"""What a person sees of a question in Prefect: the text, and the form with a field for all that may be given."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Literal
from uuid import UUID

from prefect.input import Keyset, RunInput
from pydantic import Field, create_model

from aurea.domain.events import timestamp
from aurea.domain.evidence import Question
from aurea.domain.forms import form
from aurea.domain.state import RunState
from aurea.reporting.text import otherwise


class Form(RunInput):
    """An input that says when Prefect has stored all of it: only then can a run that pauses for it be resumed."""

    _stored: ClassVar[Callable[[], None]]

    @classmethod
    async def asave(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> None:
        """Store the form, as Prefect does when it pauses, and say so."""
        await super().asave(keyset, flow_run_id)
        cls._stored()


# Type and empty value by the kind of a field. An empty text shows as an input; a `None` would show as a switch before it.
TYPES: dict[str, tuple[Any, Any]] = {"string": (str, ""), "number": (float | None, None), "array": (list[str], [])}


def decision_form(question: Question, text: str, stored: Callable[[], None]) -> type[RunInput]:
    """The input that a paused `human_gate` run asks for under `text`; Prefect's storing of it calls `stored`.

    Which fields belong to which choice stands at each field.
    """
    used: dict[str, list[str]] = {}
    types: dict[str, str] = {}
    for choice, schema in form(question.kind).items():
        for name, field in schema["properties"].items():
            used.setdefault(name, []).append(choice + ("" if name in schema["required"] else " (optional)"))
            types[name] = field["type"]
    fields: dict[str, Any] = {
        "choice": (
            Literal[question.choices],
            Field(description="what should happen", json_schema_extra={"position": 0}),
        ),
    }
    for position, (name, choices) in enumerate(used.items(), start=1):
        kind, empty = TYPES[types[name]]
        described = Field(
            default=empty, description=f"for {', '.join(choices)}", json_schema_extra={"position": position}
        )
        fields[name] = (kind, described)
    if "reason" not in fields:
        described = Field(default="", description="why, for the ledger", json_schema_extra={"position": len(fields)})
        fields["reason"] = (str, described)
    name = re.sub(r"\W", "", question.kind.title())
    made: type[Form] = create_model(f"{name}Decision", __base__=Form, **fields)
    made._stored, made._description = staticmethod(stored), text
    return made


def given_fields(question: Question, choice: str, values: dict[str, Any]) -> dict[str, Any]:
    """What was filled in for `choice`; what belongs to other choices and was left empty is none of it."""
    known = form(question.kind)[choice]["properties"]
    return {name: value for name, value in values.items() if name in known and value not in (None, "", [])}


def describe(state: RunState, question: Question, note: str = "", *, plain: bool = False) -> str:
    """What is asked, why, what was tried and what it has cost, as markdown, or plain as the UI shows a log.

    `note` says why an answer was refused.
    """
    strong = "" if plain else "**"
    lines = [f"{strong}{question.title}{strong}", "", question.why, ""]
    if note:
        lines[:0] = [f"{strong}Refused:{strong} {note}", ""]
    item = state.items.get(question.item or "")
    if item is not None and item.attempts:
        lines += [] if plain else ["| attempt | model | why it did not land |", "|---|---|---|"]
        for attempt in item.attempts:
            reason = " ".join((attempt.reason or "").split())[:200]
            cells = str(attempt.number), attempt.model, reason.replace("|", "/")
            lines.append(
                f"attempt {attempt.number} ({attempt.model}): {reason}" if plain else f"| {' | '.join(cells)} |"
            )
        lines.append("")
    if (asked := state.questions.get(question.id)) is not None:
        moment = timestamp(asked.deadline) if asked.deadline else None
        words = otherwise(asked.default, moment)
        lines += [f"{words[0].upper()}{words[1:]}.", ""]
    link = state.link.ui_url if state.link else None
    run, page = (state.id, link) if plain else (f"`{state.id}`", f"[flow run]({link})")
    lines.append(f"Run {run}, {state.cost.usd:.2f} USD so far" + (f", {page}" if link else ""))
    if plain:
        lines += ["", f"Resume opens the form. Choices: {', '.join(question.choices)}"]
    return "\n".join(lines)
