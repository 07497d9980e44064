"""Tool calls with their record: intent before, outcome after, and nothing done twice that was done before a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aurea.agents.arguments import as_object
from aurea.agents.results import ResultTool
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.text import storable
from aurea.agents.tools.toolbox import Kit
from aurea.domain.errors import ToolFailed, ToolRefused
from aurea.domain.events import AnyFact, Draft, ToolEnded, ToolStarted
from aurea.domain.lifecycle import Actor
from aurea.domain.messages import ToolCall
from aurea.domain.state import ToolRecord
from aurea.ledger.chain import digest
from aurea.ports import Assignment, Clock, Ending, Ledger

Outcome = Literal["ok", "error", "refused", "interrupted"]

INTERRUPTED = (
    "Interrupted: this was under way when the process that ran it was stopped; its effects are unknown. "
    "Look at the state of the files before you run it again."
)
DONE_BEFORE = "done before an interruption; the file has its new content"


@dataclass(frozen=True)
class Answer:
    """What the model is told of a call, how it ended, and its seconds.

    `changed`: a file is different now; `ends`: the conversation is over with it, and how.
    """

    text: str
    outcome: Outcome
    seconds: float = 0.0
    reason: str = ""
    changed: bool = False
    ends: Ending | None = None


class Hands:
    """Makes the tool calls of one conversation. `result` is the tool that ends it, recorded but never acted on here."""

    def __init__(
        self,
        run: str,
        ledger: Ledger,
        clock: Clock,
        assignment: Assignment,
        kit: Kit,
        result: ResultTool,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._clock = clock
        self._assignment = assignment
        self._tools = kit.tools
        self._gate = kit.gate
        self._result = result

    async def do(self, step: int, call: ToolCall, *, no: str = "", truncated: bool = False) -> Answer:
        """Make a call, or answer it from the record.

        `no` is a reason to refuse it whatever it asks; `truncated`: the reply that holds it was cut off. What a tool
        refuses or fails at becomes an answer; other errors are the caller's.
        """
        record = self._record(step, call)
        if record is not None and record.ended is not None:
            return self._replayed(call, record.started, record.ended)
        try:
            if no := no or self._gate.refusal(call.name, (self._result.name,)):
                raise ToolRefused(no)
            tool = self._tools[call.name]
            if truncated and tool.writes:
                raise ToolRefused(
                    "your reply was cut off, so this may not be whole; make the call again, in smaller pieces"
                )
            arguments = as_object(call.arguments)
        except ToolRefused as refused:
            return await self._end(step, call, _refused(refused), started=record is None)
        if record is None:
            began = self._started(step, call, tool.summary(arguments), tool.before(arguments))
            await self._write([began], {began.arguments: _text(call.arguments)})
        elif not tool.repeatable:
            return await self._end(step, call, Answer(INTERRUPTED, "interrupted", reason="effects unknown"))
        elif record.started.before and record.started.before != tool.before(arguments):
            tool.remember(arguments)
            return await self._end(step, call, Answer(f"{call.name}: {DONE_BEFORE}", "ok", changed=True))
        return await self._end(step, call, await self._act(tool, arguments))

    async def judge(
        self, step: int, call: ToolCall, *, truncated: bool = False
    ) -> tuple[Answer, dict[str, Any] | None]:
        """A call of the result tool: its answer to the model, and the result where it is valid."""
        result: dict[str, Any] | None = None
        try:
            if truncated:
                raise ToolRefused("your reply was cut off, so this may not be whole; make the call again, shorter")
            result = self._result.result(as_object(call.arguments))
            answer = Answer("accepted", "ok")
        except ToolRefused as refused:
            answer = _refused(refused)
        record = self._record(step, call)
        if record is None or record.ended is None:
            await self._end(step, call, answer, started=record is None)
        return answer, result

    async def _act(self, tool: AgentTool[Any], arguments: dict[str, Any]) -> Answer:
        began, waited = self._clock.monotonic(), tool.waited
        try:
            text, outcome, reason = await tool(arguments), "ok", ""
            tool.remember(arguments)
        except ToolRefused as refused:
            return _refused(refused)
        except ToolFailed as failed:
            text, outcome, reason = f"Failed: {failed}", "error", failed.message
        seconds = round(self._clock.monotonic() - began - (tool.waited - waited), 6)
        if outcome == "error":
            return Answer(storable(text), "error", seconds, storable(reason))
        changed = tool.writes and tool.repeatable
        return Answer(storable(text), "ok", seconds, changed=changed, ends=tool.ends(arguments))

    def _replayed(self, call: ToolCall, started: ToolStarted, ended: ToolEnded) -> Answer:
        """The recorded answer; the tool takes note of it, as it did when it was given."""
        tool = self._tools.get(started.tool)
        changed, ends = False, None
        if tool is not None and ended.outcome == "ok":
            arguments = as_object(call.arguments)
            tool.remember(arguments)
            changed, ends = tool.writes and tool.repeatable, tool.ends(arguments)
        return Answer(self._ledger.body(ended.body), ended.outcome, ended.seconds, ended.reason, changed, ends)

    def _record(self, step: int, call: ToolCall) -> ToolRecord | None:
        at = self._assignment
        return self._ledger.state(self._run).tools.get((at.item, at.attempt, at.conversation, step, call.id))

    def _started(self, step: int, call: ToolCall, summary: str = "", before: str = "") -> ToolStarted:
        return ToolStarted(
            conversation=self._assignment.conversation,
            step=step,
            call=call.id,
            tool=call.name,
            arguments=digest(_text(call.arguments)),
            summary=storable(summary),
            before=before,
        )

    async def _end(self, step: int, call: ToolCall, answer: Answer, *, started: bool = False) -> Answer:
        """Record the outcome; with `started` the intent too, of a call that was settled without acting."""
        ended = ToolEnded(
            conversation=self._assignment.conversation,
            step=step,
            call=call.id,
            tool=call.name,
            outcome=answer.outcome,
            reason=answer.reason[:500],
            body=digest(answer.text),
            seconds=answer.seconds,
        )
        if started:
            began = self._started(step, call)
            await self._write([began, ended], {began.arguments: _text(call.arguments), ended.body: answer.text})
        else:
            await self._write([ended], {ended.body: answer.text})
        return answer

    async def _write(self, facts: list[AnyFact], bodies: Mapping[str, str]) -> None:
        at = self._assignment
        drafts = [Draft(fact=fact, actor=Actor.AGENT, item=at.item, attempt=at.attempt) for fact in facts]
        await self._ledger.record(self._run, drafts, bodies)


def _refused(refused: ToolRefused) -> Answer:
    return Answer(storable(f"Refused: {refused}"), "refused", reason=storable(refused.message))


def _text(arguments: dict[str, Any] | str) -> str:
    """Arguments as the body that keeps them: one spelling, plain ASCII where they are an object."""
    return storable(arguments) if isinstance(arguments, str) else json.dumps(arguments, sort_keys=True)
