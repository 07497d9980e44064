"""The phases of the line, each as its Prefect task: what `flows.deliver` hands to the conductor."""

from __future__ import annotations

from collections.abc import Sequence

from aurea.delivery.line import Phases
from tasks.check import check
from tasks.implement import implement
from tasks.land import land
from tasks.mapped import mapped
from tasks.plan import plan, replan
from tasks.report import report
from tasks.review import review
from tasks.review_precheck import review_precheck


def prefect_phases() -> Phases:
    """The phases as Prefect tasks; checks and reviews are mapped."""
    return Phases(
        plan=plan,
        replan=replan,
        implement=implement,
        precheck=review_precheck,
        checks=_checks,
        reviews=_reviews,
        land=land,
        report=report,
    )


async def _checks(run: str, item: str, attempt: int, names: Sequence[str]) -> None:
    await mapped(check, run, item, attempt, list(names))


async def _reviews(run: str, item: str, attempt: int, indexes: Sequence[int]) -> None:
    await mapped(review, run, item, attempt, list(indexes))
