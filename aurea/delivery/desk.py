"""The manager's desk: what agents hand in is recorded, what they propose is judged by the rules of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from aurea.delivery.context import Run
from aurea.delivery.research import CHARGED_S, ROLE, may_read, may_tell_all, research
from aurea.domain.errors import ToolRefused
from aurea.domain.events import (
    AnyFact,
    DecisionLogged,
    Draft,
    EscalationRaised,
    InsightPosted,
    PlanChanged,
    SubtasksJudged,
    SubtasksProposed,
)
from aurea.domain.lifecycle import UNFINISHED, Actor, ItemState
from aurea.domain.plan import find_cycle, problems
from aurea.domain.spec import ItemSpec
from aurea.domain.state import RunState
from aurea.domain.team_facts import EscalationKind
from aurea.ports import Workspace

MOST_NOTES = 20  # insights, and as many decisions, of one attempt
MOST_SUBTASKS = 5  # of one item, by all its attempts
MOST_DEPTH = 2  # an item that a proposed item proposed proposes nothing

WITHOUT = (
    "read the repository (its code, tests, "
    "documentation and the packages installed for it) and run small experiments, then go on with what you found. If the "
    "item cannot be done without what is missing, escalate again as needs_clarification (a person can tell you) or "
    "blocked_external (something outside is missing)."
)
NO_RESEARCH = f"Recorded. This run has no web search and nobody else looks things up for you: {WITHOUT}"
SECRETS = (
    "Recorded. You have secrets, and tools that could send them away, so nothing that strangers wrote in the web is read to "
    f"you: {WITHOUT}"
)
YOURSELF = (
    "Recorded. Nobody else looks things up: you are the one who does. Search yourself, and say what cannot be found."
)


@dataclass
class AgentDesk:
    """Implements `ports.Desk` for one conversation. What was handed in before a crash is found again by what it says.

    `workspace` is where its agent works, in which one who looks something up for it may read.
    """

    run: Run
    item: str
    attempt: int
    conversation: str
    workspace: Workspace | None = None
    waited: float = 0.0

    async def insight(self, text: str) -> str:
        """Record it, unless somebody in this run has said the same. What comes from the web is told where all may read it."""
        if self.conversation.startswith(ROLE) and self.run.spec.web_search and not may_tell_all(self.run.spec):
            raise ToolRefused(
                "agents after this one have secrets, and tools that could send them away: say it in your report"
            )
        for note in self.run.state.insights:
            if isinstance(note.fact, InsightPosted) and plain(note.fact.text) == plain(text):
                return f"known already: {note.author} has posted it"
        self._room("insights", [note for note in self.run.state.insights if self._ours(note.item, note.attempt)])
        await self._record(InsightPosted(conversation=self.conversation, text=text))
        return "posted: agents that begin after this are shown it"

    async def decision(self, title: str, text: str) -> str:
        """Record it; what was decided before stays on record."""
        made = [note.fact for note in self.run.state.decisions if self._ours(note.item, note.attempt)]
        decision = DecisionLogged(conversation=self.conversation, title=title, text=text)
        if decision in made:
            return "logged already"
        self._room("decisions", made)
        await self._record(decision)
        return "logged: agents that begin after this are told to keep to it"

    async def escalate(self, kind: str, text: str) -> str:
        """Record it and say what follows; a person is asked when the agent's part has ended."""
        raised = EscalationRaised.model_validate({"conversation": self.conversation, "kind": kind, "text": text})
        before = [note.fact for note in self.run.state.notes if self._ours(note.item, note.attempt)]
        if raised not in before:
            await self._record(raised)
        if raised.kind == "needs_research":
            return await self._look_up(raised)
        return "A person is asked. Your work on this item stops here and is kept; the answer goes to the next attempt."

    async def _look_up(self, raised: EscalationRaised) -> str:
        """The answer to a question that needs research, and to the same question again the same answer."""
        if not self.run.spec.web_search:
            return NO_RESEARCH
        if self.conversation == ROLE:
            return YOURSELF
        if not may_read(self.run.spec, self.conversation):
            return SECRETS
        notes = [note.fact for note in self.run.state.notes if self._ours(note.item, note.attempt)]
        asked = [fact for fact in notes if isinstance(fact, EscalationRaised) and fact.kind == "needs_research"]
        number = asked.index(raised) + 1
        found = await research(self.run, self.item, self.attempt, number, raised.text, self.workspace)
        self.waited += max(0.0, found.seconds - CHARGED_S)
        if found.insight:
            with suppress(ToolRefused):  # no room for it: the one who asked knows it all the same
                await replace(self, conversation=f"{ROLE}-{number}").insight(found.insight)
        return found.told

    async def subtasks(self, items: Sequence[ItemSpec], *, wait: bool) -> str:
        """Take them into the plan, all or none; `ToolRefused` says what speaks against them."""
        async with self.run.lock("plan"):
            return await self._judged(items, wait=wait)

    async def _judged(self, items: Sequence[ItemSpec], *, wait: bool) -> str:
        names = tuple(item.id for item in items)
        waits = f"; {self.item} goes on when they have landed" if wait else ""
        if names and all(self.run.state.parents.get(name) == self.item for name in names):
            if wait:  # else whoever asks for the same again and again would never come to an end
                if not any(self.run.state.item(name).state in UNFINISHED for name in names):
                    raise ToolRefused(f"{', '.join(names)}: nothing to wait for any more; go on with your item")
                await self._wait_for(names)
            return f"in the plan already: {', '.join(names)}{waits}"
        proposed = SubtasksProposed(conversation=self.conversation, items=tuple(items), wait=wait)
        ours = self.run.state.item(self.item).spec
        tidy = tuple(item.model_copy(update={"priority": min(item.priority, ours.priority)}) for item in items)
        reasons = tuple(against(self.run, self.item, tidy, wait=wait))
        judged = SubtasksJudged(accepted=not reasons, items=names, reasons=reasons)
        if reasons:
            await self._record(proposed, judged)
            raise ToolRefused("the manager refuses these items: " + "; ".join(reasons))
        changed = PlanChanged(items=(*tidy, _waiting(ours, names)) if wait else tidy)
        await self._record(proposed, judged, changed)
        return f"accepted: {', '.join(names)}{waits}"

    async def _wait_for(self, names: tuple[str, ...]) -> None:
        ours = self.run.state.item(self.item).spec
        waiting = _waiting(ours, names)
        if cycle := find_cycle({**self.run.state.edges, self.item: waiting.depends_on}):
            raise ToolRefused("the dependencies would form a cycle: " + " -> ".join(cycle))
        if waiting != ours:
            await self._record(PlanChanged(items=(waiting,)))

    async def _record(self, *facts: AnyFact) -> None:
        """All or none, what the agent says in its name and what follows from it in the manager's."""
        drafts = []
        for fact in facts:
            own = not isinstance(fact, SubtasksJudged | PlanChanged)
            by = Actor.AGENT if own else Actor.MANAGER
            drafts.append(Draft(fact=fact, actor=by, item=self.item, attempt=self.attempt))
        await self.run.ledger.record(self.run.id, drafts)

    def _ours(self, item: str | None, attempt: int) -> bool:
        return (item, attempt) == (self.item, self.attempt)

    def _room(self, what: str, before: Sequence[object]) -> None:
        if len(before) >= MOST_NOTES:
            raise ToolRefused(f"this attempt has handed in {MOST_NOTES} {what}; say the rest in your report")


