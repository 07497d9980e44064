"""The first messages: what a role is shown of its task, in named parts with budgets. Pure and byte-stable.

The task and its criteria stand first. Whatever a model or the repository wrote is fenced as untrusted material.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from aurea.agents.tools.text import cut
from aurea.domain.evidence import Evidence, Finding, Report
from aurea.domain.spec import Check, ItemSpec

OBJECTIVE = 8_000
LESSONS = 12_000
DIFF = 60_000
PREVIOUS_DIFF = 12_000
TAIL = 4_000
LISTING = 20_000
NEIGHBOURS = 6_000
REPORT = 4_000
_FENCE_END = re.compile(r"<(\s*/\s*untrusted)", re.IGNORECASE)


def untrusted(source: str, text: str, limit: int) -> str:
    """Fenced material that nobody should take for instructions, cut to `limit` characters."""
    inside = _FENCE_END.sub(r"<\\\1", cut(text.strip("\n"), limit))
    return f'<untrusted source="{source}">\n{inside}\n</untrusted>'


def coder_brief(
    *,
    objective: str,
    item: ItemSpec,
    neighbours: Sequence[ItemSpec],
    landed: Sequence[str],
    checks: Sequence[Check],
    red_baseline: Sequence[Evidence],
    attempt: int,
    lessons: str,
    previous_diff: str,
    hints: Sequence[str] = (),
) -> str:
    """What a worker is told before attempt number `attempt` at `item`.

    `neighbours` are the run's other items, `landed` the ids of those that are in the workspace already;
    `red_baseline` are checks that failed before anybody changed anything.
    """
    again = ""
    if attempt > 1:
        again = (
            f"This is attempt {attempt}. Earlier attempts did not land; their changes are not in your workspace. "
            "What they taught:\n\n" + untrusted("earlier attempts", lessons or "nothing was kept", LESSONS)
        )
    return _document(
        _part(f"Work item {item.id}: {item.name}", item.goal),
        _part("Acceptance criteria", _bullets(item.criteria)),
        _part("What a person said about it", _bullets(hints)),
        _part("Earlier attempts", again),
        _part("Expected files", _bullets(item.files)),
        _part("Checks", _checks(checks, item.checks)),
        _part("Checks that failed before your change", _red(red_baseline)),
        _part("The objective this item is part of", cut(objective.strip(), OBJECTIVE)),
        _part("The other items", _neighbours(item, neighbours, landed)),
        _part(
            "The change of the last attempt, for reference",
            untrusted("diff of the last attempt", previous_diff, PREVIOUS_DIFF) if previous_diff.strip() else "",
        ),
    )


def planner_brief(
    *,
    objective: str,
    acceptance: Sequence[str],
    checks: Sequence[Check],
    files: Sequence[str],
    red_baseline: Sequence[Evidence],
    rejected: Sequence[Sequence[str]],
    max_items: int,
) -> str:
    """What a planner is told; `files` are the repository's paths, `rejected` why each earlier plan was refused."""
    refused = "\n".join(f"Plan {n}:\n{_bullets(reasons)}" for n, reasons in enumerate(rejected, start=1))
    return _document(
        _part("Objective", cut(objective.strip(), OBJECTIVE)),
        _part("Acceptance", _bullets(acceptance)),
        _part("Earlier plans were refused, because", refused),
        _part("Checks that judge every item", _checks(checks, ())),
        _part("Checks that fail on the repository as it is", _red(red_baseline)),
        _part("Limits", f"At most {max_items} items."),
        _part("Files in the repository", _listing(files)),
    )


def reviewer_brief(
    *,
    objective: str,
    item: ItemSpec,
    focus: str,
    diff: str,
    evidence: Sequence[Evidence],
    findings: Sequence[Finding],
    report: Report | None,
) -> str:
    """What a reviewer is shown of an attempt: criteria, executed evidence, model-free findings, diff and claim."""
    claim = untrusted("the author's report", _report(report), REPORT) if report is not None else "The author gave none."
    return _document(
        _part(f"Work item {item.id}: {item.name}", item.goal),
        _part("Acceptance criteria", _bullets(item.criteria)),
        _part("Look above all for", focus),
        _part("Executed checks", "\n\n".join(_evidence(entry) for entry in evidence) or "None was executed."),
        _part("Findings without a model", _bullets([_finding(finding) for finding in findings])),
        _part("The change", untrusted("diff", diff, DIFF) if diff.strip() else "The diff is empty."),
        _part("The author's claim, which is no evidence", claim),
        _part("The objective this item is part of", cut(objective.strip(), OBJECTIVE)),
    )


def _document(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _part(title: str, text: str) -> str:
    return f"## {title}\n{text.strip()}" if text.strip() else ""


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _checks(checks: Sequence[Check], wanted: Sequence[str]) -> str:
    lines = []
    for check in checks:
        if wanted and check.name not in wanted:
            continue
        where = "" if check.cwd == "." else f" (in {check.cwd})"
        lines.append(f"{check.name} ({check.kind}): `{shlex.join(check.run)}`{where}")
    return _bullets(lines)


def _red(evidence: Sequence[Evidence]) -> str:
    return "\n\n".join(_evidence(entry) for entry in evidence)


def _evidence(entry: Evidence) -> str:
    ended = "" if entry.exit_code is None else f", exit code {entry.exit_code}"
    line = f"- {entry.id}: {entry.name} {entry.outcome.replace('_', ' ')}{ended}"
    return f"{line}\n{untrusted(f'output of {entry.name}', entry.tail, TAIL)}" if entry.tail.strip() else line


def _neighbours(item: ItemSpec, neighbours: Sequence[ItemSpec], landed: Sequence[str]) -> str:
    lines = []
    for other in neighbours:
        state = "landed, in your workspace" if other.id in landed else "not yet there"
        files = f"; files: {', '.join(other.files[:8])}" if other.files else ""
        need = "; this item builds on it" if other.id in item.depends_on else ""
        lines.append(f"- {other.id} ({state}{need}): {cut(' '.join(other.goal.split()), 300)}{files}")
    return cut("\n".join(lines), NEIGHBOURS)


def _listing(files: Sequence[str]) -> str:
    if not files:
        return "The repository is empty."
    return untrusted("paths in the repository", "\n".join(files), LISTING)


def _finding(finding: Finding) -> str:
    place = f"{finding.file}{f':{finding.line}' if finding.line else ''}: " if finding.file else ""
    return f"{finding.severity}: {place}{finding.text}"


def _report(report: Report) -> str:
    lines = [f"Summary: {report.summary}", f"Approach: {report.approach}"]
    lines += [f"Criterion: {c.get('criterion', '')} | {c.get('evidence', '')}" for c in report.criteria]
    return "\n".join(lines)
