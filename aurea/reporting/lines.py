"""One line of plain text per event, and which events deserve one while a run is watched."""

from __future__ import annotations

from datetime import tzinfo

from aurea.domain import events as ev
from aurea.domain.evidence import Evidence
from aurea.domain.lifecycle import ItemState
from aurea.reporting.text import cut, duration, many, money, one_line

_WIDE = 200


def event_line(event: ev.Event, zone: tzinfo | None = None) -> str:
    """`12:03:04 storage #1  check tests failed (exit 1, 2.1s)`, in local time or that of `zone`."""
    moment = event.ts.astimezone(zone).strftime("%H:%M:%S")
    return f"{moment} {place(event):<12}  {event_text(event)}".rstrip()


def place(event: ev.Event) -> str:
    """Which item and attempt an event belongs to; `run` where it belongs to none."""
    if event.item is None:
        return "run"
    return f"{event.item} #{event.attempt}" if event.attempt else event.item


def matters(event: ev.Event) -> bool:
    """Whether somebody who watches a run wants a line for this event."""
    match event.fact:
        case ev.ItemMoved() as fact:
            return fact.target in (ItemState.BLOCKED, ItemState.ABANDONED)
        case ev.CheckEnded() as fact:
            return fact.evidence.kind != "gate" or not fact.evidence.passed
        case ev.PrecheckEnded() as fact:
            return not fact.passed
        case ev.VerdictGiven() as fact:
            return fact.verdict.decision != "approve"
        case ev.RunCreated() | ev.PlanProposed() | ev.LandingStarted():
            return False
        case _:
            return type(event.fact).level != "debug"


def notable(event: ev.Event) -> bool:
    """Whether the line should stay on a terminal above the live table: what landed, and what went wrong."""
    failed = isinstance(event.fact, ev.CheckEnded) and not event.fact.evidence.passed
    told = isinstance(event.fact, ev.LandingLanded | ev.RunLinked)
    return failed or told or type(event.fact).level in ("warning", "error")


def event_text(event: ev.Event) -> str:
    """What happened, in words, on one line; nothing in it can steer a terminal."""
    return cut(_run(event.fact), _WIDE)


def _run(fact: ev.AnyFact) -> str:
    """The run and its plan."""
    match fact:
        case ev.RunCreated():
            return f"created: {fact.project}, {fact.provider}:{fact.model}, on {fact.base.sha[:12]}"
        case ev.RunResumed():
            changes = ", ".join(f"{name}={value}" for name, value in fact.changes.items())
            return "resumed" + (f" with {changes}" if changes else "")
        case ev.RunLinked():
            return f"watch it at {fact.ui_url}" if fact.ui_url else f"flow run {fact.flow_run}"
        case ev.RunEnded():
            said = [fact.reason] if fact.state == "waiting" else [fact.state, fact.reason]  # `waits for a person: …`
            return ": ".join(filter(None, said)) or fact.state
        case ev.RunCleaned():
            folder = " and the run folder" if fact.folder else ""
            return f"cleaned: {many(fact.refs, 'attempt ref')}{folder} removed"
        case ev.PlanProposed():
            return f"plan proposed: {many(len(fact.items), 'item')} (round {fact.round})"
        case ev.PlanRejected():
            return f"plan rejected: {'; '.join(fact.reasons)}"
        case ev.PlanAccepted():
            return f"plan accepted: {many(len(fact.items), 'item')}, longest chain {' > '.join(fact.critical_path)}"
        case ev.BaseMoved():
            return f"{fact.ref} moved to {fact.new[:12]}"
        case ev.QualityJudged():
            done = "passed" if fact.passed else "failed: " + "; ".join(fact.failures)
            warned = f", {many(len(fact.warnings), 'warning')}" if fact.warnings else ""
            return f"quality gate of {many(fact.expectations, 'expectation')} {done}{warned}"
        case ev.BreakerChanged():
            row = f" after {many(fact.failures, 'failure')} in a row" if fact.state == "open" else ""
            return f"circuit breaker of {fact.provider} is {fact.state.replace('_', ' ')}{row}"
        case _:
            return _people(fact)


