"""An agent's after-action report held against what is known: its change, its tree, the commands it ran. Pure.

Nothing here judges the work: that is for executed checks. What is not borne out is told, and weighs no more than a remark.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from fnmatch import fnmatch

from aurea.domain.evidence import Finding, Report
from aurea.domain.spec import Check

MOST = 12
SHOWN = 4  # names in one remark
ALIKE = 0.7  # of a criterion's words: agents shorten and mend them

# Programs that run tests, as far as a command line tells.
_RUNNERS = re.compile(
    r"\b(?:pytest|unittest|tox|nox|jest|vitest|mocha|rspec|phpunit|ctest|go test|cargo (?:test|nextest)|dotnet test|mix test|"
    r"(?:npm|pnpm|yarn|bun)(?: run)? test\S*|make \S*(?:test|check)\S*|gradlew? \S*test\S*|mvn \S*(?:test|verify)\S*)"
)
_MAYBE = re.compile(r"test|check|spec|verify|lint|tox|nox", re.IGNORECASE)  # no command without one of these is a check
_CLAIM = re.compile(
    r"\b(?:tests?|checks|suite|pytest|unittests?)\b[^.;\n]{0,60}?\b(?:pass(?:es|ed|ing)?|green|succeed(?:s|ed)?)\b"
    r"|\b(?:all|everything)\b[^.;\n]{0,20}\bgreen\b"
    r"|\bpass(?:es|ed)? (?:all|the|every)\b[^.;\n]{0,20}\b(?:tests?|checks)\b",
    re.IGNORECASE,
)
_HEDGED = re.compile(
    r"n't\b|\b(?:not|never|no|none|cannot|without|fail\w*|should|would|could|will|shall|must|may|might|until|unless|if|when|"
    r"once|before|so that|need\w*|expect\w*|mak(?:e|es|ing)|red|broken|skipp\w*|unverified|untested)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"py|pyi|jsx?|tsx?|mjs|go|rs|java|kt|c|h|cc|cpp|rb|php|sh|md")
_WORD = re.compile(r"[\w./@+-]+(?:::[\w\[\]:.-]+)?")
_NAMES = frozenset({"node.js", "vue.js", "next.js", "nuxt.js", "react.js", "express.js", "three.js", "d3.js"})
_PLAIN_WORDS = frozenset(
    {"python", "python3", "sh", "bash", "env", "uv", "run", "npx", "poetry", "node", "make", "npm"}
)
_TRIVIAL = re.compile(
    r"(?:^|/)(?:[^/]*[.-]lock(?:\.json|\.yaml)?|package-lock\.json|go\.sum|\.gitignore|__init__\.py|py\.typed)$|"
    r"(?:^|/)(?:__pycache__|__snapshots__|node_modules|\.[^/]+)/"
)


@dataclass(frozen=True)
class Ran:
    """A command that the agent ran, in its order; `passed` None: nobody knows how it ended."""

    command: str
    passed: bool | None


@dataclass(frozen=True)
class Known:
    """What is known of an attempt. `tree` and `texts` are asked for what its report names (`named`) alone."""

    changed: Sequence[str]
    tree: Collection[str]
    criteria: Sequence[str] = ()
    checks: Sequence[Check] = ()
    ran: Sequence[Ran] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def check_report(report: Report, known: Known) -> tuple[Finding, ...]:
    """What of the report is not borne out (`minor`), and what it leaves out (`note`); no more than `MOST`."""
    found = [*_claims(report, known), *_files(report, known), *_evidence(report, known), *_criteria(report, known)]
    return tuple(sorted(found, key=lambda finding: finding.severity != "minor")[:MOST])


def not_borne_out(claims: Sequence[Finding]) -> int:
    """How many of the report's statements were found not to hold."""
    return sum(finding.severity == "minor" for finding in claims)


def _claims(report: Report, known: Known) -> Iterator[Finding]:
    """A statement that checks pass, of an agent that ran none, or whose last run of them failed."""
    claim = next(_claimed(report), None)
    if claim is None:
        return
    told = f"the report says “{_short(claim)}”"
    if not any(_MAYBE.search(ran.command) or _kind(ran.command, known.checks) for ran in known.ran):
        yield _minor(f"{told}, and no such command was run in this attempt")
        return
    wide = re.search(r"checks|green|everything", claim, re.IGNORECASE)
    others = {check.name for check in known.checks if check.kind != "test"}
    last: dict[str, Ran] = {}
    for ran in known.ran:
        if (kind := _kind(ran.command, known.checks)) and (wide or kind not in others):
            last[kind] = ran
    for ran in last.values():
        if ran.passed is False:
            yield _minor(f"{told}, and the last run of `{_short(ran.command)}` in this attempt failed")


def _claimed(report: Report) -> Iterator[str]:
    for text in (report.summary, report.approach, *(criterion.get("evidence", "") for criterion in report.criteria)):
        for sentence in re.split(r"(?<=[.!?;])\s+|\n", text):
            if _CLAIM.search(sentence) and not _HEDGED.search(sentence):
                yield sentence.strip()


def _kind(command: str, checks: Sequence[Check]) -> str:
    """Which check a command runs, or which test runner; empty: none that is known."""
    for check in checks:
        words = [w for part in check.run for w in part.split() if w not in _PLAIN_WORDS and w[0] not in "-{"]
        if words and all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", command) for word in words):
            return check.name
    runner = _RUNNERS.search(command)
    return runner.group().split()[0] if runner else ""


