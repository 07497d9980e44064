"""Back to the plan: an item that keeps failing is revised by the planner who wrote it, once, or goes on as it was."""

from __future__ import annotations

from collections.abc import Sequence

from aurea.agents import revision
from aurea.agents.parts import Part
from aurea.delivery import attempts, lessons, planning
from aurea.delivery.context import Run
from aurea.delivery.desk import MOST_SUBTASKS, against, plain
from aurea.domain.errors import AureaError, BudgetReached, IllegalMove, LedgerAway
from aurea.domain.events import Draft, PlanChanged, PlanProposed, PlanRejected, PlanReopened
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.plan import problems
from aurea.domain.spec import ItemSpec


def due(run: Run, item: str) -> bool:
    """Whether the planner is to revise `item` before its next attempt.

    Only an item of a planner's plan, whose words are no person's and which may be attempted again; never where a person
    approves the plan.
    """
    entry, after = run.state.item(item), run.spec.route.replan_after
    by_planner = run.state.plan is not None and run.state.plan.round > 0 and "plan" not in run.spec.approvals
    if after is None or not by_planner or entry.by_person or not (entry.spent >= after or requested(run, item)):
        return False
    return attempts.over(run, item) is None and not _settled(run, item)


def requested(run: Run, item: str) -> bool:
    """Whether the agent at work on `item` gave it back to the plan, where the template lets it do so."""
    current = run.state.item(item).current
    raised = run.state.escalation(item, current.number) if current is not None and current.escalated else None
    return run.spec.route.on_request and raised is not None and raised.kind == "needs_replanning"


async def replan(run: Run, item: str) -> None:
    """Ask the planner to revise `item`, and take into the plan what keeps its rules.

    A planner that gives nothing usable, or gives no answer at all, changes nothing: the item goes on as it was. Only
    the money of the run, an order and the ledger itself hold it up.
    """
    async with run.lock("plan"):  # of two items at the same moment, each gets a round of its own
        number = run.state.reopened.get(item)
        if number is None:
            number = run.state.rounds + 1
            failures = run.state.item(item).spent
            await run.record(PlanReopened(round=number, failures=failures), item=item)
    try:
        items, notes = await planning.asked(run, number, run.state.tip, lambda: _brief(run, item))
    except (IllegalMove, LedgerAway):
        raise
    except AureaError as fault:
        if isinstance(fault, BudgetReached) and (fault.cap is None or fault.cap.scope != "role"):
            raise  # what planners alone may spend is no reason to keep back an item that can go on without them
        reason = f"{item} stays as it is: {fault.message}"
        await run.record(PlanRejected(round=number, reasons=(reason,)), item=item)
        return
    async with run.lock("plan"):
        await _take_or_refuse(run, item, number, items, notes)


def _settled(run: Run, item: str) -> bool:
    """Whether the planner was asked, and what it gave was taken or refused."""
    number = run.state.reopened.get(item)
    if number is None:
        return False
    return number in run.state.proposals or any(refused.round == number for refused in run.state.rejections)


async def _take_or_refuse(run: Run, item: str, number: int, items: tuple[ItemSpec, ...], notes: str) -> None:
    """Record the proposal together with what becomes of it, so that a crash never comes between the two."""
    new = [spec for spec in items if spec.id != item]
    revised = [_with_dependencies(run.state.item(item).spec, spec, new) for spec in items if spec.id == item]
    judged = (
        PlanRejected(round=number, reasons=tuple(reasons)) if (reasons := _against(run, item, revised, new)) else None
    )
    proposed = PlanProposed(round=number, items=items, notes=notes)
    facts = [
        Draft(fact=proposed, actor=Actor.AGENT, item=item),
        Draft(fact=judged or PlanChanged(items=(*new, *revised)), actor=Actor.MANAGER, item=item),
    ]
    await run.ledger.record(run.id, facts)


def _with_dependencies(before: ItemSpec, spec: ItemSpec, new: Sequence[ItemSpec]) -> ItemSpec:
    """The revised item, waiting for what it waited for, for what the planner says, and for every new item."""
    names = dict.fromkeys((*before.depends_on, *spec.depends_on, *(other.id for other in new)))
    return spec.model_copy(update={"depends_on": tuple(names)})


def _against(run: Run, item: str, revised: Sequence[ItemSpec], new: Sequence[ItemSpec]) -> list[str]:
    """What speaks against a revision: the rules of every plan, those of proposed items, and criteria that must stay."""
    if len(revised) != 1:
        return [f"the plan holds the item {item!r} {len(revised)} times, and must hold it once"]
    known = {name: entry.spec for name, entry in run.state.items.items() if name != item}
    found = problems([*new, *revised], checks=[check.name for check in run.spec.checks or ()], known=known)
    if new:
        found += against(run, item, new, wait=True)
    given_up = [name for name in revised[0].depends_on if name in known and not _may_land(run, name)]
    found += [f"item {item!r} depends on {name!r}, which was given up" for name in given_up]
    kept = {plain(text) for spec in (*new, *revised) for text in spec.criteria}
    accepted = {plain(text) for text in run.spec.acceptance}
    for text in run.state.item(item).spec.criteria:
        if plain(text) in accepted - kept:
            found.append(f"the criterion {text!r} is part of the acceptance and must stay")
    return list(dict.fromkeys(found))


def _may_land(run: Run, item: str) -> bool:
    return run.item_state(item) is not ItemState.ABANDONED


async def _brief(run: Run, item: str) -> tuple[Part, ...]:
    """What the planner is shown of an item that keeps failing."""
    entry = run.state.item(item)
    shown = revision.revision_brief(
        item=entry.spec,
        failures=entry.spent,
        requested=requested(run, item),
        lessons=lessons.lessons(run.state, item),
        others=[(other.spec, other.state.value) for name, other in run.state.items.items() if name != item],
        most_new=MOST_SUBTASKS,
    )
    return (*shown, *await planning.brief(run, run.state.tip, rejected=(), most=1 + MOST_SUBTASKS))
