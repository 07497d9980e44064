"""The state of one run: nothing but a fold of its events, and the place where an illegal event is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from aurea.domain import events as ev
from aurea.domain.attempt import Attempt, Item, Note, OpenQuestion, ToolRecord
from aurea.domain.caps import Cap, caps_of, today
from aurea.domain.errors import IllegalMove, Permanent
from aurea.domain.evidence import Cost, Evidence, Question, deadline
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.place import Place, ToolPlace, place_of
from aurea.domain.spec import ItemSpec

__all__ = ["Attempt", "Item", "Note", "OpenQuestion", "Place", "RunState", "ToolPlace", "ToolRecord"]

Mark = ev.ModelRepaired | ev.ConversationCompacted | ev.GuardianLooked | ev.LimitReached | ev.PartialHandedIn


@dataclass
class RunState:
    """Everything that a run's events say, and nothing else."""

    id: str
    created: ev.RunCreated | None = None
    started: datetime | None = None
    ended: ev.RunEnded | None = None
    order: ev.OrderGiven | None = None
    closed: datetime | None = None
    cleaned: ev.RunCleaned | None = None
    link: ev.RunLinked | None = None
    changes: dict[str, object] = field(default_factory=dict)
    plan: ev.PlanAccepted | None = None
    rounds: int = 0
    rejections: list[ev.PlanRejected] = field(default_factory=list)
    proposals: dict[int, ev.PlanProposed] = field(default_factory=dict)
    reopened: dict[str, int] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    prompts: dict[tuple[str | None, int, str], str] = field(default_factory=dict)
    equipped: dict[tuple[str | None, int, str], ev.AgentEquipped] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    questions: dict[str, OpenQuestion] = field(default_factory=dict)
    asked_questions: dict[str, Question] = field(default_factory=dict)
    answers: dict[str, ev.QuestionAnswered] = field(default_factory=dict)
    withdrawn: dict[str, str] = field(default_factory=dict)
    landings: list[ev.LandingLanded] = field(default_factory=list)
    base_moved: ev.BaseMoved | None = None
    quality: ev.QualityJudged | None = None
    base_tip: str = ""
    cost: Cost = field(default_factory=Cost)
    item_cost: dict[str | None, Cost] = field(default_factory=dict)
    journal: dict[Place, str] = field(default_factory=dict)
    answer_seconds: dict[Place, float] = field(default_factory=dict)
    asked: dict[Place, ev.ModelAsked] = field(default_factory=dict)
    saying: dict[Place, list[ev.ModelSaid]] = field(default_factory=dict)
    tools: dict[ToolPlace, ToolRecord] = field(default_factory=dict)
    marks: dict[tuple[Place, str], Mark] = field(default_factory=dict)
    drifted: dict[Place, ev.ReplayDrifted] = field(default_factory=dict)
    partials: dict[tuple[str | None, int, str], ev.PartialHandedIn] = field(default_factory=dict)
    reserved: dict[Place, float] = field(default_factory=dict)
    spent_usd: float = 0.0
    spent_on: dict[Cap, float] = field(default_factory=dict)
    passed: dict[tuple[Cap, float], float] = field(default_factory=dict)
    last_seq: int = 0
    last_hash: str = ""
    last_ts: datetime | None = None

    @property
    def tip(self) -> str:
        """The commit the target stands on as far as the ledger knows."""
        if self.landings:
            return self.landings[-1].landed.sha
        return self.created.base.sha if self.created else ""

    @property
    def finished(self) -> bool:
        """Whether it has come to an end that cannot be gone on from."""
        return self.ended is not None and self.ended.state in ("succeeded", "failed", "cancelled")

    @property
    def edges(self) -> dict[str, tuple[str, ...]]:
        """Each item's dependencies."""
        return {name: item.spec.depends_on for name, item in self.items.items()}

    @property
    def reserved_usd(self) -> float:
        """What is held back for model calls on their way."""
        return sum(self.reserved.values())

    @property
    def insights(self) -> list[Note]:
        """What agents told those after them, oldest first."""
        return [note for note in self.notes if isinstance(note.fact, ev.InsightPosted)]

    @property
    def decisions(self) -> list[Note]:
        """The design decisions of agents, oldest first."""
        return [note for note in self.notes if isinstance(note.fact, ev.DecisionLogged)]

    def unlanded(self, item: str) -> list[str]:
        """What `item` depends on that has not landed."""
        needs = self.item(item).spec.depends_on
        return [name for name in needs if self.item(name).state is not ItemState.COMPLETE]

    def escalation(self, item: str, attempt: int) -> ev.EscalationRaised | None:
        """What the agent of an attempt asked a person for, where it did."""
        asked = [n.fact for n in self.notes if (n.item, n.attempt) == (item, attempt)]
        raised = [fact for fact in asked if isinstance(fact, ev.EscalationRaised) and fact.kind != "needs_research"]
        return raised[-1] if raised else None

    def apply(self, event: ev.Event) -> None:
        """Take one more event in, in the order of the ledger."""
        if self.created is None and not isinstance(event.fact, ev.RunCreated):
            raise Permanent(f"run {self.id!r} has no beginning: its first event is {event.type!r}")
        _apply(self, event)
        self.last_seq, self.last_hash, self.last_ts = event.seq, event.hash, event.ts

    def check(self, draft: ev.Draft) -> None:
        """Raise where `draft` may not follow on what this run already holds."""
        if isinstance(draft.fact, ev.RunCreated):
            if self.created is not None:
                raise Permanent(f"run {self.id!r} exists already")
            return
        if self.created is None:
            raise Permanent(f"there is no run {self.id!r}", remedy="`aurea list` shows the runs there are")
        if isinstance(draft.fact, ev.AttemptStarted):
            number = len(self.item(draft.item).attempts) + 1
            if draft.attempt != number:
                raise Permanent(f"attempt {draft.attempt} of {draft.item!r} cannot begin: the next is {number}")
            return
        if draft.item is not None:
            self.item(draft.item)
            if draft.attempt is not None:
                self.attempt(draft.item, draft.attempt)
        _check(self, draft)

    def item(self, name: str | None) -> Item:
        """The work item `name`; `Permanent` where the plan has none."""
        if name is None or name not in self.items:
            raise Permanent(f"run {self.id!r} has no work item {name!r}")
        return self.items[name]

    def attempt(self, item: str | None, number: int | None) -> Attempt:
        """Attempt `number` of `item`; `Permanent` where there is none."""
        attempts = self.item(item).attempts
        if number is None or not 1 <= number <= len(attempts):
            raise Permanent(f"work item {item!r} has no attempt {number!r}")
        return attempts[number - 1]


