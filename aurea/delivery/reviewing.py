"""The phase `review`: one reviewer judges an attempt against its criteria, the diff and the executed evidence."""

from __future__ import annotations

from aurea.agents import briefs, results
from aurea.agents.parts import Part
from aurea.delivery import prompts, workspaces
from aurea.delivery.context import Run
from aurea.delivery.desk import AgentDesk
from aurea.domain.events import ReviewEnded
from aurea.domain.evidence import Evidence, Review, evidence_id
from aurea.domain.lifecycle import Actor
from aurea.domain.state import Attempt
from aurea.ports import Assignment


async def review(run: Run, item: str, attempt: int, index: int) -> None:
    """Let reviewer number `index` (from 1) judge an attempt and record its answer as evidence.

    A reviewer that gives no answer counts as one that asks for a person: a missing review is no approval.
    """
    entry = run.state.attempt(item, attempt)
    reviewer = run.spec.reviewers[index - 1]
    assert entry.ended is not None and entry.ended.sha is not None and entry.ended.tree is not None
    name = f"{reviewer.role}-{index}"
    prompt = await prompts.told(
        run, reviewer.role, name, item, attempt, lambda: _brief(run, item, entry, reviewer.focus)
    )
    workspace = await workspaces.for_checks(run, item, entry)
    started = run.clock.monotonic()
    outcome = await run.engine.run(
        Assignment(
            item=item,
            attempt=attempt,
            role=reviewer.role,
            conversation=name,
            system=prompt.system,
            task=prompt.task,
            timeout_s=run.spec.timeout_s,
            model=reviewer.model,
            workspace=workspace,
            env=run.environment(workspace, {}),
            desk=AgentDesk(run, item, attempt, name),
            all_tools=run.spec.all_tools(reviewer.role),
        )
    )
    if outcome.result is not None:
        answer = results.review_of(outcome.result)
    else:
        reason = outcome.reason or f"ran out of {outcome.limit}"
        answer = Review(decision="escalate", summary=f"the reviewer gave no answer: {reason}")
    evidence = Evidence(
        id=evidence_id("review", name, item, attempt, entry.ended.tree),
        kind="review",
        name=name,
        item=item,
        attempt=attempt,
        tree=entry.ended.tree,
        passed=answer.decision == "approve",
        outcome="not_run" if outcome.result is None else "passed" if answer.decision == "approve" else "failed",
        seconds=round(run.clock.monotonic() - started, 3),
        log=f"logs/{item}/{attempt}/{name}.jsonl",
        tail=answer.summary[:2000],
    )
    fact = ReviewEnded(evidence=evidence, review=answer)
    await run.record(fact, actor=Actor.REVIEWER, item=item, attempt=attempt)


async def _brief(run: Run, item: str, attempt: Attempt, focus: str) -> tuple[Part, ...]:
    """What a reviewer is shown of an attempt."""
    assert attempt.ended is not None and attempt.ended.sha is not None
    return briefs.reviewer_brief(
        objective=run.spec.objective,
        item=run.state.item(item).spec,
        focus=focus,
        diff=await run.diff(attempt.base, attempt.ended.sha),
        evidence=[run.state.evidence[i] for i in attempt.checks],
        findings=attempt.findings,
        report=attempt.ended.report,
        known=await prompts.known(run),
    )
