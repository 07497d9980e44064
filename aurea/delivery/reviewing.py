"""The phase `review`: one reviewer judges an attempt against its criteria, the diff and the executed evidence."""

from __future__ import annotations

from aurea.agents import briefs, results, roles
from aurea.delivery import workspaces
from aurea.delivery.context import Run
from aurea.delivery.desk import AgentDesk
from aurea.domain.events import ReviewEnded
from aurea.domain.evidence import Evidence, Review, evidence_id
from aurea.domain.lifecycle import Actor
from aurea.ports import Assignment


async def review(run: Run, item: str, attempt: int, index: int) -> None:
    """Let reviewer number `index` (from 1) judge an attempt and record its answer as evidence.

    A reviewer that gives no answer counts as one that asks for a person: a missing review is no approval.
    """
    entry = run.state.attempt(item, attempt)
    reviewer = run.spec.reviewers[index - 1]
    assert entry.ended is not None and entry.ended.sha is not None and entry.ended.tree is not None
    workspace = await workspaces.for_checks(run, item, entry)
    started = run.clock.monotonic()
    outcome = await run.engine.run(
        Assignment(
            item=item,
            attempt=attempt,
            role=reviewer.role,
            conversation=f"{reviewer.role}-{index}",
            system=roles.prompt(reviewer.role),
            task=briefs.reviewer_brief(
                objective=run.spec.objective,
                item=run.state.item(item).spec,
                focus=reviewer.focus,
                diff=await run.diff(entry.base, entry.ended.sha),
                evidence=[run.state.evidence[i] for i in entry.checks],
                findings=entry.findings,
                report=entry.ended.report,
            ),
            timeout_s=run.spec.timeout_s,
            model=reviewer.model,
            workspace=workspace,
            env=run.environment(workspace, {}),
            desk=AgentDesk(run, item, attempt, f"{reviewer.role}-{index}"),
            all_tools=run.spec.all_tools(reviewer.role),
        )
    )
    if outcome.result is not None:
        answer = results.review_of(outcome.result)
    else:
        reason = outcome.reason or f"ran out of {outcome.limit}"
        answer = Review(decision="escalate", summary=f"the reviewer gave no answer: {reason}")
    name = f"{reviewer.role}-{index}"
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
