"""The spec that is in force in a run now: as created, with what resumes and answers have changed since."""

from __future__ import annotations

from typing import Any

from aurea.domain.spec import Spec
from aurea.domain.state import RunState


def effective_spec(state: RunState) -> Spec:
    """The spec a run works by. A raised budget never lowers one that a resume has raised further."""
    assert state.created is not None
    spec: dict[str, Any] = {**state.created.spec, **state.changes}
    for answer in state.answers.values():
        if answer.choice == "raise" and answer.fields["usd"] != "none" and spec["budget_usd"] != "none":
            spec["budget_usd"] = max(float(answer.fields["usd"]), float(spec["budget_usd"]))
        elif answer.choice == "switch_model" and answer.fields.get("model"):
            spec["model"] = answer.fields["model"]
    return Spec.model_validate(spec)
