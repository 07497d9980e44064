"""The result tools: what ends a conversation, forgiving where one thing is meant, and as values of the domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from aurea.agents.tools.base import parse, tool_spec
from aurea.domain.evidence import CriterionReview, Finding, Report, Review
from aurea.domain.messages import ToolSpec
from aurea.domain.spec import ItemId, ItemSpec, Text


def _texts(value: Any) -> Any:
    """One text for a list of one; nothing for an empty list; objects among texts as their JSON."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(
            entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in value if entry
        )
    return value


def _objects(key: str) -> BeforeValidator:
    """A list of objects, in which a mere text stands for the object's `key`."""

    def tidy(value: Any) -> Any:
        if value is None or value == "":
            return ()
        entries = value if isinstance(value, list | tuple) else (value,)
        return tuple({key: entry} if isinstance(entry, str) else entry for entry in entries)

    return BeforeValidator(tidy)


def _met(value: Any) -> Any:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    word = str(value).strip().lower()
    return {"true": "yes", "false": "no", "met": "yes", "not met": "no", "unmet": "no", "": "unknown"}.get(word, word)


def _decision(value: Any) -> Any:
    word = str(value).strip().lower()
    return {"approved": "approve", "returned": "return", "escalated": "escalate"}.get(word, word)


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _or(default: Any) -> BeforeValidator:
    """null, or an empty text, stands for what is usual."""
    return BeforeValidator(lambda value: default if value is None or value == "" else value)


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Criteria = Annotated[tuple[Text, ...], BeforeValidator(_texts)]


class Answer(BaseModel):
    """Base of what result tools take: frozen; what a model adds on its own is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class PlannedItem(Answer):
    """A work item as a planner writes it."""

    id: Annotated[ItemId, Field(description="short name in lower case: letters, digits, `-`, `_`")]
    title: Annotated[str, _or("")] = ""
    goal: Annotated[Text, Field(description="what is to be there afterwards")]
    criteria: Annotated[
        Criteria, Field(description="statements that a check or a reader of the change can decide")
    ] = ()
    files: Annotated[Texts, Field(description="files it is expected to add or change")] = ()
    depends_on: Annotated[Texts, Field(description="ids of items that must have landed before it can begin")] = ()
    priority: Annotated[int, _or(0), Field(description="higher goes first")] = 0
    role: Annotated[str, _or("coder")] = "coder"
    checks: Annotated[Texts, Field(description="names of the checks that judge it; empty: all")] = ()

    def item(self) -> ItemSpec:
        """The same as a value of the domain."""
        return ItemSpec(**self.model_dump())


class SubmitPlan(Answer):
    """Submit the plan and end the conversation."""

    items: tuple[PlannedItem, ...]
    notes: Annotated[str, _or("")] = ""


class CriterionReport(Answer):
    """One acceptance criterion and what shows that it is met."""

    criterion: str
    evidence: Annotated[str, _or("")] = ""


class SubmitReport(Answer):
    """Submit the report on the finished work and end the conversation."""

    summary: Annotated[Text, Field(description="what was done")]
    approach: Annotated[str, Field(description="how, and why this way")]
    challenges: Texts = ()
    decisions: Texts = ()
    files: Annotated[Texts, Field(description="files added, changed or deleted")] = ()
    unfinished: Annotated[Texts, Field(description="what is left to do; empty where nothing is")] = ()
    criteria: Annotated[tuple[CriterionReport, ...], _objects("criterion")] = ()


class ReviewedCriterion(Answer):
    """One acceptance criterion as a reviewer judges it."""

    criterion: Annotated[str, Field(description="the criterion, word for word")]
    met: Annotated[Literal["yes", "no", "unknown"], BeforeValidator(_met)]
    reason: Annotated[
        str, _or(""), Field(description="with the file and line, or the id of the evidence, that shows it")
    ] = ""


class ReviewFinding(Answer):
    """One finding of a reviewer."""

    file: Annotated[str, _or("")] = ""
    line: Annotated[int, _or(0), Field(ge=0)] = 0
    severity: Annotated[Literal["blocker", "major", "minor", "note"], BeforeValidator(_lower)] = "major"
    text: Text


class SubmitReview(Answer):
    """Submit the review and end the conversation."""

    decision: Annotated[Literal["approve", "return", "escalate"], BeforeValidator(_decision)]
    criteria: Annotated[tuple[ReviewedCriterion, ...], _objects("criterion")] = ()
    findings: Annotated[tuple[ReviewFinding, ...], _objects("text")] = ()
    summary: Annotated[str, _or("")] = ""


class SubmitJudgement(Answer):
    """Submit the judgement and end the conversation."""

    alignment: Annotated[int, Field(ge=0, le=100, description="how well it leads to the task's criteria")]
    trajectory: Annotated[Literal["improving", "steady", "worsening"], BeforeValidator(_lower)] = "steady"
    advice: Annotated[str, _or(""), Field(max_length=500, description="one sentence to the agent, or empty")] = ""


@dataclass(frozen=True)
class ResultTool:
    """The tool whose valid call is a role's result. `required` is what the model is told it must give."""

    name: str
    arguments: type[Answer]
    required: tuple[str, ...]

    @property
    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        bare = tool_spec(self.name, self.arguments.__doc__ or "", self.arguments)
        return bare.model_copy(update={"parameters": {**bare.parameters, "required": list(self.required)}})

    def result(self, arguments: Mapping[str, object]) -> dict[str, Any]:
        """The validated arguments as JSON values; `ToolRefused` names every fault."""
        return parse(self.arguments, arguments).model_dump(mode="json")


PLAN = ResultTool("submit_plan", SubmitPlan, ("items",))
REPORT = ResultTool("submit_report", SubmitReport, ("summary", "approach"))
REVIEW = ResultTool("submit_review", SubmitReview, ("decision", "criteria", "findings", "summary"))
JUDGEMENT = ResultTool("submit_judgement", SubmitJudgement, ("alignment", "trajectory", "advice"))


def plan_of(result: Mapping[str, object]) -> tuple[tuple[ItemSpec, ...], str]:
    """The items and notes of a planner's result."""
    plan = parse(SubmitPlan, result)
    return tuple(item.item() for item in plan.items), plan.notes


def report_of(result: Mapping[str, object]) -> Report:
    """The report of a worker's result."""
    return Report.model_validate(parse(SubmitReport, result).model_dump())


def review_of(result: Mapping[str, object]) -> Review:
    """The review of a reviewer's result."""
    said = parse(SubmitReview, result)
    return Review(
        decision=said.decision,
        criteria=tuple(CriterionReview(**criterion.model_dump()) for criterion in said.criteria),
        findings=tuple(
            Finding(file=finding.file or None, line=finding.line or None, severity=finding.severity, text=finding.text)
            for finding in said.findings
        ),
        summary=said.summary,
    )
