"""The loop: ask the model, make the calls it asks for, tell it what came of them, until it submits its result.

A conversation that was cut off is taken up by running the loop from its start: answered model calls and finished tool
calls come from the ledger, so everything here depends on messages and recorded numbers only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from aurea.agents.compact import CONTEXT_TOKENS, Cut, Window, unpaired
from aurea.agents.conversation import Conversation, Judge
from aurea.agents.equipment import NO_EXTRAS, Extras, Outfitter
from aurea.agents.guardian import Look
from aurea.agents.hands import Hands
from aurea.agents.judgement import judge
from aurea.agents.limits import LAST_TOKENS, MAX_TOKENS, MAX_TOOL_CALLS, MAX_TURNS, Allowance, Limits
from aurea.agents.marks import Marks
from aurea.agents.roles import RoleSpec, role_of
from aurea.agents.tools.base import AgentTool
from aurea.agents.tools.toolbox import listed, own_tools
from aurea.agents.tools.web import Web
from aurea.agents.transcript import Looks, Transcript
from aurea.domain.agent_facts import ConversationCompacted
from aurea.domain.errors import AureaError, BudgetReached, Permanent, Transient
from aurea.domain.messages import Address, ModelRef, ModelReply, ModelRequest, SystemMessage, ToolSpec, UserMessage
from aurea.domain.spec import RoleChoice
from aurea.ports import AgentOutcome, Assignment, Clock, CommandRunner, Ledger, ModelClient

CALL_TIMEOUT_S = 120.0
LOCAL_CONTEXT_TOKENS = 32_768  # where a server makes room as it is asked to, on a machine of its user's

_USUAL = RoleChoice()


class LoopEngine:
    """The agent engine of one run.

    `model_for` names the model of a role, given the one that the assignment asks for or None; `choice_for` is what the
    spec says of a role, None where it says nothing; `folder` is the run folder, where conversations are written; `web` is
    the way to the web, None where the spec allows none; `extras` are the tools beside Aurea's own.
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
        choice_for: Callable[[str], RoleChoice | None] = lambda role: None,
        extras: Extras = NO_EXTRAS,
        max_turns: int = MAX_TURNS,
        max_tool_calls: int = MAX_TOOL_CALLS,
        web: Web | None = None,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._client = client
        self._commands = commands
        self._model_for = model_for
        self._choice_for = choice_for
        self._clock = clock
        self._folder = folder
        self._outfitter = Outfitter(run, ledger, commands.name, extras)
        self._max_turns = max_turns
        self._max_tool_calls = max_tool_calls
        self._web = web

    async def run(self, assignment: Assignment) -> AgentOutcome:
        """Carry the conversation to its end, taking it up from the ledger where it was begun before.

        Errors of the model client and of the disk are the caller's: nothing that was recorded is lost by them.
        """
        role = role_of(assignment.role)
        choice = self._choice_for(role.name) or _USUAL
        tokens = choice.attempt_tokens or MAX_TOKENS
        turns = min(self._max_turns, assignment.turns or self._max_turns)
        allowed = Allowance(assignment.timeout_s, turns, self._max_tool_calls, tokens)
        limits = Limits(allowed)
        kit = await self._outfitter.equip(
            role,
            assignment,
            own_tools(assignment, self._commands, self._clock, limits.remaining, self._web),
            choice=choice,
            model=self._model(assignment),
            allowance=allowed,
            remaining=limits.remaining,
        )
        tools = kit.tools
        hands = Hands(self._run, self._ledger, self._clock, assignment, kit, role.result)
        marks = Marks(self._run, self._ledger, assignment)
        with closing(Transcript(log_path(self._folder, assignment), self._clock.now)) as talk:
            talk.add(0, SystemMessage(text=assignment.system))
            talk.add(0, UserMessage(text=assignment.task))
            window = Window(_context(choice, self._model(assignment)))
            guard = self._judge(role, assignment, talk)
            conversation = Conversation(role, limits, hands, tools, talk, marks, guard)
            asking = partial(self._ask, assignment, talk=talk, limits=limits, window=window, marks=marks)
            while True:
                if (ended := await conversation.prepare()) is not None:
                    return ended
                reply = await _turn(conversation, limits, lambda: asking(limits.turns, _listed(role, tools, limits)))
                if isinstance(reply, str):
                    return conversation.exhausted(reply)
                ended = await conversation.take(limits.turns, reply)
                if limits.last == "budget":
                    await conversation.go_on(limits.turns, ended)
                    continue
                if ended is not None:
                    return ended

    async def _ask(
        self,
        assignment: Assignment,
        step: int,
        tools: tuple[ToolSpec, ...],
        *,
        talk: Transcript,
        limits: Limits,
        window: Window,
        marks: Marks,
    ) -> ModelReply | str:
        """One turn of the model, or the limit that left it without an answer."""
        await _compact(step, window.fit(talk.messages, tools), talk, marks)
        if _was_refused(step, marks):
            await _compact(step, window.refused(talk.messages, tools), talk, marks, refused=True)
        at = self._address(assignment, step)
        while True:
            messages = window.shown(talk.messages)
            if (fault := unpaired(messages)) is not None:
                raise Permanent(f"the conversation {assignment.conversation!r} cannot be sent: {fault}")
            left = limits.call_time()
            allowed = min(CALL_TIMEOUT_S, left)
            request = ModelRequest(
                address=at,
                model=self._model(assignment),
                messages=messages,
                tools=tools,
                timeout_s=allowed,
                remaining_s=left,
            )
            if limits.last == "budget":
                request = request.model_copy(update={"max_output_tokens": LAST_TOKENS, "last": True})
            began = self._clock.monotonic()
            try:
                reply = await self._client.complete(request)
            except (Transient, Permanent) as error:
                limit = _limit_behind(error, last=allowed < CALL_TIMEOUT_S)
                if limit is None:
                    raise
                again = limit == "context" and not _was_refused(step, marks)
                cut = window.refused(talk.messages, tools) if again else None
                if cut is None:
                    return limit
                await _compact(step, cut, talk, marks, refused=True)
                continue
            taken = self._clock.monotonic() - began
            limits.spend(self._ledger.state(self._run).answer_seconds.get(at.key, taken))
            return reply

    def _judge(self, role: RoleSpec, assignment: Assignment, talk: Transcript) -> Judge | None:
        """How the guardian's model is asked about a conversation: one of a role that changes files, where one is named."""
        choice = self._choice_for("guardian")
        beside = assignment.conversation != assignment.role  # its looks would stand under the names of the agent's own
        if choice is None or choice.model is None or "write_file" not in role.tools or beside:
            return None

        log = Looks(log_path(self._folder, assignment).with_name("guardian.jsonl"), self._clock.now)

        async def ask(number: int, look: Look) -> tuple[int, str, str] | None:
            at = self._address(assignment, 1).model_copy(
                update={"role": "guardian", "conversation": f"guardian-{number}"}
            )
            model = self._model_for("guardian", None)
            return await judge(self._client, model, at, assignment.task, talk.messages, look, number, log)

        return ask

    def _address(self, assignment: Assignment, step: int) -> Address:
        return Address(
            run=self._run,
            item=assignment.item,
            attempt=assignment.attempt,
            role=assignment.role,
            conversation=assignment.conversation,
            step=step,
        )

    def _model(self, assignment: Assignment) -> ModelRef:
        return self._model_for(assignment.role, assignment.model)


