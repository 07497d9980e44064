"""The roles: which prompt, which tools and which result tool each has. Prompts are files, known by their hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aurea.agents.results import JUDGEMENT, PLAN, REPORT, REVIEW, ResultTool
from aurea.domain.errors import UsageError
from aurea.domain.spec import ROLES

READING = ("read_file", "list_directory", "search_codebase", "git_status", "git_diff", "git_log")
CHANGING = ("write_file", "append_file", "edit_file", "delete_file", "run_shell", "run_python", "git_commit")
TEAMWORK = ("post_insight", "log_design_decision", "raise_escalation", "create_subtasks")
WORKING = frozenset((*READING, *CHANGING, *TEAMWORK, "search_tools"))
REVIEWING = frozenset((*READING, "post_insight", "search_tools"))
# Who reads the web writes files of its item, and runs nothing, binds nobody and plans nothing for others.
RESEARCHING = frozenset(
    (
        *READING,
        *("write_file", "append_file", "edit_file"),
        *("post_insight", "raise_escalation", "search_tools", "web_search"),
    )
)


@dataclass(frozen=True)
class RoleSpec:
    """What a role is made of. `prompts` are joined in order; `tools` are names; `result` ends its conversations."""

    name: str
    prompts: tuple[str, ...]
    tools: frozenset[str]
    result: ResultTool


def role_of(name: str) -> RoleSpec:
    """The role called `name`; `UsageError` where there is none."""
    if name not in ROLES:
        raise UsageError(f"unknown role {name!r}", remedy=f"the roles are {', '.join(ROLES)}")
    if name == "guardian":
        return RoleSpec(name, ("guardian",), frozenset(), JUDGEMENT)
    if name == "planner":
        return RoleSpec(name, ("planner",), frozenset(READING), PLAN)
    if name == "reviewer":
        return RoleSpec(name, ("reviewer",), REVIEWING, REVIEW)
    if name == "researcher":
        return RoleSpec(name, ("researcher",), RESEARCHING, REPORT)
    own = () if name == "coder" else (name,)
    return RoleSpec(name, ("coder", *own), WORKING, REPORT)


@cache
def prompt(name: str) -> str:
    """The standing instructions of a role: its first message."""
    folder = Path(__file__).parent / "prompts"
    texts = [(folder / f"{file}.md").read_text(encoding="utf-8").strip() for file in role_of(name).prompts]
    return "\n\n".join(texts) + "\n"


def prompt_versions(name: str) -> dict[str, str]:
    """The digest of each file that a role's instructions are made of."""
    folder = Path(__file__).parent / "prompts"
    return {
        file: "sha256:" + hashlib.sha256((folder / f"{file}.md").read_bytes()).hexdigest()
        for file in role_of(name).prompts
    }