def _check(run: RunState, draft: ev.Draft) -> None:
    match draft.fact:
        case ev.ItemMoved() as fact:
            run.item(draft.item).check_move(draft.actor, fact)
        case ev.RunCleaned():
            if not run.finished:
                raise Permanent(f"run {run.id!r} is not over: nothing of it is cleaned away")
        case ev.LandingLanded():
            if run.item(draft.item).landed is not None:
                raise IllegalMove(f"item {draft.item!r} has landed already")
        case ev.QuestionAsked() | ev.QuestionShown() | ev.QuestionAnswered() | ev.QuestionWithdrawn() as fact:
            _check_question(run, draft.actor, fact)


def _check_question(
    run: RunState, actor: str, fact: ev.QuestionAsked | ev.QuestionShown | ev.QuestionAnswered | ev.QuestionWithdrawn
) -> None:
    if isinstance(fact, ev.QuestionAsked):
        if fact.question.id in run.asked_questions:
            raise Permanent(f"question {fact.question.id!r} was asked before; asking again takes a new id")
        return
    if fact.question not in run.questions:
        raise Permanent(f"question {fact.question!r} is not open")
    if isinstance(fact, ev.QuestionAnswered):
        if fact.choice not in run.questions[fact.question].question.choices:
            raise Permanent(f"question {fact.question!r} does not offer {fact.choice!r}")
        if actor == Actor.MANAGER:
            raise Permanent("a question is answered by a person, or by a policy; never by the manager")


