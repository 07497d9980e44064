"""The phase `implement`: an agent works on an item in a workspace of its own until it submits or a limit ends it."""

from __future__ import annotations

from aurea.agents import results
from aurea.delivery import prompts, questions, replanning, workspaces
from aurea.delivery.attempts import current
from aurea.delivery.context import Run
from aurea.delivery.desk import AgentDesk, question
from aurea.domain.errors import Blocked, BudgetReached, Permanent, WorkspaceLost
from aurea.domain.events import AttemptEnded, ItemMoved
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.state import Attempt
from aurea.ports import AgentOutcome, Assignment, Workspace


async def implement(run: Run, item: str, number: int) -> None:
    """Work on attempt `number` of `item`, from wherever it was left, and record how the agent's part ended.

    The files are committed as they are, whether the agent submitted or ran out of a limit. A workspace that is gone
    before the agent begins, or goes on, ends the attempt without spending it.
    """
    attempt = current(run, item)
    if attempt.ended is not None:  # recorded before a crash or a question; only the move was missing
        await _move_on(run, item, attempt.ended, number)
        return
    workspace = None
    try:
        workspace = await workspaces.for_attempt(run, item, attempt)
        outcome = await _work(run, item, attempt, workspace)
        ended = await _submit(run, item, attempt, workspace, outcome)
        await run.record(ended, actor=Actor.AGENT, item=item, attempt=number)
    except WorkspaceLost as lost:
        # Gone before: nobody's change. Gone under the agent's hands: its change, or one who does so never comes to an end.
        ended = AttemptEnded(outcome="lost", reason=lost.message, spent=workspace is not None)
        await run.record(ended, item=item, attempt=number)
    await _move_on(run, item, ended, number)


async def _work(run: Run, item: str, attempt: Attempt, workspace: Workspace) -> AgentOutcome:
    """Let the agent work. A model that refuses its task fails the attempt, as one that stalls does."""
    prompt = prompts.read(run.ledger, attempt.prompt, attempt.role)
    assignment = Assignment(
        item=item,
        attempt=attempt.number,
        role=attempt.role,
        conversation=attempt.role,
        system=prompt.system,
        task=prompt.task,
        timeout_s=run.spec.timeout_s,
        workspace=workspace,
        env=run.environment(workspace, {}),
        desk=AgentDesk(run, item, attempt.number, attempt.role, workspace),
        all_tools=run.spec.all_tools(attempt.role),
    )
    try:
        return await run.engine.run(assignment)
    except (Blocked, BudgetReached, WorkspaceLost):
        raise
    except Permanent as fault:
        return AgentOutcome(ended="stalled", reason=fault.message)


async def _submit(run: Run, item: str, attempt: Attempt, workspace: Workspace, outcome: AgentOutcome) -> AttemptEnded:
    """Commit what is in the workspace and keep it under the attempt's ref."""
    title = run.state.item(item).spec.name
    shot = await workspace.snapshot(f"{title} (attempt {attempt.number})\n\nAurea-Run: {run.id}\nAurea-Item: {item}\n")
    ref = f"refs/aurea/{run.id}/{item}/{attempt.number}"
    if not await run.repository.set_ref(ref, shot.sha, None):  # kept already, before a crash
        await run.repository.set_ref(ref, shot.sha, await run.repository.resolve(ref))
    report = results.report_of(outcome.result) if outcome.result is not None else None
    if shot.refused:
        ending, reason = "refused", f"the workspace holds what cannot be committed: {', '.join(shot.refused)}"
    elif outcome.ended in ("escalated", "deferred"):
        ending, reason = outcome.ended, _asked_for(run, item, attempt.number)
    elif outcome.ended != "result":
        ending, reason = outcome.ended, outcome.reason or f"ran out of {outcome.limit}"
    elif outcome.limit is not None and report is not None and report.unfinished:
        left = "; ".join(report.unfinished)
        ending, reason = "exhausted", f"it ran out of {outcome.limit.replace('_', ' ')} with this left to do: {left}"
    elif not shot.files:
        ending, reason = "empty", "no file was changed"
    else:
        ending, reason = "submitted", ""
    return AttemptEnded.model_validate(
        {
            "outcome": ending,
            "reason": reason,
            "limit": outcome.limit,
            "spent": ending not in ("escalated", "deferred"),
            "ref": ref,
            "sha": shot.sha,
            "tree": shot.tree,
            "files": shot.files,
            "report": report,
            "seconds": round((run.clock.now() - attempt.started).total_seconds(), 3),
        }
    )


def _asked_for(run: Run, item: str, attempt: int) -> str:
    """Why an agent stopped before its work was done."""
    raised = run.state.escalation(item, attempt)
    if raised is not None:
        return f"{raised.kind}: {raised.text}"
    return f"waits for {', '.join(run.state.unlanded(item)) or 'what it had proposed'}"


async def _move_on(run: Run, item: str, ended: AttemptEnded, number: int) -> None:
    if ended.outcome == "submitted":
        move = ItemMoved(source=ItemState.ACTIVE, target=ItemState.AWAITING_QA, cause="the agent submitted its work")
        await run.record(move, actor=Actor.AGENT, item=item, attempt=number)
        return
    await workspaces.remove(run, item, current(run, item))
    raised = run.state.escalation(item, number)
    to_planner = replanning.requested(run, item) and replanning.due(run, item)
    if ended.outcome == "escalated" and raised is not None and not to_planner:
        title = question(raised, run.state.item(item).spec.name)
        await questions.escalate(run, item, ItemState.ACTIVE, raised.text, title=title, cause=ended.reason)
        return
    cause = ended.reason or ended.outcome
    await run.record(
        ItemMoved(source=ItemState.ACTIVE, target=ItemState.FAILED, cause=cause), item=item, attempt=number
    )