async def _turn(
    conversation: Conversation, limits: Limits, ask: Callable[[], Awaitable[ModelReply | str]]
) -> ModelReply | str:
    """The reply of a turn; where time or money end with it, that of a last one, in which it is asked for what there is.

    What `BudgetReached` leaves undone is done when there is money again: the conversation goes on from the same turn.
    """
    step, limit = limits.turns, "time"
    try:
        reply = await ask()
        if reply != "time" or limits.last is not None:
            return reply
    except BudgetReached:
        await conversation.not_given(step)
        if not conversation.may_hand_in(step):
            raise
        limit = "budget"
    await conversation.begin_last(step, limit)
    try:
        return await ask()
    except BudgetReached:
        await conversation.not_given(step)
        raise


async def _compact(step: int, cut: Cut | None, talk: Transcript, marks: Marks, *, refused: bool = False) -> None:
    """Tell the log and the ledger what the model is no longer shown."""
    if cut is None:
        return
    why = "The server took the conversation for too long" if refused else "The conversation has grown long"
    talk.note(
        step,
        f"{why}: from here on the model is shown {cut.after} tokens instead of {cut.before}, without {cut.left_out}.",
    )
    before = marks.find(step, ConversationCompacted)
    if before is None or (refused and not before.refused):
        await marks.put(
            ConversationCompacted(
                conversation=marks.conversation,
                step=step,
                before=cut.before,
                after=cut.after,
                left_out=cut.left_out,
                refused=refused,
            )
        )


def _was_refused(step: int, marks: Marks) -> bool:
    mark = marks.find(step, ConversationCompacted)
    return mark is not None and mark.refused


def _listed(role: RoleSpec, tools: Mapping[str, AgentTool[Any]], limits: Limits) -> tuple[ToolSpec, ...]:
    """The tools of the next request: in the last turn only the one that ends the conversation."""
    return (role.result.spec,) if limits.last is not None else listed(tools, role.result.spec)


def _context(choice: RoleChoice, model: ModelRef) -> int:
    """How many tokens the model takes: as the spec says, else as it is told to, else what is usual."""
    if choice.context_tokens is not None:
        return choice.context_tokens
    told = model.options.get("num_ctx")
    if isinstance(told, int) and told > 0:
        return told
    return LOCAL_CONTEXT_TOKENS if model.provider == "ollama" else CONTEXT_TOKENS


def log_path(folder: Path, assignment: Assignment) -> Path:
    """Where in the run folder a conversation is written."""
    own = assignment.conversation in (assignment.role, "planner-1")
    name = "conversation" if own else assignment.conversation
    return folder / "logs" / (assignment.item or "_plan") / str(assignment.attempt) / f"{name}.jsonl"


def _limit_behind(fault: AureaError, *, last: bool) -> str | None:
    """The limit that a model call ran into; None where something else is at fault. `last`: it had all the time left."""
    kind = getattr(fault, "kind", None)  # model clients say so of their own faults
    if getattr(fault, "out_of_time", False) or (kind == "timeout" and last):
        return "time"
    return "context" if kind == "context_too_long" else None
