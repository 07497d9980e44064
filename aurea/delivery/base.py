"""The base after the run: `land: target` brings it to what landed, under the user's rules, or asks."""

from __future__ import annotations

from aurea.delivery.context import Run
from aurea.delivery.landing import gate
from aurea.domain.errors import Blocked
from aurea.domain.events import BaseMoved
from aurea.domain.lifecycle import ItemState


def due(run: Run) -> bool:
    """Whether everything that can land has landed and the base is still to be moved."""
    done = all(item.state in (ItemState.COMPLETE, ItemState.ABANDONED) for item in run.state.items.values())
    return run.spec.land == "target" and done and bool(run.state.landings) and run.state.base_tip != run.state.tip


async def advance(run: Run) -> None:
    """Move the base to the target. Where it moved meanwhile, both are merged, and the result is gated first.

    `Blocked`, so that a person is asked: the merge conflicts or is red, or the base is checked out with changes.
    """
    assert run.state.created is not None and run.advance_base is not None
    ref, began, tip = run.state.created.base.ref, run.state.created.base.sha, run.state.tip
    now = await run.repository.resolve(ref)
    if now is None:
        raise Blocked(f"the base {ref!r} is gone", remedy="make it again, then resume; what landed is on the target")
    new = tip
    if now != began:
        new = await _merged(run, ref, began, now, tip)
    await run.advance_base(ref, new, now)
    await run.record(BaseMoved(ref=ref, old=now, new=new))


async def _merged(run: Run, ref: str, began: str, now: str, tip: str) -> str:
    """A commit that joins the base as it is now with the target, gated."""
    merged = await run.repository.merge(began, now, tip)
    if merged.tree is None:
        raise Blocked(
            f"{ref!r} moved meanwhile and conflicts with what landed in {', '.join(merged.conflicts)}",
            remedy=f"merge by hand: git merge aurea/{run.id}",
        )
    message = f"Merge run {run.id}\n\nAurea-Run: {run.id}\n"
    commit = await run.repository.commit(merged.tree, [now, tip], message, run.spec.commit.author)
    last = next(item for item in run.state.items.values() if item.landed and item.landed.sha == tip)
    evidence = await gate(run, last.spec.id, len(last.attempts), merged.tree, commit, tip)
    if red := [e.name for e in evidence if not e.passed]:
        raise Blocked(
            f"{ref!r} moved meanwhile and is red together with what landed: {', '.join(red)} failed",
            remedy=f"merge and mend by hand: git merge aurea/{run.id}",
        )
    return commit
