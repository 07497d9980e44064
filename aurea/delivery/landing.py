"""The phase `land`: tip and item merged in memory, the merged tree gated, the target moved by compare-and-swap."""

from __future__ import annotations

import asyncio

from aurea.delivery import workspaces
from aurea.delivery.checks import cannot_run, execute, works_on
from aurea.delivery.context import Run
from aurea.delivery.digests import gate_digest
from aurea.delivery.questions import approval
from aurea.domain.errors import Blocked, Permanent, SetupFailed
from aurea.domain.events import ItemMoved, LandingLanded, LandingRefused, LandingStarted, PlanChanged
from aurea.domain.evidence import Evidence, Landed, evidence_id
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.state import Attempt


async def land(run: Run, item: str, number: int) -> None:
    """Land attempt `number` of `item`, or send it back with both sides explained. One landing at a time.

    After a crash the landing that was under way is looked up by its commit and trailers, never made twice.
    """
    async with run.landing:
        await _look_up_landings(run)
        attempt = run.state.attempt(item, number)
        if attempt.landed is None:
            await _land(run, item, attempt)
        if run.state.attempt(item, number).landed is not None:
            await _move(run, item, number, ItemState.COMPLETE, "its commit is on the target")


async def _land(run: Run, item: str, attempt: Attempt) -> None:
    tip = run.state.tip
    assert attempt.ended is not None and attempt.ended.sha is not None
    merged = await run.repository.merge(attempt.base, tip, attempt.ended.sha)
    if merged.tree is None:
        reason = f"conflicts with what landed meanwhile in {', '.join(merged.conflicts)}"
        details = f"{await _meanwhile(run, attempt, tip)}\n\nThe conflict:\n{merged.details}"
        await _refuse(run, item, attempt, LandingRefused(
            kind="conflict", tip=tip, reason=reason, details=details, files=merged.conflicts
        ))  # fmt: skip
        return
    if merged.tree == await run.repository.tree_of(tip):
        reason = "what it changes is on the target already"
        await _refuse(run, item, attempt, LandingRefused(kind="empty", tip=tip, reason=reason))
        return
    checks = run.spec.gate_checks
    digest = gate_digest(merged.tree, checks)
    sha = await run.repository.commit(merged.tree, [tip], _message(run, item, attempt, digest), run.spec.commit.author)
    evidence = await gate(run, item, attempt.number, merged.tree, sha, tip)
    if red := [e for e in evidence if not e.passed]:
        reason = f"the merged tree is red: {', '.join(e.name for e in red)} failed"
        shown = "\n\n".join(f"Check {e.name} on the merged tree:\n{e.tail[-1500:]}" for e in red)
        details = f"{await _meanwhile(run, attempt, tip)}\n\n{shown}"
        await _refuse(run, item, attempt, LandingRefused(kind="red", tip=tip, reason=reason, details=details))
        return
    if "land" in run.spec.approvals and not await _approved(run, item, attempt, tip, evidence):
        return
    await _advance(run, item, attempt, tip, Landed(sha=sha, tree=merged.tree, gate=digest, rung=merged.rung))


async def _approved(run: Run, item: str, attempt: Attempt, tip: str, evidence: list[Evidence]) -> bool:
    """Whether a person lets this attempt land. Asked once per attempt; the item waits in `merging` meanwhile."""
    assert attempt.ended is not None and attempt.ended.sha is not None
    changes = await run.repository.changes(attempt.base, attempt.ended.sha)
    stat = "\n".join(f"- {c.path} {c.status} +{c.added or 0} -{c.deleted or 0}" for c in changes[:50])
    gates = ", ".join(f"{e.name} passed ({e.id})" for e in evidence) or "no check judged it"
    title = f"{run.state.item(item).spec.name}: shall attempt {attempt.number} land?"
    about = ("land", item, str(attempt.number))
    answer = await approval(run, "land", title, f"gate: {gates}\n{stat}", *about, item=item)
    if answer is None or answer.choice == "stop":
        return False
    if answer.choice == "return":
        comment = str(answer.fields["comment"])
        hint = PlanChanged(items=(), hints={item: comment}, question=answer.question)
        await run.record(hint, actor=Actor.DIRECTOR)
        refused = LandingRefused(kind="returned", tip=tip, reason=f"a person sent it back: {comment}")
        await _refuse(run, item, attempt, refused)
        return False
    return True