def _apply(run: RunState, event: ev.Event) -> None:  # noqa: C901 (a flat list of cases)
    match event.fact:
        case ev.RunCreated() as fact:
            run.created, run.started = fact, event.ts
        case ev.RunResumed() as fact:
            run.ended = run.closed = run.quality = None
            if run.order is not None and run.order.order == "pause":
                run.order = None
            run.changes.update(fact.changes)
            if (within := fact.changes.get("answer_within_s")) is not None:
                for asked in run.questions.values():
                    asked.deadline = deadline(event.ts, within)
        case ev.RunLinked() as fact:
            run.link = fact
        case ev.RunEnded() as fact:
            run.ended, run.closed = fact, event.ts
        case ev.RunCleaned() as fact:
            run.cleaned = fact
        case ev.PlanProposed() as fact:
            run.rounds = max(run.rounds, fact.round)
            run.proposals[fact.round] = fact
        case ev.PlanRejected() as fact:
            run.rejections.append(fact)
        case ev.PlanAccepted() as fact:
            run.plan = fact
            for spec in fact.items:
                run.items.setdefault(spec.id, Item(spec, since=event.ts))
        case ev.PlanChanged() as fact:
            for spec in fact.items:
                _plan(run, spec, event.ts, by_person=fact.question is not None)
            for name, hint in fact.hints.items():
                run.item(name).hints.append(hint)
        case ev.PlanReopened() as fact:
            run.rounds = max(run.rounds, fact.round)
            run.reopened[event.item or ""] = fact.round
        case ev.OrderGiven() as fact:
            if event.item is None:  # nothing takes a cancel back
                run.order = run.order if run.order is not None and run.order.order == "cancel" else fact
            else:
                run.item(event.item).cancelled = "cancelled by a person" + (f": {fact.reason}" if fact.reason else "")
        case ev.ItemMoved() as fact:
            item = run.item(event.item)
            item.state, item.cause, item.since = fact.target, fact.cause, event.ts
            item.asked, item.held = None, fact.question
            if item.current and fact.target in (ItemState.FAILED, ItemState.ABANDONED):
                item.current.leave("failed" if fact.target is ItemState.FAILED else "abandoned", fact.cause)
        case ev.QuestionAsked() as fact:
            run.questions[fact.question.id] = OpenQuestion(fact.question, event.ts, fact.question.deadline)
            run.asked_questions[fact.question.id] = fact.question
            if fact.question.item in run.items:
                about = run.items[fact.question.item]
                about.question = about.asked = fact.question.id
        case ev.QuestionShown() as fact:
            run.questions[fact.question].shown = fact
        case ev.QuestionAnswered() as fact:
            run.answers[fact.question] = fact
            _close(run, fact.question)
        case ev.QuestionWithdrawn() as fact:
            run.withdrawn[fact.question] = fact.reason
            _close(run, fact.question)
        case ev.BaseMoved() as fact:
            run.base_moved, run.base_tip = fact, run.tip
        case ev.QualityJudged() as fact:
            run.quality = fact
        case ev.BreakerChanged():
            pass
        case _:
            _apply_work(run, event)


def _plan(run: RunState, spec: ItemSpec, since: datetime, *, by_person: bool) -> None:
    """Take an item into the plan, or another wording of one that is there."""
    before = run.items.get(spec.id)
    item = before or run.items.setdefault(spec.id, Item(spec, since=since))
    if by_person and (before is None or (spec.goal, spec.criteria) != (before.spec.goal, before.spec.criteria)):
        item.by_person = True
    item.spec = spec


def _close(run: RunState, name: str) -> None:
    asked = run.questions.pop(name)
    item = run.items.get(asked.question.item or "")
    if item is not None and item.question == name:
        item.question = None


def _apply_work(run: RunState, event: ev.Event) -> None:
    """The events of attempts, model calls and landings."""
    match event.fact:
        case ev.AttemptStarted() as fact:
            item = run.item(event.item)
            if item.current:
                item.current.leave("abandoned", "another attempt began")
            item.attempts.append(Attempt(event.attempt or 1, fact.base, fact.role, fact.model, fact.prompt, event.ts))
            run.prompts[(event.item, event.attempt or 1, fact.role)] = fact.prompt
        case ev.AttemptEnded() as fact:
            attempt = run.attempt(event.item, event.attempt)
            attempt.ended, attempt.closed = fact, event.ts
        case ev.CheckEnded() as fact:
            run.evidence[fact.evidence.id] = fact.evidence
            if fact.evidence.kind == "check":
                _once(run.attempt(event.item, event.attempt).checks, fact.evidence.id)
        case ev.PrecheckEnded() as fact:
            run.attempt(event.item, event.attempt).precheck = fact
        case ev.ReviewEnded() as fact:
            run.evidence[fact.evidence.id] = fact.evidence
            run.attempt(event.item, event.attempt).reviews[fact.evidence.id] = fact.review
        case ev.VerdictGiven() as fact:
            run.attempt(event.item, event.attempt).verdict = fact.verdict
        case ev.LandingStarted() as fact:
            run.attempt(event.item, event.attempt).landing = fact
        case ev.LandingRefused() as fact:
            run.attempt(event.item, event.attempt).refused = fact
        case ev.LandingLanded() as fact:
            run.landings.append(fact)
            run.item(event.item).landed = run.attempt(event.item, event.attempt).landed = fact.landed
        case _:
            _apply_calls(run, event)


