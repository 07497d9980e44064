"""Verdicts, the precheck and lessons: what follows from which evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aurea.delivery import lessons, precheck, verdict
from aurea.domain import events as ev
from aurea.domain.evidence import CriterionReview, Evidence, Finding, Report, Review
from aurea.domain.spec import Check, ItemSpec, Reviewer, Spec
from aurea.domain.state import Attempt, Item, RunState
from aurea.ports import Change

SPEC = Spec(
    project="p", objective="o", checks=(Check(name="tests", run=("true",)),), reviewers=(Reviewer(), Reviewer(focus="style"))
)  # fmt: skip


def state(checks: list[tuple[bool, str]], reviews: list[Review], findings: tuple[Finding, ...] = ()) -> RunState:
    attempt = Attempt(1, "base", "coder", "m", "sha256:p", datetime(2026, 1, 1, tzinfo=UTC))
    attempt.ended = ev.AttemptEnded(
        outcome="submitted", files=("a.py",), report=Report(summary="s", approach="a loop"), tree="t"
    )
    attempt.precheck = ev.PrecheckEnded(
        passed=all(f.severity != "blocker" for f in findings), tree="t", findings=findings
    )
    run = RunState("r")
    for number, (passed, tail) in enumerate(checks):
        run.evidence[f"ev-{number}"] = Evidence(
            id=f"ev-{number}", kind="check", name="tests", tree="t", passed=passed, tail=tail, exit_code=int(not passed),
            outcome="passed" if passed else "failed",
        )  # fmt: skip
        attempt.checks.append(f"ev-{number}")
    for number, review in enumerate(reviews, start=1):
        run.evidence[f"rv-{number}"] = Evidence(
            id=f"rv-{number}", kind="review", name=f"reviewer-{number}", tree="t", passed=True, outcome="passed"
        )
        attempt.reviews[f"rv-{number}"] = review
    run.items["a"] = Item(ItemSpec(id="a", goal="g", criteria=("it works", "it is fast")), attempts=[attempt])
    return run


def review(decision: str, works: str = "yes", *findings: dict[str, Any]) -> Review:
    criteria = (
        CriterionReview(criterion="It works.", met=works),
        CriterionReview(criterion="it is fast", met="unknown"),
    )
    return Review.model_validate(
        {"decision": decision, "criteria": criteria, "findings": findings, "summary": decision}
    )


@pytest.mark.parametrize(
    ("checks", "reviews", "wanted", "by"),
    [
        ([(True, "")], [review("approve"), review("approve")], "approve", "reviewer"),
        ([(True, "")], [], "approve", "gate"),
        ([(False, "")], [review("approve")], "return", "gate"),
        ([(True, "")], [review("approve"), review("return")], "return", "reviewer"),
        ([(True, "")], [review("approve"), review("escalate")], "escalate", "reviewer"),
        ([(True, "")], [review("escalate"), review("return")], "return", "reviewer"),
        ([(True, "")], [review("approve", "no")], "return", "reviewer"),
        ([(True, "")], [review("approve", "yes", {"severity": "blocker", "text": "x"})], "return", "reviewer"),
        ([(True, "")], [review("approve", "yes", {"severity": "minor", "text": "x"})], "approve", "reviewer"),
    ],
)
def test_what_is_decided(checks, reviews, wanted, by):
    given = verdict.decide(SPEC, state(checks, reviews), "a")
    assert (given.decision, given.by) == (wanted, by)


def test_a_criterion_is_met_by_a_reviewer_and_an_executed_check_together():
    given = verdict.decide(SPEC, state([(True, "")], [review("approve"), review("approve")]), "a")
    works, fast = given.criteria
    assert works.met is True
    assert set(works.evidence) == {"ev-0", "rv-1", "rv-2"}
    assert fast.met is None
    unproven = verdict.decide(SPEC, state([], [review("approve")]), "a")
    assert unproven.criteria[0].met is None


def test_a_blocker_of_the_precheck_returns():
    found = (Finding(file="k.py", severity="blocker", text="adds what looks like a private key"),)
    given = verdict.decide(SPEC, state([(True, "")], [review("approve")], found), "a")
    assert given.decision == "return"
    assert "k.py: adds what looks like a private key" in given.reasons
    assert verdict.spoilt(state([(True, "")], [], found), "a")
    assert not verdict.spoilt(state([(True, "")], []), "a")


def test_only_what_is_missing_is_still_to_be_done():
    run = state([(True, "")], [review("approve")])
    assert verdict.missing_checks(SPEC, run, "a") == []
    assert verdict.missing_reviews(SPEC, run, "a") == [2]


def test_lessons_keep_the_end_of_the_output_within_500_words():
    run = state([(False, "\n".join(f"line {n}" for n in range(4000)) + "\nAssertionError: 1 != 2")], [])
    attempt = run.items["a"].attempts[0]
    attempt.verdict = verdict.decide(SPEC, run, "a")
    told = lessons.lessons(run, "a")
    assert "AssertionError: 1 != 2" in told
    assert "a.py" in told
    assert "a loop" in told
    assert len(told.split()) <= 501


@pytest.mark.parametrize(
    ("path", "status", "severity"),
    [
        ("tests/test_a.py", "M", "major"), ("tests/test_a.py", "D", "major"), ("tests/test_new.py", "A", None),
        ("conftest.py", "A", "major"), ("check.sh", "M", "major"), ("a.py", "M", None), ("x.pth", "A", "major"),
    ],
)  # fmt: skip
def test_changes_to_what_judges_are_found(path, status, severity):
    found = precheck.judges([Change(path, status, 1, 0)], (Check(name="tests", run=("sh", "./check.sh")),))
    assert [f.severity for f in found] == ([severity] if severity else [])


def test_secrets_are_found_in_added_lines_only():
    key = "AKIA" + "ABCDEFGHIJKLMNOP"
    diff = f"+++ b/a.py\n-old {key}\n+new = 1\n"
    assert precheck.secrets(diff) == []
    [found] = precheck.secrets(diff + f"+new {key}\n")
    assert (found.file, found.severity) == ("a.py", "blocker")


def test_size_and_footprint():
    assert precheck.size([Change("a", "M", 10, 5)]) == []
    assert precheck.size([Change("a", "M", precheck.MAX_LINES, 1)])[0].severity == "blocker"
    changes = [Change("notes/a.py", "M", 1, 0), Change("other.py", "M", 1, 0), Change("docs/x.md", "A", 1, 0)]
    found = precheck.footprint(changes, ("notes/", "docs/*.md"))
    assert [(f.file, f.severity) for f in found] == [("other.py", "note")]
