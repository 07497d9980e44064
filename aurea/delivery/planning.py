"""The phase `plan`: the baseline, then the items of the spec or of a planner, accepted only when they keep the rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from aurea.agents import briefs, results
from aurea.agents.parts import Part
from aurea.delivery import baseline, prompts, surroundings, workspaces
from aurea.delivery.answers import stopped
from aurea.delivery.context import Run
from aurea.delivery.questions import approval
from aurea.domain.errors import PlanRefused
from aurea.domain.events import PlanAccepted, PlanProposed, PlanRejected
from aurea.domain.plan import MAX_ITEMS_PER_CALL, critical_path, problems
from aurea.domain.spec import ItemSpec
from aurea.ports import Assignment

ROUNDS = 3


async def plan(run: Run) -> None:
    """Measure the baseline, then bring an accepted plan into the ledger; `PlanRefused` after `ROUNDS` refusals.

    Where a person is to approve it, this returns with the question asked, and goes on from there when called again.
    """
    await baseline.measure(run)
    if run.spec.items is not None and not any(rejected.round == 0 for rejected in run.state.rejections):
        await _accept_or_refuse(run, 0, run.spec.items, "")
    while run.state.plan is None and not _awaits_approval(run):
        revised = sum(answer.choice == "revise" for answer in run.state.answers.values())
        number = max((rejected.round for rejected in run.state.rejections), default=0) + 1
        proposal = run.state.proposals.get(number)
        if proposal is None:
            items, notes = await _proposed(run, number)
        else:  # proposed before a crash, judged now
            items, notes = proposal.items, proposal.notes
        try:
            await _accept_or_refuse(run, number, items, notes)
        except PlanRefused:
            if number - revised >= ROUNDS:
                raise


def _awaits_approval(run: Run) -> bool:
    return (
        any(asked.question.kind == "plan" for asked in run.state.questions.values()) or stopped(run.state) is not None
    )


async def brief(run: Run, commit: str, *, rejected: Sequence[Sequence[str]], most: int) -> tuple[Part, ...]:
    """What a planner is shown who plans on the files of `commit`."""
    files = await run.repository.files(commit)
    return briefs.planner_brief(
        objective=run.spec.objective,
        acceptance=run.spec.acceptance,
        checks=run.spec.checks or (),
        files=[file.path for file in files],
        red_baseline=baseline.red(run),
        rejected=rejected,
        max_items=most,
        known=await prompts.known(run),
        around=await surroundings.of_run(run, commit),
    )


async def _proposed(run: Run, number: int) -> tuple[tuple[ItemSpec, ...], str]:
    """The next plan; one that did not come is recorded as an empty one."""
    assert run.state.created is not None
    base = run.state.created.base.sha
    rejected = [rejection.reasons for rejection in run.state.rejections]
    try:
        return await asked(run, number, base, lambda: brief(run, base, rejected=rejected, most=MAX_ITEMS_PER_CALL))
    except PlanRefused:
        await run.record(PlanProposed(round=number, items=()), actor="agent", attempt=number)
        raise


async def asked(
    run: Run, number: int, commit: str, make: Callable[[], Awaitable[tuple[Part, ...]]]
) -> tuple[tuple[ItemSpec, ...], str]:
    """What the planner submits in round `number`, looking at the files of `commit`; `PlanRefused` where it gives nothing."""
    prompt = await prompts.told(run, "planner", "planner-1", None, number, make)
    async with AsyncExitStack() as held:
        there = await run.repository.files(commit)  # of an empty repository there is nothing to look at
        workspace = await held.enter_async_context(workspaces.looking(run, "plan", commit)) if there else None
        outcome = await run.engine.run(
            Assignment(
                item=None,
                attempt=number,
                role="planner",
                conversation="planner-1",
                system=prompt.system,
                task=prompt.task,
                timeout_s=run.spec.timeout_s,
                workspace=workspace,
                env=run.environment(workspace, {}) if workspace is not None else {},
                all_tools=run.spec.all_tools("planner"),
            )
        )
    if outcome.result is None:
        raise PlanRefused([f"the planner gave no plan: {outcome.reason or f'ran out of {outcome.limit}'}"])
    return results.plan_of(outcome.result)


async def _accept_or_refuse(run: Run, number: int, items: tuple[ItemSpec, ...], notes: str) -> None:
    if number not in run.state.proposals:
        actor = "agent" if number else "manager"
        await run.record(PlanProposed(round=number, items=items, notes=notes), actor=actor)
    found = problems(items, checks=[check.name for check in run.spec.checks or ()])
    if number and len(items) > MAX_ITEMS_PER_CALL:
        found.insert(0, f"{len(items)} items are more than {MAX_ITEMS_PER_CALL}; make them larger or leave some out")
    if not items:
        found.insert(0, "the plan has no items")
    if found:
        await run.record(PlanRejected(round=number, reasons=tuple(found)))
        raise PlanRefused(found)
    edges = {item.id: item.depends_on for item in items}
    path = critical_path(edges)
    if "plan" in run.spec.approvals:
        answer = await approval(run, "plan", *_asking(run, items, path), str(number))
        if answer is None or answer.choice == "stop":
            return
        if answer.choice == "revise":
            await run.record(PlanRejected(round=number, reasons=(f"a person asks: {answer.fields['comment']}",)))
            return
    await run.record(PlanAccepted(round=number, items=items, critical_path=tuple(path)))


def _asking(run: Run, items: tuple[ItemSpec, ...], path: list[str]) -> tuple[str, str]:
    """Title and reason of the question whether a plan is approved."""
    budget = "without a limit" if run.spec.budget_usd == "none" else f"at most {run.spec.budget_usd:g} USD"
    attempts = f"at most {len(items) * run.spec.max_attempts} attempts"
    lines = [
        f"- {item.id}: {item.goal}" + (f" (after {', '.join(item.depends_on)})" if item.depends_on else "")
        for item in items
    ]
    title = f"{run.spec.project}: shall this plan of {len(items)} item{'s' * (len(items) != 1)} be worked on?"
    why = f"{budget}, {attempts}, longest chain {' > '.join(path)}\n" + "\n".join(
        " ".join(line.split()) for line in lines
    )
    return title, why
