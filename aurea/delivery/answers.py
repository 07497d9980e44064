"""What follows from a person's answer: the spec, the plan and the items change as the choice says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aurea.delivery import questions
from aurea.delivery.context import Run
from aurea.domain.caps import RUN, limit_of
from aurea.domain.effective import effective_spec
from aurea.domain.errors import UsageError
from aurea.domain.events import ItemMoved, PlanChanged, QuestionAnswered
from aurea.domain.evidence import Question
from aurea.domain.forms import check_fields
from aurea.domain.lifecycle import UNFINISHED, Actor, ItemState
from aurea.domain.plan import dependants, problems
from aurea.domain.spec import ItemSpec
from aurea.domain.state import RunState


def check_answer(state: RunState, name: str, choice: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an answer to question `name`, checked; `UsageError` with the reason where it cannot be given."""
    if name in state.answers:
        given = state.answers[name]
        if given.door == "deadline":
            raise UsageError(f"question {name} was not answered in time, so its default was applied: {given.choice}")
        raise UsageError(f"question {name} was answered already: {given.choice}, through {given.door}")
    if name in state.withdrawn:
        raise UsageError(f"question {name} is closed: {state.withdrawn[name]}")
    if name not in state.questions:
        raise UsageError(f"run {state.id!r} has no open question {name!r}", remedy="`aurea inbox` shows the open ones")
    question = state.questions[name].question
    checked = check_fields(question, choice, fields)
    spec = effective_spec(state)
    limit = limit_of(spec, question.cap or RUN)
    if choice == "raise" and limit is not None and checked["usd"] <= limit:
        raise UsageError(f"usd: the limit is {limit:g} already", remedy="give the new limit, not what is added")
    spawned = [_spawned(state, question, checked)] if choice == "spawn_item" else []
    if wrong := problems(spawned, checks=[check.name for check in spec.checks or ()], known=_specs(state)):
        raise UsageError("; ".join(wrong))
    if choice == "approve_anyway" and not _has_change(state, question):
        raise UsageError("there is no change that could be approved", remedy="retry it, or abandon it")
    for item in checked.get("items", ()):
        if item not in state.items:
            raise UsageError(f"items: the run has no work item {item!r}", remedy=f"it has {', '.join(state.items)}")
    return checked


def pending(run: Run) -> bool:
    """Whether a person has said something that has not taken effect yet."""
    return len(run.state.answers) > run.carried_out or bool(_cancelled(run))


def stopped(state: RunState) -> QuestionAnswered | None:
    """The answer that the run is to end; None where nobody gave it."""
    return next((answer for answer in state.answers.values() if answer.choice == "stop"), None)


async def carry_out(run: Run) -> None:
    """Let every answer since the last look take effect. What took effect before changes nothing when done again."""
    run.spec, run.carried_out = effective_spec(run.state), len(run.state.answers)
    for name in _cancelled(run):
        if run.item_state(name) in UNFINISHED:  # not abandoned meanwhile with one that it depends on
            await abandon(run, name, run.state.item(name).cancelled or "")
    for name, answer in list(run.state.answers.items()):
        question = run.state.asked_questions[name]
        if question.kind == "escalation" and question.item is not None:
            item = run.state.item(question.item)
            if item.state is ItemState.WAITING_HUMAN and item.asked == name:
                await _escalation(run, question, answer)


async def abandon(run: Run, item: str, reason: str) -> None:
    """Abandon an item by a person's decision, and with it everything that depends on it. Nobody is asked about it then."""
    if (question := run.state.item(item).question) is not None:
        await questions.withdraw(run, question, reason)
    await _move(run, item, ItemState.ABANDONED, reason)
    for other in dependants(run.state.edges, item):
        state = run.item_state(other)
        if state in UNFINISHED:
            cause = f"it depends on {item}, which was abandoned"
            move = ItemMoved(source=state, target=ItemState.ABANDONED, cause=cause)
            await run.record(move, item=other)


async def _escalation(run: Run, question: Question, answer: QuestionAnswered) -> None:
    item = question.item
    assert item is not None
    why = answer.reason or answer.fields.get("reason") or f"answer to {question.id}: {answer.choice}"
    match answer.choice:
        case "retry":
            changed = _changed(run.state.item(item).spec, answer.fields)
            hint = answer.fields.get("hint") or answer.reason
            hints = {item: hint} if hint else {}
            if hints or changed != run.state.item(item).spec:
                await run.record(PlanChanged(items=(changed,), hints=hints, question=question.id), actor=Actor.DIRECTOR)
            await _move(run, item, ItemState.READY, why, Actor.MANAGER)
        case "spawn_item":
            spawned = _spawned(run.state, question, answer.fields)
            waits = _changed(run.state.item(item).spec, {})
            waits = waits.model_copy(update={"depends_on": (*waits.depends_on, spawned.id)})
            await run.record(PlanChanged(items=(spawned, waits), question=question.id), actor=Actor.DIRECTOR)
            await _move(run, item, ItemState.PLANNED, f"waits for {spawned.id}, which a person added")
        case "approve_anyway":
            await _move(run, item, ItemState.MERGING, f"approved by a person: {why}")
        case "abandon_item" | "abandon_branch":
            await abandon(run, item, why)


def _cancelled(run: Run) -> list[str]:
    """Items that a person cancelled and that nobody works on, while they are not abandoned yet."""
    items = run.state.items.items()
    return [n for n, item in items if item.cancelled is not None and item.state in UNFINISHED and n not in run.busy]


async def _move(run: Run, item: str, target: ItemState, cause: str, actor: Actor = Actor.DIRECTOR) -> None:
    await run.record(ItemMoved(source=run.item_state(item), target=target, cause=cause), actor=actor, item=item)


def _changed(spec: ItemSpec, fields: Mapping[str, Any]) -> ItemSpec:
    values = {key: fields[key] for key in ("goal", "criteria") if fields.get(key)}
    return ItemSpec.model_validate({**spec.model_dump(), **values})


def _spawned(state: RunState, question: Question, fields: Mapping[str, Any]) -> ItemSpec:
    """The item that `spawn_item` asks for, under a name that tells where it comes from."""
    numbers = (f"{question.item}-{n}" for n in range(2, len(state.items) + 3))
    name = next(number for number in numbers if number not in state.items)
    parent = state.item(question.item).spec
    return ItemSpec(
        id=name,
        goal=fields["goal"],
        criteria=tuple(fields["criteria"]),
        files=tuple(fields.get("files", ())),
        depends_on=parent.depends_on,
        priority=parent.priority,
    )


def _has_change(state: RunState, question: Question) -> bool:
    attempt = state.item(question.item).current
    return attempt is not None and attempt.ended is not None and bool(attempt.ended.sha and attempt.ended.files)


def _specs(state: RunState) -> dict[str, ItemSpec]:
    return {name: item.spec for name, item in state.items.items()}
