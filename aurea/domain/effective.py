"""The spec that is in force in a run now: as created, with what resumes and answers have changed since."""

from __future__ import annotations

from aurea.domain.caps import RUN, Cap, limit_of, raised
from aurea.domain.evidence import Question
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
            spec = _switched(spec, state.asked_questions[answer.question], answer.fields["model"])
    return spec


def _switched(spec: Spec, question: Question, model: str) -> Spec:
    """Another model where the money was used up: of the role whose cap it is, else of the run.

    A role that has a model of its own has the other one from then on, where it was its call that did not fit.
    """
    role, of_role = question.role or "", question.cap is not None and question.cap.scope == "role"
    choice = spec.roles.get(role, RoleChoice())
    if role and (of_role or (choice.model is not None and model != spec.model)):
        spec = spec.model_copy(update={"roles": {**spec.roles, role: choice.model_copy(update={"model": model})}})
    return spec if of_role else spec.model_copy(update={"model": model})


def _raised(spec: Spec, cap: Cap, usd: object) -> Spec:
    limit = limit_of(spec, cap)
    if limit is None or usd == "none":
        return spec
    return raised(spec, cap, max(float(str(usd)), limit))