async def gate(run: Run, item: str, attempt: int, tree: str, commit: str, tip: str) -> list[Evidence]:
    """The evidence of every gate check on exactly `tree`, the tree of `commit`, which is to follow `tip`.

    What has passed on an identical tree is not run again.
    """
    checks = run.spec.gate_checks
    if not checks and not run.spec.unproven:
        raise Permanent("no check may judge the gate", remedy="give a check `when: both` or `when: gate`")
    known = {c.name: run.state.evidence.get(evidence_id("gate", c.name, None, None, tree)) for c in checks}
    missing = [check for check in checks if (seen := known[check.name]) is None or not seen.passed]
    if missing:
        logs = {check.name: run.log_folder(item, attempt) / f"gate-{check.name}.log" for check in missing}
        try:
            async with workspaces.scratch(run, "gate", commit) as workspace, asyncio.TaskGroup() as together:
                for check in missing:
                    together.create_task(execute(run, workspace, check, "gate", item, attempt, tree, logs[check.name]))
        except SetupFailed as failed:
            await works_on(run, tip)
            for check in missing:
                await cannot_run(run, failed, check, "gate", item, attempt, tree, logs[check.name])
    return [run.state.evidence[evidence_id("gate", c.name, None, None, tree)] for c in checks]


async def _advance(run: Run, item: str, attempt: Attempt, tip: str, landed: Landed) -> None:
    """Move the target from `tip` to the commit that was gated: intent recorded, then moved, then recorded as landed."""
    intent = LandingStarted(tip=tip, commit=landed.sha, tree=landed.tree, gate=landed.gate)
    await run.record(intent, actor=Actor.LANDER, item=item, attempt=attempt.number)
    first = not run.state.landings
    moved = await run.repository.set_ref(_target(run), landed.sha, None if first else tip)
    if not moved and await _has_landed(run, item, attempt):  # by a git that outlived the process which started it
        return
    if not moved:
        raise Blocked(
            f"the branch {_target(run)!r} was moved by somebody else",
            remedy=f"set it back with `git update-ref {_target(run)} {tip}`, or delete it where nothing had landed",
        )
    await _record_landed(run, item, attempt, landed, tip)


async def _look_up_landings(run: Run) -> None:
    """Record what a process that died has landed, of whichever item: the next landing builds on it."""
    for name, item in list(run.state.items.items()):
        if item.state is ItemState.MERGING and item.landed is None and item.current is not None:
            await _has_landed(run, name, item.current)


async def _has_landed(run: Run, item: str, attempt: Attempt) -> bool:
    """Whether the target already holds this attempt's commit; if so that is recorded."""
    intent = attempt.landing
    if intent is None:
        return False
    head = await run.repository.resolve(_target(run))
    if head is None:
        return False
    trailers = {"Aurea-Run": run.id, "Aurea-Item": item, "Aurea-Attempt": str(attempt.number)}
    sha = await run.repository.find_commit(head, intent.tip, trailers)
    if sha is None:
        return False
    await _record_landed(run, item, attempt, Landed(sha=sha, tree=intent.tree, gate=intent.gate), intent.tip)
    return True


async def _record_landed(run: Run, item: str, attempt: Attempt, landed: Landed, parent: str) -> None:
    fact = LandingLanded(landed=landed, parent=parent)
    await run.record(fact, actor=Actor.LANDER, item=item, attempt=attempt.number)


async def _refuse(run: Run, item: str, attempt: Attempt, refused: LandingRefused) -> None:
    await run.record(refused, actor=Actor.LANDER, item=item, attempt=attempt.number)
    await _move(run, item, attempt.number, ItemState.FAILED, refused.reason)


async def _move(run: Run, item: str, attempt: int, target: ItemState, cause: str) -> None:
    move = ItemMoved(source=ItemState.MERGING, target=target, cause=cause)
    await run.record(move, actor=Actor.LANDER, item=item, attempt=attempt)


async def _meanwhile(run: Run, attempt: Attempt, tip: str) -> str:
    """What landed since the attempt began, in words the next attempt can act on."""
    since = [landing for landing in run.state.landings if landing.landed.sha != attempt.base]
    bases = {landing.landed.sha: index for index, landing in enumerate(run.state.landings)}
    if attempt.base in bases:
        since = run.state.landings[bases[attempt.base] + 1 :]
    owners = {item.landed.sha: item.spec for item in run.state.items.values() if item.landed}
    told = [f"- {owners[each.landed.sha].name}: {owners[each.landed.sha].goal}" for each in since]
    changed = [change.path for change in await run.repository.changes(attempt.base, tip)]
    return (
        "Landed meanwhile; keep both intents:\n" + "\n".join(told) + f"\nFiles changed there: {', '.join(changed[:30])}"
    )


def _message(run: Run, item: str, attempt: Attempt, gate: str) -> str:
    """The landing commit's message: title, goal, report, trailers."""
    entry = run.state.item(item).spec
    report = attempt.ended.report.summary if attempt.ended and attempt.ended.report else ""
    body = "\n\n".join(part.strip() for part in (entry.goal, report) if part.strip())
    if not run.spec.checks:
        body += "\n\nUnproven: no check judged this tree."
    trailers = f"Aurea-Run: {run.id}\nAurea-Item: {item}\nAurea-Attempt: {attempt.number}\nAurea-Gate: {gate}\n"
    title = " ".join(entry.name.split())[:100]
    return f"{title}\n\n{body}\n\n{trailers}"


def _target(run: Run) -> str:
    return f"refs/heads/aurea/{run.id}"
