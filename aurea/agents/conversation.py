"""What happens between two model calls: calls are made, the model is told what came of them, and nudged, until it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aurea.agents.guardian import Guardian, Look, nudge, waited
from aurea.agents.hands import Hands
from aurea.agents.limits import Limits
from aurea.agents.loopguard import STALL_AT, LoopGuard
from aurea.agents.loopguard import nudge as loop_nudge
from aurea.agents.marks import Marks
from aurea.agents.repair import known_tools, repaired
from aurea.agents.results import REPORT, report_of
from aurea.agents.roles import RoleSpec
from aurea.agents.spoken import was_tried
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.text import cut, storable
from aurea.agents.transcript import Transcript
from aurea.domain.agent_facts import GuardianLooked, LimitLifted, LimitReached, ModelRepaired, PartialHandedIn
from aurea.domain.messages import ModelReply, ToolCall, ToolMessage, UserMessage
from aurea.ports import AgentOutcome

PATIENCE = 3
LAST_WORDS = 600
PARTIAL = 2_000
WRITTEN = 4_000

Judge = Callable[[int, Look], Awaitable[tuple[int, str, str] | None]]


class Conversation:
    """One conversation with a model. Each method returns the outcome where it ends there.

    `judge` asks the guardian's model about the conversation, given how often it was looked at; None: there is no such.
    """

    def __init__(
        self,
        role: RoleSpec,
        limits: Limits,
        hands: Hands,
        tools: Mapping[str, AgentTool[Any]],
        talk: Transcript,
        marks: Marks,
        judge: Judge | None,
    ) -> None:
        self._role = role
        self._limits = limits
        self._hands = hands
        self._talk = talk
        self._marks = marks
        self._judge = judge
        self._known = known_tools(tools, role.result)
        self._loops = LoopGuard()
        self._guardian = Guardian(writing="write_file" in tools)
        self._looks = 0
        self._silent = 0
        self._invalid = 0
        self._said = ""
        self._went_on = 0

    async def prepare(self) -> AgentOutcome | None:
        """Begin a turn. At a limit there is one more, to hand in what there is, and then the conversation ends."""
        limits, result = self._limits, self._role.result.name
        if limits.last is not None:
            return self.exhausted(limits.last)
        step = limits.turns + 1
        near = limits.near()
        if near is None and (warning := limits.warning(result)):
            self._talk.add(limits.turns, UserMessage(text=warning))
        mark = self._marks.find(step, LimitReached)  # also of a limit that was reached when the warning had been told
        if (limit := near if mark is None else mark.limit) is not None:
            await self.begin_last(step, limit)
        limits.turns = step
        return None

    async def begin_last(self, step: int, limit: str) -> None:
        """From here on the model can only hand in what there is."""
        self._limits.last = limit
        await self._marks.once(LimitReached(conversation=self._marks.conversation, step=step, limit=limit))
        self._talk.add(step - 1, UserMessage(text=self._limits.last_word(self._role.result.name)))

    def may_hand_in(self, step: int) -> bool:
        """Whether there is a last turn at the end of the money: for work that was begun, once until it goes on."""
        return self._limits.last is None and self._role.result is REPORT and step > max(1, self._went_on)

    async def not_given(self, step: int) -> None:
        """There was not even the money for a last turn, so that the step is to be asked again as if it had no end."""
        if self._limits.last == "budget":
            await self._marks.put(LimitLifted(conversation=self._marks.conversation, step=step, limit="budget"))
        elif step == self._went_on:
            self._talk.note(step, "There is no money yet, so the model has not been told that there is.")

    async def go_on(self, step: int, ended: AgentOutcome | None) -> None:
        """Keep what was handed in for want of money, and let the model go on with its tools once there is some again."""
        said = self._said
        unfinished: list[str] = []
        if ended is not None and ended.result is not None:
            report = report_of(ended.result)
            said, unfinished = report.summary, [cut(text, LAST_WORDS) for text in report.unfinished]
        partial = PartialHandedIn(
            conversation=self._marks.conversation,
            step=step,
            limit="budget",
            summary=storable(cut(said, PARTIAL)),
            unfinished=tuple(storable(text) for text in unfinished),
        )
        if said:
            await self._marks.once(partial)
        self._went_on = step + 1
        self._talk.add(step, UserMessage(text=self._limits.go_on(self._role.result.name)))

    async def take(self, step: int, reply: ModelReply) -> AgentOutcome | None:
        """Act on a reply: its calls in order, the result tool last."""
        self._limits.use(reply.usage)
        self._guardian.wrote(reply.usage.output_tokens)
        mended, what = repaired(reply, self._known)
        calls = _named(mended.calls, step)
        self._talk.add(step, mended.model_copy(update={"calls": calls}).message)
        if what:
            self._talk.note(step, f"mended: {'; '.join(what)}. The model had written: {_written(reply)}")
            await self._marks.once(ModelRepaired(conversation=self._marks.conversation, step=step, what=what))
        truncated = reply.finish == "length"
        self._said = mended.text.strip()
        if not calls:
            return self._correct(step, truncated=truncated)
        self._silent = 0
        result = self._role.result.name
        nudges: list[str] = []
        ended = await self._work(step, [call for call in calls if call.name != result], nudges, truncated=truncated)
        if ended is None:
            ended = await self._submit(step, [call for call in calls if call.name == result], truncated=truncated)
        if ended is None:
            ended = await self._watch(step, nudges)
        for said in nudges:  # behind all answers: vendors want a call and its answer side by side
            self._talk.add(step, UserMessage(text=said))
        return ended

    def exhausted(self, limit: str) -> AgentOutcome:
        """The outcome where `limit` ran out and no result was handed in."""
        said = f"; at last it said: {cut(self._said, LAST_WORDS)}" if self._limits.last and self._said else ""
        return self._outcome("exhausted", limit=limit, reason=self._limits.explain(limit) + said)

    async def _work(
        self, step: int, calls: list[ToolCall], nudges: list[str], *, truncated: bool
    ) -> AgentOutcome | None:
        for call in calls:
            no = f"no tool calls are left; call {self._role.result.name}" if self._limits.out_of_calls else ""
            self._limits.tool_calls += not no
            answer = await self._hands.do(step, call, no=no, truncated=truncated)
            self._limits.spend(answer.seconds)
            self._talk.add(step, ToolMessage(call=call.id, name=call.name, text=answer.text))
            if answer.ends is not None:
                return self._outcome(answer.ends)
            self._guardian.saw(call.name, call.arguments, answer)
            count = self._loops.count(
                call.name, call.arguments, answer.text, changed=answer.changed, waited=waited(answer)
            )
            if count >= STALL_AT:
                return self._stalled(f"it called {call.name} {count} times with the same arguments and result")
            if said := loop_nudge(call.name, count):
                nudges.append(said)
        return None

    async def _submit(self, step: int, calls: list[ToolCall], *, truncated: bool) -> AgentOutcome | None:
        for call in calls:
            answer, result = await self._hands.judge(step, call, truncated=truncated)
            self._talk.add(step, ToolMessage(call=call.id, name=call.name, text=answer.text))
            if result is not None:
                return self._outcome("result", result=result, limit=self._limits.last)
            self._invalid += 1
            if self._invalid > PATIENCE:
                return self._stalled(f"its {call.name} was not valid {self._invalid} times; at last: {answer.reason}")
        return None

    async def _watch(self, step: int, nudges: list[str]) -> AgentOutcome | None:
        """Let the guardian look where it is time to."""
        seconds = self._limits.seconds
        if self._limits.out_of_calls or not self._guardian.due(seconds):
            return None
        look = self._guardian.look(seconds)
        self._looks += 1
        alignment, trajectory, advice = await self._judged(step, look)
        score = look.score if alignment is None else min(look.score, alignment)
        tone, ignored = self._guardian.heed(look, score)
        if tone or alignment is not None or self._judge is not None:
            seen = GuardianLooked(
                conversation=self._marks.conversation,
                step=step,
                score=score,
                tone=tone,
                signals=look.signals,
                alignment=alignment,
                trajectory=trajectory,
                advice=advice,
            )
            await self._marks.once(seen)
        if ignored:
            return self._stalled(f"it ignored the guardian's nudges ({score} of 100): {'; '.join(look.signals)}")
        if tone:
            nudges.append(nudge(tone, score, look.signals, self._role.result.name, advice))
        return None

    async def _judged(self, step: int, look: Look) -> tuple[int | None, str, str]:
        """What the guardian's model says, or said before this conversation was taken up again."""
        if (before := self._marks.find(step, GuardianLooked)) is not None:
            return before.alignment, before.trajectory, before.advice
        said = await self._judge(self._looks, look) if self._judge is not None else None
        return said or (None, "", "")

    def _correct(self, step: int, *, truncated: bool) -> AgentOutcome | None:
        self._silent += 1
        if self._silent > PATIENCE:
            return self._stalled(f"it answered {self._silent} times in a row without calling a tool")
        said = "Your reply called no tool, so nothing happened. "
        if truncated:
            said = "Your reply was cut off. "
        elif was_tried(self._said):
            said = (
                "Your reply held a tool call as text that cannot be made: no such tool, or arguments it does not take. "
            )
        end = f"Go on by calling a tool; when you are done, end with {self._role.result.name}."
        self._talk.add(step, UserMessage(text=said + end))
        return None

    def _stalled(self, reason: str) -> AgentOutcome:
        return self._outcome("stalled", reason=reason)

    def _outcome(self, ended: Any, **more: Any) -> AgentOutcome:
        used = self._limits
        return AgentOutcome(ended=ended, turns=used.turns, tool_calls=used.tool_calls, **more)


def _named(calls: tuple[ToolCall, ...], step: int) -> tuple[ToolCall, ...]:
    """The calls with ids that are unique within the reply, which not every server gives."""
    seen: set[str] = set()
    named = []
    for number, call in enumerate(calls, start=1):
        unique = call.id if call.id and call.id not in seen else f"call-{step}-{number}"
        seen.add(unique)
        named.append(call.model_copy(update={"id": unique}))
    return tuple(named)


def _written(reply: ModelReply) -> str:
    calls = [f"{call.name} {call.arguments}" for call in reply.calls]
    return cut("\n".join([*([reply.text] if reply.text else []), *calls]), WRITTEN)