def against(run: Run, parent: str, items: Sequence[ItemSpec], *, wait: bool) -> list[str]:
    """What speaks against taking `items`, which an agent at work on `parent` proposes, into the plan; often nothing."""
    state = run.state
    if "plan" in run.spec.approvals:
        return ["a person approves the plan of this run; raise_escalation with needs_replanning asks for more items"]
    if depth(state, parent) >= MOST_DEPTH:
        return [f"{parent} was itself proposed by an item that was proposed; raise_escalation with scope_too_large"]
    before = sum(1 for other in state.parents.values() if other == parent)
    if before + len(items) > MOST_SUBTASKS:
        return [f"an item may propose {MOST_SUBTASKS} items; {parent} has proposed {before} and asks for {len(items)}"]
    specs = {name: item.spec for name, item in state.items.items()}
    known = {**specs, parent: _waiting(specs[parent], [item.id for item in items])} if wait else specs
    found = problems(items, checks=[check.name for check in run.spec.checks or ()], known=known)
    for item in items:
        given_up = [n for n in item.depends_on if n in specs and state.items[n].state is ItemState.ABANDONED]
        found += [f"item {item.id!r} depends on {name!r}, which was given up" for name in given_up]
    return found


def depth(state: RunState, item: str) -> int:
    """How many proposals lie between the plan and `item`."""
    above = 0
    while item in state.parents:
        item, above = state.parents[item], above + 1
    return above


def question(raised: EscalationRaised, name: str) -> str:
    """The title of the question that an escalation asks a person; `name` is the work item's."""
    words: dict[EscalationKind, str] = {
        "needs_replanning": "the agent says that the plan does not fit",
        "needs_clarification": "the agent needs to know what is meant",
        "blocked_external": "the agent misses something from outside",
        "spec_mismatch": "the agent finds a contradiction",
        "scope_too_large": "the agent finds it too large for one change",
    }
    return f"{name}: {words.get(raised.kind, 'the agent asks')} ({raised.kind})"


def plain(text: str) -> str:
    """A text without what does not make it another one."""
    return " ".join(text.lower().split()).rstrip(".!")


def _waiting(spec: ItemSpec, names: Sequence[str]) -> ItemSpec:
    more = [name for name in names if name not in spec.depends_on]
    return spec.model_copy(update={"depends_on": (*spec.depends_on, *more)})