def _people(fact: ev.AnyFact) -> str:
    """What people are asked, answer and order."""
    match fact:
        case ev.PlanChanged():
            hints = "; ".join(f"{name}: {hint}" for name, hint in fact.hints.items())
            return "; ".join(
                filter(
                    None, [f"plan changed: {', '.join(item.id for item in fact.items)}" if fact.items else "", hints]
                )
            )
        case ev.PlanReopened():
            return f"the planner is asked to revise it (round {fact.round}, {many(fact.failures, 'failed attempt')})"
        case ev.OrderGiven():
            return f"ordered to {fact.order}" + (f": {fact.reason}" if fact.reason else "")
        case ev.QuestionAsked():
            return f"asks: {fact.question.title} ({fact.question.id}: {', '.join(fact.question.choices)})"
        case ev.QuestionShown():
            return f"{fact.question} can be answered at {fact.ui_url or fact.flow_run}"
        case ev.QuestionWithdrawn():
            return f"withdrawn: {fact.question}: {fact.reason}"
        case ev.QuestionAnswered():
            return f"answered: {fact.choice} to {fact.question}" + (f" ({fact.reason})" if fact.reason else "")
        case _:
            return _work(fact)


def _work(fact: ev.AnyFact) -> str:
    """Items, attempts, evidence and landings."""
    match fact:
        case ev.ItemMoved():
            return f"{fact.source.value} -> {fact.target.value}: {fact.cause}"
        case ev.AttemptStarted():
            return f"{fact.role} begins ({fact.model})"
        case ev.AttemptEnded() if fact.outcome == "submitted":
            return f"submitted {many(len(fact.files), 'file')} ({duration(fact.seconds)})"
        case ev.AttemptEnded():
            return f"attempt {fact.outcome}" + (f": {fact.reason}" if fact.reason else "")
        case ev.CheckEnded():
            return _check(fact.evidence)
        case ev.PrecheckEnded():
            found = "; ".join(finding.text for finding in fact.findings)
            return f"precheck {'passed' if fact.passed else 'failed'}" + (f": {found}" if found else "")
        case ev.ReviewEnded():
            summary = f": {fact.review.summary}" if fact.review.summary else ""
            return f"{fact.evidence.name} says {fact.review.decision}{summary}"
        case ev.VerdictGiven():
            reasons = "; ".join(fact.verdict.reasons)
            return f"verdict: {fact.verdict.decision}" + (f": {reasons}" if reasons else "")
        case ev.LandingStarted():
            return f"landing {fact.commit[:12]} on {fact.tip[:12]}"
        case ev.LandingRefused():
            return f"landing refused ({fact.kind}): {fact.reason}"
        case ev.LandingLanded():
            return f"landed as {fact.landed.sha[:12]}" + (
                "" if fact.landed.rung == "clean" else f" ({fact.landed.rung})"
            )
        case _:
            return _call(fact)


def _check(evidence: Evidence) -> str:
    exit_code = "" if evidence.exit_code in (0, None) else f"exit {evidence.exit_code}, "
    outcome = evidence.outcome.replace("_", " ")
    return f"{evidence.kind} {evidence.name} {outcome} ({exit_code}{duration(evidence.seconds)})"


def _call(fact: ev.AnyFact) -> str:
    """Model calls, tools and money."""
    match fact:
        case ev.ModelAsked():
            return f"{fact.conversation} step {fact.step}: asks {fact.model}"
        case ev.ModelAnswered():
            tools = f", calls {', '.join(fact.tools)}" if fact.tools else ""
            tokens = fact.usage.input_tokens + fact.usage.output_tokens
            about = "about " if fact.usage.estimated else ""
            spent = f"{about}{tokens} tokens, {money(fact.usd)}, {duration(fact.seconds)}"
            return f"{fact.conversation} step {fact.step}: answered ({'cached' if fact.cached else spent}){tools}"
        case ev.ModelFailed():
            again = "will be tried again" if fact.retryable else "for good"
            return f"{fact.conversation} step {fact.step}: {fact.kind}, {again}: {one_line(fact.message)}"
        case ev.ModelFellBack():
            return f"{fact.conversation} step {fact.step}: goes on with {fact.to}, since {fact.source}: {fact.reason}"
        case ev.PromptGiven():
            return f"{fact.conversation} is told its task"
        case ev.AgentEquipped():
            without = f", without {', '.join(fact.withheld)}" if fact.withheld else ""
            return f"{fact.conversation} begins with {fact.model}, {many(len(fact.tools), 'tool')}{without}"
        case ev.McpNoted():
            return f"MCP server {fact.server} {fact.what.replace('_', ' ')}: {one_line(fact.text)}"
        case ev.ToolStarted():
            return f"{fact.tool} {fact.summary}".rstrip()
        case ev.ToolEnded():
            return f"{fact.tool} {fact.outcome}" + (f": {fact.reason}" if fact.reason else "")
        case ev.BudgetReserved():
            over = "".join(f", over {passed.cap}" for passed in fact.over)
            return f"{fact.conversation} step {fact.step}: {money(fact.usd)} reserved{over}"
        case ev.BudgetSettled():
            doubt = " (in doubt)" if fact.in_doubt else ""
            return f"{fact.conversation} step {fact.step}: {money(fact.usd)} settled{doubt}"
        case _:
            return _team(fact)


