"""The run document `aurea.run/1`, made from nothing but a run's state."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from aurea.domain import state as st
from aurea.domain.caps import RUN, Cap, limit_of, today
from aurea.domain.effective import effective_spec
from aurea.domain.errors import Permanent
from aurea.domain.events import DecisionLogged, InsightPosted, timestamp
from aurea.domain.evidence import Cost, Evidence
from aurea.domain.forms import form
from aurea.domain.spec import ItemSpec
from aurea.reporting import schemas as sh
from aurea.reporting.drift import replayed

ROW_KEYS = (
    "schema", "run", "project", "state", "reason", "reason_code", "provider", "model", "folder", "ui_url", "repo",
    "target", "landed_to_base", "started_at", "ended_at", "seconds", "cost", "budget", "plan", "unproven",
)  # fmt: skip


def run_document(state: st.RunState, *, alive: bool, folder: Path | str, now: datetime) -> dict[str, Any]:
    """The state of a run as `aurea.run/1`: plain JSON values under the names of the contract.

    `alive` says whether a process works on the run at this moment; `now` (UTC) measures what has not ended.
    `Permanent` where the run was never created.
    """
    created, started = state.created, state.started
    if created is None or started is None:
        raise Permanent(f"run {state.id!r} has no beginning: the ledger holds nothing of it")
    document = sh.RunDocument(
        run=state.id,
        project=created.project,
        objective=str(created.spec.get("objective", "")),
        state=status(state, alive=alive),
        reason=_reason(state),
        reason_code=state.ended.reason_code if state.ended else None,
        spec_digest=created.spec_digest,
        provider=str(state.changes.get("provider") or created.provider),
        model=str(state.changes.get("model") or created.model),
        sandbox=created.sandbox,
        template=_template(created.spec.get("template", "loop")),
        folder=str(folder),
        flow_run=state.link.flow_run if state.link else None,
        ui_url=state.link.ui_url if state.link else None,
        repo=created.repo,
        made_repo=created.made_repo,
        base=sh.RefEntry(ref=created.base.ref, sha=created.base.sha),
        target=sh.RefEntry(ref=created.target_ref, sha=state.tip),
        landed_to_base=state.base_moved is not None and state.base_tip == state.tip,
        started_at=timestamp(started),
        ended_at=_moment(state.closed),
        seconds=_seconds(started, _until(state, alive=alive, now=now)),
        items=[_item(state, item, alive=alive, now=now) for item in state.items.values()],
        evidence=[_evidence(evidence) for evidence in state.evidence.values()],
        questions=[_question(state, asked) for asked in state.questions.values()],
        notes=[_note(note) for note in state.notes],
        cost=state.cost,
        budget=_budget(state, now),
        plan=sh.PlanEntry(
            nodes=len(state.items),
            edges=sum(len(set(names)) for names in state.edges.values()),
            critical_path=list(state.plan.critical_path) if state.plan else [],
        ),
        unproven=bool(created.spec.get("unproven")),
        replay=sh.ReplayEntry.model_validate(played) if (played := replayed(state)) else None,
    )
    return document.model_dump(mode="json", by_alias=True)


def _template(said: Any) -> str:
    """The name of a run's template: as the spec has it, or in what the template said."""
    return str(said["name"] if isinstance(said, dict) else said)


def run_row(state: st.RunState, *, alive: bool, folder: Path | str, now: datetime) -> dict[str, Any]:
    """One row of `aurea list`: the keys of the run document that tell runs apart, items with id and state only."""
    document = run_document(state, alive=alive, folder=folder, now=now)
    row = {key: document[key] for key in ROW_KEYS}
    row["items"] = [{"id": item["id"], "state": item["state"]} for item in document["items"]]
    return row


def question_documents(state: st.RunState) -> list[dict[str, Any]]:
    """The open questions of a run, as `aurea inbox --json` lists them."""
    return [_question(state, asked).model_dump(mode="json") for asked in state.questions.values()]


def status(state: st.RunState, *, alive: bool) -> sh.RunStatus:
    """How a run stands: how it ended, else whether somebody works on it."""
    if state.ended is not None:
        return state.ended.state
    return "running" if alive else "interrupted"


def _reason(state: st.RunState) -> str | None:
    """Why it ended so; of one that waited and was answered meanwhile, that it was."""
    if state.ended is None:
        return None
    answered = state.ended.state == "waiting" and state.answers and not state.questions
    return "every question is answered" if answered else state.ended.reason


def _until(state: st.RunState, *, alive: bool, now: datetime) -> datetime | None:
    """The moment up to which something without an end of its own has lasted."""
    return state.closed or (now if alive else state.last_ts)