def _apply_calls(run: RunState, event: ev.Event) -> None:
    """The journal of model and tool calls, and the money."""
    _overhear(run, event)
    match event.fact:
        case ev.ModelAsked() as fact:
            run.asked[place_of(event, fact)] = fact
        case ev.ModelAnswered() as answer:
            run.journal[place_of(event, answer)] = answer.body
            run.answer_seconds[place_of(event, answer)] = answer.seconds
            _charge(run, event, lambda cost: cost.with_call(answer.usage, answer.usd, priced=answer.priced))
        case ev.ToolStarted() as fact:
            run.tools[(*place_of(event, fact), fact.call)] = ToolRecord(fact)
        case ev.ToolEnded() as fact:
            record = run.tools.get((*place_of(event, fact), fact.call))
            if record is not None:
                record.ended = fact
            _charge(run, event, lambda cost: cost.with_tool())
        case ev.BudgetReserved() as fact:
            run.reserved[place_of(event, fact)] = fact.usd
            run.passed.update(((over.cap, over.limit_usd), fact.usd) for over in fact.over)
        case ev.BudgetSettled() as fact:
            place = place_of(event, fact)
            run.reserved.pop(place, None)
            run.spent_usd = round(run.spent_usd + fact.usd, 9)
            asked = run.asked.get(place)  # which tells the role where an older version settled
            role = fact.role or (asked.role if asked is not None else "")
            for cap in caps_of(event.item, role, today(event.ts)):
                run.spent_on[cap] = round(run.spent_on.get(cap, 0.0) + fact.usd, 9)
        case ev.ModelFellBack() as fact:
            if event.item is not None and event.attempt:
                _once(run.attempt(event.item, event.attempt).fallbacks, fact.to)
        case ev.ModelSaid() | ev.ModelFailed() | ev.ModelWaiting() | ev.SubtasksProposed():
            pass
        case _:
            _apply_team(run, event)


def _overhear(run: RunState, event: ev.Event) -> None:
    """What is being said, for those who watch: until the answer is there, or another try begins."""
    match event.fact:
        case ev.ModelSaid() as fact:
            run.saying.setdefault(place_of(event, fact), []).append(fact)
        case ev.ModelAsked() | ev.ModelAnswered() | ev.ModelFailed() as fact:
            run.saying.pop(place_of(event, fact), None)


def _apply_team(run: RunState, event: ev.Event) -> None:
    """What agents are told, and what they hand in."""
    match event.fact:
        case ev.PromptGiven() as fact:
            run.prompts[(event.item, event.attempt or 0, fact.conversation)] = fact.body
        case ev.AgentEquipped() as fact:
            run.equipped[(event.item, event.attempt or 0, fact.conversation)] = fact
        case ev.McpNoted():
            pass
        case ev.InsightPosted() | ev.DecisionLogged() | ev.EscalationRaised() as fact:
            run.notes.append(Note(event.item, event.attempt or 0, event.ts, fact))
        case ev.SubtasksJudged() as fact:
            if fact.accepted and event.item is not None:
                run.parents.update(dict.fromkeys(fact.items, event.item))
        case _:
            _apply_marks(run, event)


def _apply_marks(run: RunState, event: ev.Event) -> None:
    """What is known of the way a conversation went."""
    match event.fact:
        case ev.ModelRepaired() | ev.ConversationCompacted() | ev.GuardianLooked() | ev.LimitReached() as fact:
            run.marks[(place_of(event, fact), fact.type)] = fact
        case ev.LimitLifted() as fact:
            run.marks.pop((place_of(event, fact), "limit.reached"), None)
        case ev.PartialHandedIn() as fact:
            place = place_of(event, fact)
            run.marks[(place, fact.type)] = run.partials[place[:3]] = fact
        case ev.ReplayDrifted() as fact:
            run.drifted[place_of(event, fact)] = fact
        case _:
            raise AssertionError(f"no fold for {event.type!r}")


def _once(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def _charge(run: RunState, event: ev.Event, change: Callable[[Cost], Cost]) -> None:
    run.cost = change(run.cost)
    run.item_cost[event.item] = change(run.item_cost.get(event.item, Cost()))
    if event.item is not None and event.attempt:
        attempt = run.attempt(event.item, event.attempt)
        attempt.cost = change(attempt.cost)