def waits(fact: ev.ModelWaiting) -> str:
    """What a model call waits for, and how long."""
    whats = {
        "limits": f"waits {duration(fact.seconds)} for the limits of {fact.provider}",
        "busy": f"has waited {duration(fact.seconds)} for other calls to {fact.provider}",
        "breaker": f"waits {duration(fact.seconds)} for {fact.provider}, which is down",
        "retry_after": f"waits {duration(fact.seconds)}, as {fact.provider} asks",
        "backoff": f"waits {duration(fact.seconds)} before it asks {fact.provider} again",
    }
    return whats[fact.why]


def _team(fact: ev.AnyFact) -> str:
    """What agents hand in, and what becomes of it."""
    match fact:
        case ev.InsightPosted():
            return f"insight: {one_line(fact.text)}"
        case ev.DecisionLogged():
            return f"design decision: {one_line(fact.title)}"
        case ev.EscalationRaised():
            return f"escalates {fact.kind}: {one_line(fact.text)}"
        case ev.SubtasksProposed():
            wait = " and waits for them" if fact.wait else ""
            return f"proposes {many(len(fact.items), 'item')}{wait}: {', '.join(item.id for item in fact.items)}"
        case ev.SubtasksJudged():
            done = "accepted" if fact.accepted else "refused"
            return f"{done}: {', '.join(fact.items)}" + (f": {'; '.join(fact.reasons)}" if fact.reasons else "")
        case _:
            return _way(fact)


def _way(fact: ev.AnyFact) -> str:
    """How a conversation with a model went."""
    match fact:
        case ev.ModelSaid():
            doing = {"text": "writes", "reasoning": "thinks", "tool": "prepares a call"}[fact.kind]
            return f"{fact.conversation} step {fact.step}: {doing}, about {many(fact.tokens, 'token')} so far"
        case ev.ModelWaiting():
            return f"{fact.conversation} step {fact.step}: {waits(fact)}"
        case ev.ModelRepaired():
            return f"{fact.conversation} step {fact.step}: mended {one_line('; '.join(fact.what))}"
        case ev.ConversationCompacted():
            why = "refused as too long" if fact.refused else "grown long"
            cut = f"{fact.before} tokens cut to {fact.after}, without {fact.left_out}"
            return f"{fact.conversation} step {fact.step}: {why}, {cut}"
        case ev.GuardianLooked():
            seen = f": {'; '.join(fact.signals)}" if fact.signals else ""
            told = f", told {'gently' if fact.tone == 'gentle' else f'in a {fact.tone} tone'}" if fact.tone else ""
            return f"{fact.conversation} step {fact.step}: guardian {fact.score} of 100{told}{seen}"
        case ev.LimitReached():
            return (
                f"{fact.conversation} step {fact.step}: out of {fact.limit.replace('_', ' ')}, asked for what there is"
            )
        case ev.LimitLifted():
            return f"{fact.conversation} step {fact.step}: no last turn for want of {fact.limit.replace('_', ' ')}"
        case ev.PartialHandedIn():
            return f"{fact.conversation} step {fact.step}: so far: {one_line(fact.told)}"
        case ev.ReplayDrifted():
            what = ", ".join(" ".join(filter(None, (one.kind, one.name, one.how))) for one in fact.differences)
            return f"{fact.conversation} step {fact.step}: not as recorded: {one_line(what)}"
        case _:
            return fact.type