def _budget(state: st.RunState, now: datetime) -> sh.BudgetEntry:
    spec = effective_spec(state)
    items = [Cap(scope="item", name=name) for name in state.items]
    roles = [Cap(scope="role", name=name) for name in spec.budgets.roles]
    caps = []
    for cap in (*items, *roles, Cap(scope="day", name=today(now))):
        limit = limit_of(spec, cap)
        if limit is not None and cap.scope != "run":
            spent = state.spent_on.get(cap, 0.0)
            caps.append(sh.CapEntry(scope=cap.scope, name=cap.name, limit_usd=limit, spent_usd=spent))
    return sh.BudgetEntry(
        limit_usd=limit_of(spec, RUN),
        spent_usd=state.spent_usd,
        reserved_usd=round(state.reserved_usd, 9),
        caps=caps,
    )


def _item(state: st.RunState, item: st.Item, *, alive: bool, now: datetime) -> sh.ItemEntry:
    spec: ItemSpec = item.spec
    judged = next((a.verdict for a in reversed(item.attempts) if a.verdict), None)
    landed_by = next((a.number for a in item.attempts if a.landed), 0)
    until = _until(state, alive=alive, now=now)
    return sh.ItemEntry(
        id=spec.id,
        title=spec.name,
        goal=spec.goal,
        criteria=list(spec.criteria),
        role=spec.role,
        state=item.state,
        cause=item.cause,
        depends_on=list(spec.depends_on),
        priority=spec.priority,
        attempts=[_attempt(attempt, until, _partial(state, spec.id, attempt)) for attempt in item.attempts],
        verdict=None
        if judged is None
        else sh.VerdictEntry(
            decision=judged.decision,
            by=judged.by,
            criteria=[sh.CriterionEntry(text=c.text, met=c.met, evidence=list(c.evidence)) for c in judged.criteria],
            reasons=list(judged.reasons),
        ),
        landed=sh.LandedEntry(**item.landed.model_dump(), attempt=landed_by) if item.landed else None,
        question=item.question,
        cost=state.item_cost.get(spec.id, Cost()),
    )


def _partial(state: st.RunState, item: str, attempt: st.Attempt) -> sh.PartialEntry | None:
    found = state.partials.get((item, attempt.number, attempt.role))
    return sh.PartialEntry(summary=found.summary, unfinished=list(found.unfinished)) if found else None


def _attempt(attempt: st.Attempt, until: datetime | None, partial: sh.PartialEntry | None) -> sh.AttemptEntry:
    ended = attempt.ended
    return sh.AttemptEntry(
        number=attempt.number,
        state=attempt.state,
        reason=attempt.reason,
        spent=attempt.spent,
        limit=ended.limit if ended else None,
        role=attempt.role,
        model=attempt.model,
        fallbacks=list(attempt.fallbacks),
        base=attempt.base,
        ref=ended.ref if ended else None,
        files=list(ended.files) if ended else [],
        checks=list(attempt.checks),
        reviews=list(attempt.reviews),
        findings=list(attempt.findings),
        not_borne_out=sum(claim.severity == "minor" for claim in attempt.claims),
        report=ended.report if ended else None,
        partial=partial,
        seconds=round(ended.seconds, 3) if ended else _seconds(attempt.started, until),
        started_at=timestamp(attempt.started),
        ended_at=_moment(attempt.closed),
        cost=attempt.cost,
    )


def _evidence(evidence: Evidence) -> sh.EvidenceEntry:
    values = evidence.model_dump()
    return sh.EvidenceEntry(**{**values, "tail": "" if evidence.passed else evidence.tail})


def _question(state: st.RunState, asked: st.OpenQuestion) -> sh.QuestionDocument:
    question = asked.question
    return sh.QuestionDocument(
        question=question.id,
        run=state.id,
        item=question.item,
        kind=question.kind,
        title=question.title,
        why=question.why,
        cost=state.item_cost.get(question.item, Cost()) if question.item else state.cost,
        choices=list(question.choices),
        form=form(question.kind),
        default=asked.default,
        deadline=_moment(asked.deadline),
        flow_run=asked.shown.flow_run if asked.shown else None,
        ui_url=asked.shown.ui_url if asked.shown else None,
        asked_at=timestamp(asked.asked),
        cap=question.cap,
    )


def _note(note: st.Note) -> sh.NoteEntry:
    fact = note.fact
    said = {"item": note.item, "attempt": note.attempt, "by": fact.conversation, "at": timestamp(note.at)}
    match fact:
        case InsightPosted():
            return sh.NoteEntry(type="insight", title="", text=fact.text, **said)
        case DecisionLogged():
            return sh.NoteEntry(type="decision", title=fact.title, text=fact.text, **said)
        case _:
            return sh.NoteEntry(type="escalation", title=fact.kind, text=fact.text, **said)


def _moment(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment else None


def _seconds(start: datetime, end: datetime | None) -> float:
    return round(max((end - start).total_seconds(), 0.0), 3) if end else 0.0
