"""The loop: ask the model, make the calls it asks for, tell it what came of them, until it submits its result.

A conversation that was cut off is taken up by running the loop from its start: answered model calls and finished tool
calls come from the ledger, so everything here depends on messages and recorded numbers only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from aurea.agents.hands import Hands
from aurea.agents.limits import MAX_TOOL_CALLS, MAX_TURNS, Limits
from aurea.agents.loopguard import STALL_AT, LoopGuard, nudge
from aurea.agents.roles import RoleSpec, role_of
from aurea.agents.tools.toolbox import listed, tools_for
from aurea.agents.transcript import Transcript
from aurea.domain.errors import AureaError, Permanent, Transient
from aurea.domain.messages import (
    Address,
    ModelRef,
    ModelReply,
    ModelRequest,
    SystemMessage,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from aurea.ports import AgentOutcome, Assignment, Clock, CommandRunner, Ledger, ModelClient

PATIENCE = 3
CALL_TIMEOUT_S = 120.0


class LoopEngine:
    """The agent engine of one run.

    `model_for` names the model of a role, given the one that the assignment asks for or None; `folder` is the run
    folder, where conversations are written.
    """

    def __init__(
        self,
        *,
        run: str,
        ledger: Ledger,
        client: ModelClient,
        commands: CommandRunner,
        model_for: Callable[[str, str | None], ModelRef],
        clock: Clock,
        folder: Path,
        max_turns: int = MAX_TURNS,
        max_tool_calls: int = MAX_TOOL_CALLS,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._client = client
        self._commands = commands
        self._model_for = model_for
        self._clock = clock
        self._folder = folder
        self._max_turns = max_turns
        self._max_tool_calls = max_tool_calls

    async def run(self, assignment: Assignment) -> AgentOutcome:
        """Carry the conversation to its end, taking it up from the ledger where it was begun before.

        Errors of the model client and of the disk are the caller's: nothing that was recorded is lost by them.
        """
        role = role_of(assignment.role)
        limits = Limits(assignment.timeout_s, self._max_turns, self._max_tool_calls)
        tools = tools_for(role.name, assignment, self._commands, self._clock, limits.remaining)
        hands = Hands(self._run, self._ledger, self._clock, assignment, tools, role.result)
        with closing(Transcript(log_path(self._folder, assignment), self._clock.now)) as talk:
            talk.add(0, SystemMessage(text=assignment.system))
            talk.add(0, UserMessage(text=assignment.task))
            conversation = _Conversation(role, limits, hands, talk)
            while True:
                if (ended := conversation.prepare()) is not None:
                    return ended
                step = limits.turns
                reply = await self._ask(assignment, step, talk, (*listed(tools), role.result.spec), limits)
                if isinstance(reply, str):
                    return conversation.exhausted(reply)
                ended = await conversation.take(step, reply)
                if ended is not None:
                    return ended

    async def _ask(
        self, assignment: Assignment, step: int, talk: Transcript, tools: tuple[ToolSpec, ...], limits: Limits
    ) -> ModelReply | str:
        """One turn of the model, or the limit that left it without an answer."""
        at = Address(
            run=self._run,
            item=assignment.item,
            attempt=assignment.attempt,
            role=assignment.role,
            conversation=assignment.conversation,
            step=step,
        )
        allowed = min(CALL_TIMEOUT_S, limits.remaining())
        request = ModelRequest(
            address=at,
            model=self._model_for(assignment.role, assignment.model),
            messages=tuple(talk.messages),
            tools=tools,
            timeout_s=allowed,
        )
        began = self._clock.monotonic()
        try:
            reply = await self._client.complete(request)
        except (Transient, Permanent) as fault:
            limit = _limit_behind(fault, last=allowed < CALL_TIMEOUT_S)
            if limit is None:
                raise
            return limit
        taken = self._clock.monotonic() - began
        limits.spend(self._ledger.state(self._run).answer_seconds.get(at.key, taken))
        return reply


class _Conversation:
    """What happens between two model calls. Each method returns the outcome where the conversation ends."""

    def __init__(self, role: RoleSpec, limits: Limits, hands: Hands, talk: Transcript) -> None:
        self._role = role
        self._limits = limits
        self._hands = hands
        self._talk = talk
        self._guard = LoopGuard()
        self._silent = 0
        self._invalid = 0

    def prepare(self) -> AgentOutcome | None:
        """Begin a turn, unless a limit is reached; warn the model of one that is near."""
        limit = self._limits.reached()
        if limit is not None:
            return self.exhausted(limit)
        warning = self._limits.warning(self._role.result.name)
        if warning is not None:
            self._talk.add(self._limits.turns, UserMessage(text=warning))
        self._limits.turns += 1
        return None

    async def take(self, step: int, reply: ModelReply) -> AgentOutcome | None:
        """Act on a reply: its calls in order, the result tool last."""
        calls = _named(reply.calls, step)
        self._talk.add(step, reply.model_copy(update={"calls": calls}).message)
        truncated = reply.finish == "length"
        if not calls:
            return self._correct(step, truncated=truncated)
        self._silent = 0
        result = self._role.result.name
        nudges: list[str] = []
        ended = await self._work(step, [call for call in calls if call.name != result], nudges, truncated=truncated)
        if ended is None:
            ended = await self._submit(step, [call for call in calls if call.name == result], truncated=truncated)
        for said in nudges:  # behind all answers: vendors want a call and its answer side by side
            self._talk.add(step, UserMessage(text=said))
        return ended

    def exhausted(self, limit: str) -> AgentOutcome:
        """The outcome where `limit` ran out."""
        return AgentOutcome(
            ended="exhausted",
            limit=limit,
            reason=self._limits.explain(limit),
            turns=self._limits.turns,
            tool_calls=self._limits.tool_calls,
        )

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
                used = self._limits
                return AgentOutcome(ended=answer.ends, turns=used.turns, tool_calls=used.tool_calls)
            count = self._guard.count(call.name, call.arguments, answer.text, changed=answer.changed)
            if count >= STALL_AT:
                return self._stalled(f"it called {call.name} {count} times with the same arguments and result")
            if said := nudge(call.name, count):
                nudges.append(said)
        return None

    async def _submit(self, step: int, calls: list[ToolCall], *, truncated: bool) -> AgentOutcome | None:
        for call in calls:
            answer, result = await self._hands.judge(step, call, truncated=truncated)
            self._talk.add(step, ToolMessage(call=call.id, name=call.name, text=answer.text))
            if result is not None:
                used = self._limits
                return AgentOutcome(ended="result", result=result, turns=used.turns, tool_calls=used.tool_calls)
            self._invalid += 1
            if self._invalid > PATIENCE:
                return self._stalled(f"its {call.name} was not valid {self._invalid} times; at last: {answer.reason}")
        return None

    def _correct(self, step: int, *, truncated: bool) -> AgentOutcome | None:
        self._silent += 1
        if self._silent > PATIENCE:
            return self._stalled(f"it answered {self._silent} times in a row without calling a tool")
        said = "Your reply was cut off. " if truncated else "Your reply called no tool, so nothing happened. "
        end = f"Go on by calling a tool; when you are done, end with {self._role.result.name}."
        self._talk.add(step, UserMessage(text=said + end))
        return None

    def _stalled(self, reason: str) -> AgentOutcome:
        used = self._limits
        return AgentOutcome(ended="stalled", reason=reason, turns=used.turns, tool_calls=used.tool_calls)


def log_path(folder: Path, assignment: Assignment) -> Path:
    """Where in the run folder a conversation is written."""
    name = assignment.conversation if assignment.role == "reviewer" else "conversation"
    if assignment.role == "planner" and assignment.conversation != "planner-1":
        name = assignment.conversation
    return folder / "logs" / (assignment.item or "_plan") / str(assignment.attempt) / f"{name}.jsonl"


def _limit_behind(fault: AureaError, *, last: bool) -> str | None:
    """The limit that a model call ran into; None where something else is at fault. `last`: it had all the time left."""
    kind = getattr(fault, "kind", None)  # model clients say so of their own faults
    if getattr(fault, "out_of_time", False) or (kind == "timeout" and last):
        return "time"
    return "context" if kind == "context_too_long" else None


def _named(calls: tuple[ToolCall, ...], step: int) -> tuple[ToolCall, ...]:
    """The calls with ids that are unique within the reply, which not every server gives."""
    seen: set[str] = set()
    named = []
    for number, call in enumerate(calls, start=1):
        unique = call.id if call.id and call.id not in seen else f"call-{step}-{number}"
        seen.add(unique)
        named.append(call.model_copy(update={"id": unique}))
    return tuple(named)
