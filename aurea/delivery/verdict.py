"""What follows from the evidence on an attempt. Pure: a model's word alone never makes a criterion met."""

from __future__ import annotations

from aurea.domain.evidence import Criterion, Evidence, Review, Verdict
from aurea.domain.spec import Spec
from aurea.domain.state import Attempt, RunState


def missing_checks(spec: Spec, state: RunState, item: str) -> list[str]:
    """Names of the checks of the current attempt that have no evidence yet."""
    entry = state.item(item)
    attempt = _current(state, item)
    have = {state.evidence[i].name for i in attempt.checks}
    return [check.name for check in spec.checks_for(entry.spec, "attempt") if check.name not in have]


def missing_reviews(spec: Spec, state: RunState, item: str) -> list[int]:
    """Numbers (from 1) of the reviewers that have not judged the current attempt."""
    have = {state.evidence[i].name for i in _current(state, item).reviews}
    return [n for n, reviewer in enumerate(spec.reviewers, start=1) if f"{reviewer.role}-{n}" not in have]


def spoilt(state: RunState, item: str) -> bool:
    """Whether the precheck or a check has failed the current attempt: nothing is spent on what is returned anyway."""
    attempt = _current(state, item)
    failed = attempt.precheck is not None and not attempt.precheck.passed
    return failed or not all(state.evidence[i].passed for i in attempt.checks)


def decide(spec: Spec, state: RunState, item: str) -> Verdict:
    """The verdict on the current attempt of `item`.

    Failed checks and blockers of the precheck return it, whatever reviewers say; then any reviewer that returns it,
    or calls a criterion unmet, returns it; a reviewer that asks for a person escalates; else it is approved.
    """
    attempt = _current(state, item)
    checks = [state.evidence[i] for i in attempt.checks]
    criteria = tuple(_criterion(text, attempt, checks) for text in state.item(item).spec.criteria)
    failed = [f"check {e.name} {_ended(e)}" for e in checks if not e.passed]
    blockers = [_line(f.file, f.text) for f in attempt.findings if f.severity == "blocker"]
    if failed or blockers:
        return Verdict(decision="return", by="gate", criteria=criteria, reasons=(*failed, *blockers))
    reviews = list(attempt.reviews.values())
    returned = [review for review in reviews if _returns(review)]
    if returned:
        reasons = tuple(reason for review in returned for reason in _reasons(review))
        return Verdict(decision="return", by="reviewer", criteria=criteria, reasons=reasons)
    if asking := [
        review.summary or "a reviewer asks for a person" for review in reviews if review.decision == "escalate"
    ]:
        return Verdict(decision="escalate", by="reviewer", criteria=criteria, reasons=tuple(asking))
    return Verdict(decision="approve", by="reviewer" if reviews else "gate", criteria=criteria)


def _current(state: RunState, item: str) -> Attempt:
    attempt = state.item(item).current
    assert attempt is not None
    return attempt


def _criterion(text: str, attempt: Attempt, checks: list[Evidence]) -> Criterion:
    said = {
        evidence: next((c.met for c in review.criteria if _same(c.criterion, text)), "unknown")
        for evidence, review in attempt.reviews.items()
    }
    passed = [e.id for e in checks if e.passed]
    if "no" in said.values():
        return Criterion(text=text, met=False, evidence=tuple(e for e, met in said.items() if met == "no"))
    if said and passed and all(met == "yes" for met in said.values()):
        return Criterion(text=text, met=True, evidence=(*passed, *said))
    return Criterion(text=text, met=None)


def _same(left: str, right: str) -> bool:
    return " ".join(left.lower().split()).rstrip(".") == " ".join(right.lower().split()).rstrip(".")


def _returns(review: Review) -> bool:
    unmet = any(criterion.met == "no" for criterion in review.criteria)
    blocked = any(finding.severity == "blocker" for finding in review.findings)
    return review.decision == "return" or (review.decision == "approve" and (unmet or blocked))


def _reasons(review: Review) -> list[str]:
    unmet = [
        f"not met: {c.criterion}" + (f" ({c.reason})" if c.reason else "") for c in review.criteria if c.met == "no"
    ]
    findings = [_line(f.file, f.text, f.line) for f in review.findings if f.severity in ("blocker", "major")]
    return [*unmet, *findings] or [review.summary or "returned by a reviewer"]


def _ended(evidence: Evidence) -> str:
    return f"failed (exit {evidence.exit_code})" if evidence.outcome == "failed" else evidence.outcome.replace("_", " ")


def _line(file: str | None, text: str, line: int | None = None) -> str:
    return f"{file}{f':{line}' if line else ''}: {text}" if file else text