def _files(report: Report, known: Known) -> Iterator[Finding]:
    """Files that it says were changed and were not; those that were and that it names nowhere."""
    listed = [path for entry in report.files if (path := _path(entry))]
    for path in dict.fromkeys(listed):
        if not any(_covers(path, changed) for changed in known.changed):
            yield _minor("the report names it among its files, and the attempt did not change it", path)
    if not listed:
        return
    said = _everything(report)
    silent = [
        changed
        for changed in known.changed
        if not any(_covers(path, changed) for path in listed)
        and not _TRIVIAL.search(changed)
        and posixpath.basename(changed) not in said
    ]
    if silent:
        yield Finding(severity="note", text=f"changed, and named nowhere in the report: {_some(silent)}")


def _evidence(report: Report, known: Known) -> Iterator[Finding]:
    """Files and tests that its evidence names and that are not there."""
    there: dict[str, list[str]] = {}
    for path in {*known.tree, *known.changed}:
        there.setdefault(posixpath.basename(path), []).append(path)
    for path, test in dict.fromkeys(named(report)):
        if not any(f"/{known_path}".endswith(f"/{path}") for known_path in there.get(posixpath.basename(path), ())):
            yield _minor(f"the report's evidence names {_short(path)}, which is not in the tree")
        elif test and path in known.texts and not re.search(rf"\b{re.escape(test)}\b", known.texts[path]):
            yield _minor(f"the report's evidence names the test {_short(test)}, which is not in the file", path)


def _criteria(report: Report, known: Known) -> Iterator[Finding]:
    """Criteria that it says nothing of, and those that are not the item's."""
    spoken = [criterion.get("criterion", "") for criterion in report.criteria]
    met: set[int] = set()
    for said in (text for text in spoken if text.strip()):
        mine = [n for n, wanted in enumerate(known.criteria) if _alike(said, wanted, n)]
        met.update(mine)
        if not mine and known.criteria:
            yield _minor(f"the report speaks of a criterion that the item does not have: {_short(said)}")
    silent = [wanted for n, wanted in enumerate(known.criteria) if n not in met]
    if silent:
        text = f"the report says nothing of {len(silent)} of {len(known.criteria)} criteria: {_some(silent, '; ')}"
        yield Finding(severity="note", text=text)


def named(report: Report) -> Iterator[tuple[str, str]]:
    """Paths of code in a report's evidence, each with the test that is named there (`a.py::test_b`), or an empty text."""
    for criterion in report.criteria:
        for word in _WORD.findall(criterion.get("evidence", "")):
            path, _, rest = word.rstrip(".:-").partition("::")
            stem, dot, suffix = path.rpartition(".")
            if (
                not dot
                or not stem
                or not _CODE.fullmatch(suffix)
                or path.startswith(("/", "@"))
                or path.lower() in _NAMES
            ):
                continue
            path = posixpath.normpath(path)
            if not path.startswith(".."):
                yield path, rest.rpartition("::")[2].partition("[")[0]


def _path(entry: str) -> str:
    """The path that an entry of a list of files means: without quotes, and what is said of it; empty: it means none."""
    if entry.startswith("{"):
        try:
            said = json.loads(entry)
        except ValueError:
            return ""
        entry = next((str(said[key]) for key in ("path", "file", "name") if said.get(key)), "")
    words = re.split(r"\s+[(–—-]|:\s|\s->|\s=>", entry.strip().lstrip("-*• ").replace("`", "").strip("\"'"), maxsplit=1)
    path = words[0].strip().strip("\"'").removeprefix("./").rstrip("/")
    return path if path and " " not in path and re.search(r"[./]|^[\w-]+$", path) else ""


def _covers(path: str, changed: str) -> bool:
    """Whether the name means the changed file: it, its end or beginning, a folder above it, a pattern."""
    if path == changed or changed.startswith(path + "/") or fnmatch(changed, path):
        return True
    return changed.endswith("/" + path) or path.endswith("/" + changed)


def _alike(said: str, wanted: str, number: int) -> bool:
    if counted := re.fullmatch(r"(?:criterion|ac)?\s*#?(\d+)[.:)]?", said.strip().lower()):
        return int(counted.group(1)) == number + 1
    one, other = _plain(said), _plain(wanted)
    if one == other or (min(len(one), len(other)) >= len("text") and (one in other or other in one)):
        return True
    alike = SequenceMatcher(None, one, other, autojunk=False)
    # The quick ones are upper bounds: a text far longer than a criterion would take seconds to compare.
    return all(bound() >= ALIKE for bound in (alike.real_quick_ratio, alike.quick_ratio, alike.ratio))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"^\s*(?:\d+[.:)]|[-*])\s+", "", text).lower().replace("`", "").split()).rstrip(".!")


def _everything(report: Report) -> str:
    evidence = [f"{c.get('criterion', '')} {c.get('evidence', '')}" for c in report.criteria]
    return "\n".join((report.summary, report.approach, *report.challenges, *report.decisions, *evidence))


def _minor(text: str, file: str | None = None) -> Finding:
    return Finding(file=file, severity="minor", text=text)


def _some(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return between.join(_short(name) for name in names[:SHOWN]) + more


def _short(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
