"""The `aurea.yaml` that a repository begins with: what was found in it, every line explained by a comment."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from aurea.intake.discover import Found
from aurea.intake.repository import project_name

# What is a text in every dialect of YAML without quotes; everything else gets them.
_PLAIN = re.compile(r"(?=.*[A-Za-z])[A-Za-z._/-][\w./-]*")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", ".nan", ".inf", "-.inf"})

_HEAD = """\
# What every run in this repository begins with: `aurea run --objective "..."`, and specs that name this repository.
# A spec and the command line go before it. All keys: `aurea schema spec`. What stands behind a # is a suggestion.

# The name of the project in lists, reports and Prefect's tags.
project: {project}
"""

_SETUP = """
# Commands that make a fresh workspace ready, in this order, before any agent or check; they have the network.
# Each is a list of words, given to no shell.
setup:
"""

_NO_SETUP = """
# Commands that make a fresh workspace ready, before any agent or check. Nothing was found that needs one.
# setup:
#   - [make, deps]
"""

_CHECKS = """
# The commands whose exit status is evidence: nothing lands on a tree on which one of them fails.
# kind: test, lint, types, build or other. timeout_s: 900 unless it says otherwise.
checks:
"""

_NO_CHECKS = """
# The commands whose exit status is evidence: nothing lands on a tree on which one of them fails.
# NONE WAS FOUND HERE: write at least one, or give it with `aurea run --check NAME=COMMAND`.
# checks:
#   - {name: tests, run: [make, test], kind: test}
"""

_TAIL = """
# Where models are asked: openai, or another that `aurea doctor` lists; without it the one whose key is set.
# provider: openai

# The model of every role that names none; without it the provider's default.
# model: gpt-5-mini

# The most that one run may spend, in USD; `none`: no limit.
budget_usd: 5

# How many work items may be worked on at once.
concurrency: 4

# How often one work item may be tried, in all, before a person is asked.
max_attempts: 5

# Who judges a change that passed its checks; `[]`: nobody.
reviewers:
  - {role: reviewer, focus: correctness}

# Where finished work lands: on a branch `aurea/RUN` of its own, which you merge. Your branches are not touched.
land: branch
"""


def starter(folder: Path, found: Found) -> str:
    """The text of `aurea.yaml` for the repository at `folder`, in which `found` was found."""
    parts = [_HEAD.format(project=_scalar(project_name(folder)))]
    if found.setup:
        parts.append(_SETUP + "".join(f"  # {_comment(s.why)}\n  - {_words(s.run)}\n" for s in found.setup))
    else:
        parts.append(_NO_SETUP)
    if found.checks:
        lines = (
            f"  # {_comment(check.why)}\n"
            f"  - {{name: {_scalar(check.name)}, run: {_words(check.run)}, kind: {check.kind}}}\n"
            for check in found.checks
        )
        parts.append(_CHECKS + "".join(lines))
    else:
        parts.append(_NO_CHECKS)
    return "".join([*parts, _TAIL])


def _words(command: Sequence[str]) -> str:
    return "[" + ", ".join(map(_scalar, command)) + "]"


def _scalar(text: str) -> str:
    """`text` as YAML that is read as this very text."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT and not text.startswith("---"):
        return text
    return json.dumps(text)


def _comment(text: str) -> str:
    return "found by: " + " ".join(text.split())
