"""The phase `review_precheck`: a look at the change that needs no model and runs beside the checks."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from aurea.agents.arguments import as_object
from aurea.delivery import report_check
from aurea.delivery.context import Run
from aurea.domain.events import PrecheckEnded
from aurea.domain.evidence import Finding
from aurea.domain.lifecycle import Actor
from aurea.domain.secrecy import SECRETS
from aurea.domain.spec import Check
from aurea.domain.state import Attempt
from aurea.ports import Change

MAX_FILES = 200
MAX_LINES = 5_000

COMMANDS = {"run_shell": "command", "run_python": "code"}
EXIT = re.compile(r"exit code (-?\d+)")
JUDGES = re.compile(
    r"(^|/)(conftest\.py|pytest\.ini|tox\.ini|setup\.cfg|noxfile\.py|sitecustomize\.py|[^/]+\.pth|\.github/.*|"
    r"jest\.config\.[a-z]+|vitest\.config\.[a-z]+|\.ci/.*)$"
)
TESTS = re.compile(r"(^|/)(tests?|__tests__|spec)/|(^|/)test_[^/]+$|_test\.[a-z]+$|\.(test|spec)\.[a-z]+$")


async def precheck(run: Run, item: str, attempt: int) -> None:
    """Look at the diff of an attempt and record what a reviewer, or the next attempt, should know.

    Only a `blocker` sends the attempt back: an oversized change or a secret. The rest is shown to the reviewers, with what
    of the agent's own report is not borne out.
    """
    entry = run.state.attempt(item, attempt)
    assert entry.ended is not None and entry.ended.sha is not None and entry.ended.tree is not None
    changes = await run.repository.changes(entry.base, entry.ended.sha)
    diff = await run.diff(entry.base, entry.ended.sha)
    found = [
        *size(changes),
        *footprint(changes, run.state.item(item).spec.files),
        *judges(changes, run.spec.checks or ()),
        *secrets(diff),
    ]
    passed = all(finding.severity != "blocker" for finding in found)
    claims = await _claims(run, item, entry, changes)
    fact = PrecheckEnded(passed=passed, tree=entry.ended.tree, findings=tuple(found), claims=claims)
    await run.record(fact, actor=Actor.GATE, item=item, attempt=attempt)


def size(changes: list[Change]) -> list[Finding]:
    """A change too large to be judged as one."""
    lines = sum((change.added or 0) + (change.deleted or 0) for change in changes)
    if len(changes) <= MAX_FILES and lines <= MAX_LINES:
        return []
    text = f"{len(changes)} files and {lines} lines changed; at most {MAX_FILES} files and {MAX_LINES} lines may"
    return [Finding(severity="blocker", text=text)]


def footprint(changes: list[Change], declared: tuple[str, ...]) -> list[Finding]:
    """Files outside the expected footprint; a warning, since a footprint forbids nothing."""
    if not declared:
        return []
    return [
        Finding(file=change.path, severity="note", text="outside the item's expected files")
        for change in changes
        if not any(_covers(pattern, change.path) for pattern in declared)
    ]


def judges(changes: list[Change], checks: tuple[Check, ...]) -> list[Finding]:
    """Changes to anything that decides whether the work is good: existing tests, their configuration, check scripts."""
    named = {word.removeprefix("./") for check in checks for word in check.run}
    found = []
    for change in changes:
        if change.path in named or JUDGES.search(change.path):
            found.append(Finding(file=change.path, severity="major", text="changes something that judges the work"))
        elif change.status != "A" and TESTS.search(change.path):
            verb = "deletes" if change.status == "D" else "changes"
            found.append(Finding(file=change.path, severity="major", text=f"{verb} a test that was there before"))
    return found


def secrets(diff: str) -> list[Finding]:
    """Added lines that look like credentials."""
    found = []
    path = None
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            path = line[6:]
        elif line.startswith("+"):
            for what, pattern in SECRETS.items():
                if pattern.search(line):
                    found.append(Finding(file=path, severity="blocker", text=f"adds what looks like {what}"))
    return found


async def _claims(run: Run, item: str, attempt: Attempt, changes: list[Change]) -> tuple[Finding, ...]:
    assert attempt.ended is not None and attempt.ended.sha is not None
    report, sha = attempt.ended.report, attempt.ended.sha
    if report is None:
        return ()
    spec = run.state.item(item).spec
    named = set(report_check.named(report))
    tree = {file.path for file in await run.repository.files(sha)} if named else set()
    texts = {path: await run.repository.read(sha, path) for path, test in sorted(named) if test and path in tree}
    known = report_check.Known(
        changed=[change.path for change in changes],
        tree=tree,
        criteria=spec.criteria,
        checks=run.spec.checks_for(spec, "attempt"),
        ran=_ran(run, item, attempt),
        texts={path: text.decode("utf-8", "replace") for path, text in texts.items() if text is not None},
    )
    return report_check.check_report(report, known)


def _ran(run: Run, item: str, attempt: Attempt) -> list[report_check.Ran]:
    """The commands of the attempt's own agent, in their order, as its journal has them."""
    found = []
    for place, record in run.state.tools.items():
        began, ended = record.started, record.ended
        ours = place[:3] == (item, attempt.number, attempt.role) and began.tool in COMMANDS
        if ours and ended is not None and ended.outcome != "refused":
            command = as_object(run.ledger.body(began.arguments)).get(COMMANDS[began.tool], "")
            said = EXIT.match(run.ledger.body(ended.body))
            unknown = None if ended.outcome == "interrupted" else False
            found.append(report_check.Ran(str(command), said.group(1) == "0" if said else unknown))
    return found


def _covers(pattern: str, path: str) -> bool:
    pattern = pattern.removeprefix("./").rstrip("/")
    return path == pattern or path.startswith(pattern + "/") or PurePosixPath(path).match(pattern)
