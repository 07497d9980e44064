"""A model that answers by a script: for tests of everything that talks to one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from aurea.domain.errors import Blocked
from aurea.domain.messages import (
    Address,
    Message,
    ModelRef,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolSpec,
    Usage,
    UserMessage,
)
from aurea.ports import Clock

NOTHING = Usage()

Scripted = ModelReply | Exception | Callable[[ModelRequest], ModelReply]


def say(text: str, *, usage: Usage = NOTHING) -> ModelReply:
    """An answer in words."""
    return ModelReply(text=text, usage=usage, model="scripted")


def call(name: str, /, **arguments: Any) -> ModelReply:
    """An answer that calls one tool; its id is made when it is given."""
    return calls((name, arguments))


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "", usage: Usage = NOTHING) -> ModelReply:
    """An answer that calls several tools at once."""
    asked = tuple(ToolCall(id="", name=name, arguments=arguments) for name, arguments in wanted)
    return ModelReply(text=text, calls=asked, usage=usage, finish="tool_calls", model="scripted")


def asking(
    text: str = "Go on.",
    *,
    item: str | None = None,
    attempt: int = 1,
    conversation: str = "coder",
    step: int = 1,
    model: str = "openai:gpt-5-mini",
    messages: tuple[Message, ...] = (),
    tools: tuple[ToolSpec, ...] = (),
    **more: Any,
) -> ModelRequest:
    """A model call of the run `run-1`, by default one short question to a coder's model."""
    provider, _, name = model.partition(":")
    options = more.pop("options", {})
    return ModelRequest(
        address=Address(run="run-1", item=item, attempt=attempt, role="coder", conversation=conversation, step=step),
        model=ModelRef(provider=provider, name=name, options=options),
        messages=messages or (UserMessage(text=text),),
        tools=tools,
        **more,
    )


class ScriptedModel:
    """Gives the answers of its scripts, in order, one script for each conversation of each attempt.

    `script` adds answers: replies, errors to raise, or functions of the request; those without an `item` and `attempt`
    are for every conversation of that name that has no script of its own left. `requests` lists everything that was
    asked. `seconds` is how long each answer takes on `clock`. `most_at_once`: calls that were under way together.
    """

    def __init__(self, *answers: Scripted, clock: Clock | None = None, seconds: float = 0.0) -> None:
        self.requests: list[ModelRequest] = []
        self.most_at_once = 0
        self.closed = False
        self._now = 0
        self._clock = clock
        self._seconds = seconds
        self._any: deque[Scripted] = deque(answers)
        self._scripts: dict[tuple[str | None, int | None, str], deque[Scripted]] = {}

    def script(
        self, conversation: str, answers: Iterable[Scripted], *, item: str | None = None, attempt: int | None = None
    ) -> ScriptedModel:
        """Add answers to a conversation; returns the model itself."""
        self._scripts.setdefault((item, attempt, conversation), deque()).extend(answers)
        return self

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The next answer of the request's conversation; `Blocked` where its script has ended."""
        self.requests.append(request)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            if self._clock and self._seconds:
                await self._clock.sleep(self._seconds)
            else:
                await asyncio.sleep(0)
        finally:
            self._now -= 1
        answer = self._next(request)
        if isinstance(answer, Exception):
            raise answer
        reply = answer if isinstance(answer, ModelReply) else answer(request)
        named = tuple(
            one if one.id else one.model_copy(update={"id": f"call-{request.address.step}-{n}"})
            for n, one in enumerate(reply.calls, 1)
        )
        return reply.model_copy(update={"calls": named})

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _next(self, request: ModelRequest) -> Scripted:
        at = request.address
        for place in (
            (at.item, at.attempt, at.conversation),
            (at.item, None, at.conversation),
            (None, None, at.conversation),
        ):
            if script := self._scripts.get(place):
                return script.popleft()
        if self._any:
            return self._any.popleft()
        raise Blocked(f"the script has no answer left for {at.conversation!r} of {at.item!r}, step {at.step}")
