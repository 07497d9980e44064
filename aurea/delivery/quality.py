"""The quality gate in the life of a run: warmed while agents work, asked once before the base moves or the run ends."""

from __future__ import annotations

from aurea.delivery.context import Run
from aurea.domain.events import RunEnded
from aurea.domain.lifecycle import FINAL, ItemState


def warm(run: Run) -> None:
    """Let the gate get ready where the end is in sight: an agent is at work, and few items are left to take up.

    What is ready costs memory, and a long run shall not hold that for hours.
    """
    left = [item.state for item in run.state.items.values() if item.state not in FINAL]
    if run.quality is not None and ItemState.ACTIVE in left and len(left) <= 2 * run.spec.concurrency:
        run.quality.warm()


async def passed(run: Run) -> bool:
    """Whether nothing critical speaks against what has landed; judged once per landed commit."""
    if run.quality is None or not run.state.landings:
        return True
    known = run.state.quality
    if known is None or known.tip != run.state.tip:
        found = await run.quality.judge()
        await run.record(found.fact, bodies=found.bodies)
        known = found.fact
    return known.passed


async def confirmed(run: Run, ending: RunEnded) -> RunEnded:
    """`ending`, or that the run failed by its quality. A run that failed anyway keeps its reason, judged all the same."""
    if ending.state not in ("succeeded", "failed") or await passed(run) or ending.state == "failed":
        return ending
    assert run.state.quality is not None
    return RunEnded(state="failed", reason=f"quality: {'; '.join(run.state.quality.failures)}", reason_code="quality")
