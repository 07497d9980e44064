"""What the failed attempts of an item taught, in at most 500 words for the next one. Pure."""

from __future__ import annotations

from aurea.domain.evidence import Finding
from aurea.domain.state import Attempt, RunState

WORDS = 500
OUTPUT_WORDS = 220
CLAIMS = 4


def lessons(state: RunState, item: str) -> str:
    """Files touched, what was tried, what failed with the end of its output, and the reasons; latest attempt first."""
    told = [lesson(state, attempt) for attempt in reversed(state.item(item).attempts) if attempt.reason]
    return limit("\n\n".join(told))


def lesson(state: RunState, attempt: Attempt) -> str:
    """One attempt's lesson."""
    parts = [f"Attempt {attempt.number} did not land: {attempt.reason}"]
    if attempt.ended and attempt.ended.files:
        parts.append(f"Files touched: {', '.join(attempt.ended.files[:20])}")
    if attempt.ended and attempt.ended.report:
        tried = attempt.ended.report.approach or attempt.ended.report.summary
        parts.append(f"Tried: {tried}")
        if attempt.ended.report.unfinished:
            parts.append(f"Left to do: {'; '.join(attempt.ended.report.unfinished)}")
    if claims := [claim for claim in attempt.claims if claim.severity == "minor"]:
        parts.append("Its report said what was not so: " + "; ".join(_said(claim) for claim in claims[:CLAIMS]))
    for evidence in (state.evidence[i] for i in attempt.checks):
        if not evidence.passed:
            parts.append(
                f"Check {evidence.name} ended with {evidence.exit_code or evidence.outcome}:\n{_end(evidence.tail)}"
            )
    if attempt.verdict and attempt.verdict.decision != "approve":
        parts.extend(f"Reason: {reason}" for reason in attempt.verdict.reasons)
    if attempt.refused and attempt.refused.details:
        parts.append(attempt.refused.details)
    return "\n".join(parts)


def _said(claim: Finding) -> str:
    return f"{claim.file}: {claim.text}" if claim.file else claim.text


def limit(text: str, words: int = WORDS) -> str:
    """The text cut after `words` words, line breaks kept."""
    kept: list[str] = []
    left = words
    for line in text.splitlines():
        count = len(line.split())
        if count > left:
            kept.append(" ".join(line.split()[:left]) + " …")
            break
        kept.append(line)
        left -= count
    return "\n".join(kept)


def _end(output: str) -> str:
    """The last lines of an output, where failures are told, within `OUTPUT_WORDS`."""
    kept: list[str] = []
    left = OUTPUT_WORDS
    for line in reversed(output.splitlines()):
        left -= len(line.split())
        if left < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))
