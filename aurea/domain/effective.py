"""The spec that is in force in a run now: as created, with what resumes and answers have changed since."""

from __future__ import annotations

from aurea.domain.caps import RUN, Cap, limit_of, raised
from aurea.domain.spec import RoleChoice, Spec
from aurea.domain.state import RunState


def effective_spec(state: RunState) -> Spec:
    """The spec a run works by. A raised budget never lowers one that a resume has raised further."""
    assert state.created is not None
    spec = Spec.model_validate({**state.created.spec, **state.changes})
    for answer in state.answers.values():
        if answer.choice == "raise":
            spec = _raised(spec, state.asked_questions[answer.question].cap or RUN, answer.fields["usd"])
        elif answer.choice == "switch_model" and answer.fields.get("model"):
            spec = _switched(spec, state.asked_questions[answer.question].cap, answer.fields["model"])
    return spec


def _switched(spec: Spec, cap: Cap | None, model: str) -> Spec:
    """Another model for the run; where a role has used up its money, for that role."""
    if cap is None or cap.scope != "role":
        return spec.model_copy(update={"model": model})
    choice = spec.roles.get(cap.name, RoleChoice()).model_copy(update={"model": model})
    return spec.model_copy(update={"roles": {**spec.roles, cap.name: choice}})


def _raised(spec: Spec, cap: Cap, usd: object) -> Spec:
    limit = limit_of(spec, cap)
    if limit is None or usd == "none":
        return spec
    return raised(spec, cap, max(float(str(usd)), limit))
