"""The spans of a run, made from its events: pure, and the same whichever process sees which of them.

run -> one `invoke_agent` per conversation -> its `chat` and `execute_tool`; each with its true beginning and end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from aurea.domain import events as ev
from aurea.domain.messages import ModelReply, Usage

# The conventions' own names for vendors; all others are called as Aurea calls them.
VENDORS = {"google": "gcp.gemini"}
MOST_TEXT = 4_000  # characters of a text, where texts are sent at all
ENDED = frozenset({"succeeded", "failed", "cancelled"})
_WELL = frozenset({"submitted", "empty", "escalated", "deferred", "abandoned"})

Talk = tuple[str | None, int, str]
Place = tuple[str | None, int, str, int]


@dataclass(frozen=True)
class Span:
    """A span that is over. `key` names it within its run, `parent` the one it belongs to; `error` is an `error.type`."""

    key: str
    parent: str | None
    name: str
    kind: Literal["client", "internal"]
    began: datetime
    ended: datetime
    attributes: dict[str, Any]
    error: str = ""
    tries: tuple[tuple[datetime, dict[str, Any]], ...] = ()


@dataclass
class _Agent:
    """A conversation that is not over."""

    role: str
    began: datetime
    last: datetime
    asked: ev.ModelAsked
    usage: Usage = field(default_factory=Usage)


@dataclass
class _Call:
    """A model call that is not answered."""

    asked: ev.ModelAsked
    began: datetime
    number: int
    failed: list[tuple[datetime, ev.ModelFailed]] = field(default_factory=list)


ROOT = "run"


class Spans:
    """Takes a run's events in their order and gives each span when it is over.

    `body` reads a text of the ledger; without it no text of a conversation is in any span.
    """

    def __init__(self, run: str, body: Callable[[str], str] | None = None) -> None:
        self._run = run
        self._body = body
        self._created: tuple[datetime, str] | None = None
        self._agents: dict[Talk, _Agent] = {}
        self._over: dict[Talk, int] = {}
        self._calls: dict[Place, _Call] = {}
        self._asked: dict[Place, int] = {}
        self._tools: dict[tuple[Place, str], tuple[datetime, ev.ToolStarted]] = {}

    def take(self, event: ev.Event) -> Iterator[Span]:
        """The spans that are over with this event."""
        match event.fact:
            case ev.RunCreated() as fact:
                self._created = (event.ts, fact.project)
            case ev.ModelAsked() | ev.ModelFailed() | ev.ModelAnswered() as fact:
                yield from self._model(event, fact)
            case ev.ToolStarted() as fact:
                self._tools[(_place(event, fact), fact.call)] = (event.ts, fact)
                self._touch(event, fact.conversation)
            case ev.ToolEnded() as fact:
                yield from self._tool(event, fact)
            case ev.AttemptEnded() as fact:
                error = "" if fact.outcome in _WELL else fact.outcome
                for talk in self._of(event.item, event.attempt):
                    if not talk[2].startswith("reviewer"):
                        yield from self._end(talk, event.ts, error)
            case ev.ReviewEnded() as fact:
                yield from self._end((event.item, event.attempt or 0, fact.evidence.name), event.ts)
            case ev.PlanProposed() | ev.PlanRejected() | ev.PlanAccepted():
                for talk in self._of(None, None):
                    yield from self._end(talk, event.ts)
            case ev.RunEnded() as fact if fact.state in ENDED:
                yield from self._close(event.ts, fact)
            case _:
                pass

    def _model(self, event: ev.Event, fact: ev.ModelAsked | ev.ModelFailed | ev.ModelAnswered) -> Iterator[Span]:
        place = _place(event, fact)
        call = self._calls.get(place)
        if isinstance(fact, ev.ModelAsked):
            if call is not None:  # another model takes over, or a crash cut it off
                yield self._chat(place, self._calls.pop(place), None)
            self._asked[place] = self._asked.get(place, 0) + 1
            self._calls[place] = _Call(fact, event.ts, self._asked[place])
            self._agents.setdefault(place[:3], _Agent(fact.role, event.ts, event.ts, fact))
        elif call is not None and isinstance(fact, ev.ModelFailed):
            call.failed.append((event.ts, fact))
        elif call is not None and isinstance(fact, ev.ModelAnswered):
            yield self._chat(place, self._calls.pop(place), (event.ts, fact))
            agent = self._agents[place[:3]]
            agent.usage = Usage(
                input_tokens=agent.usage.input_tokens + fact.usage.input_tokens,
                output_tokens=agent.usage.output_tokens + fact.usage.output_tokens,
            )
        self._touch(event, fact.conversation)

    def _chat(self, place: Place, call: _Call, answer: tuple[datetime, ev.ModelAnswered] | None) -> Span:
        asked = call.asked
        attributes = {
            **self._common(place[:3], "chat"),
            "gen_ai.provider.name": _vendor(asked.provider),
            "gen_ai.request.model": asked.model,
            "aurea.step": place[3],
        }
        ended, error = (call.failed[-1][0], call.failed[-1][1].kind) if call.failed else (call.began, "interrupted")
        if answer is not None:
            ended, fact = answer
            error = ""
            attributes |= {
                "gen_ai.response.model": fact.model,
                "gen_ai.response.finish_reasons": [fact.finish],
                "aurea.cost.usd": fact.usd,
                "aurea.cached": fact.cached,
                **_usage(fact.usage),
                **self._said(fact),
            }
        number = f"#{call.number}" if call.number > 1 else ""
        tries = tuple(
            (moment, {"error.type": failed.kind, "aurea.try": failed.attempt, "aurea.retried": failed.retryable})
            for moment, failed in call.failed
        )
        return Span(
            f"chat/{_key(*place)}{number}", self._agent_key(place[:3]), f"chat {asked.model}", "client", call.began,
            ended, attributes, error, tries,
        )  # fmt: skip

    def _tool(self, event: ev.Event, fact: ev.ToolEnded) -> Iterator[Span]:
        place = _place(event, fact)
        self._touch(event, fact.conversation)
        began, started = self._tools.pop((place, fact.call), (event.ts, None))
        attributes = {
            **self._common(place[:3], "execute_tool"),
            "gen_ai.tool.name": fact.tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": fact.call,
            "aurea.step": place[3],
            "aurea.outcome": fact.outcome,
        }
        if self._body is not None:
            if started is not None:
                attributes["gen_ai.tool.call.arguments"] = self._text(started.arguments)
            attributes["gen_ai.tool.call.result"] = self._text(fact.body)
        yield Span(
            f"tool/{_key(*place)}/{fact.call}", self._agent_key(place[:3]), f"execute_tool {fact.tool}", "internal",
            began, event.ts, attributes, "" if fact.outcome == "ok" else fact.outcome,
        )  # fmt: skip

    def _end(self, talk: Talk, moment: datetime, error: str = "") -> Iterator[Span]:
        """A conversation is over, and with it what is open in it."""
        agent, key = self._agents.pop(talk, None), self._agent_key(talk)
        if agent is None:
            return
        for place in [place for place in self._calls if place[:3] == talk]:
            yield self._chat(place, self._calls.pop(place), None)
        for place, call in [key for key in self._tools if key[0][:3] == talk]:
            del self._tools[(place, call)]
        attributes = {
            **self._common(talk, "invoke_agent"),
            "gen_ai.agent.name": agent.role,
            "gen_ai.provider.name": _vendor(agent.asked.provider),
            "gen_ai.request.model": agent.asked.model,
            **_usage(agent.usage),
        }
        self._over[talk] = self._over.get(talk, 0) + 1
        yield Span(
            key,
            ROOT,
            f"invoke_agent {agent.role}",
            "internal",
            agent.began,
            moment,
            attributes,
            error,
        )

    def _agent_key(self, talk: Talk) -> str:
        """The key of a conversation's span; one that goes on after its end has another."""
        again = self._over.get(talk, 0)
        return f"agent/{_key(*talk)}" + (f"#{again + 1}" if again else "")

    def _close(self, moment: datetime, fact: ev.RunEnded) -> Iterator[Span]:
        for talk, agent in list(self._agents.items()):
            yield from self._end(talk, agent.last, fact.state if fact.state != "succeeded" else "")
        began, project = self._created or (moment, "")
        attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": project,
            "aurea.run": self._run,
            "aurea.state": fact.state,
        }
        error = "" if fact.state == "succeeded" else fact.reason_code or fact.state
        yield Span(ROOT, None, f"invoke_workflow {project}", "internal", began, moment, attributes, error)

    def _of(self, item: str | None, attempt: int | None) -> list[Talk]:
        return [talk for talk in self._agents if talk[0] == item and attempt in (None, talk[1])]

    def _touch(self, event: ev.Event, conversation: str) -> None:
        agent = self._agents.get((event.item, event.attempt or 0, conversation))
        if agent is not None:
            agent.last = event.ts

    def _common(self, talk: Talk, operation: str) -> dict[str, Any]:
        item, attempt, conversation = talk
        found: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.conversation.id": f"{self._run}/{_key(*talk)}",
            "aurea.run": self._run,
            "aurea.attempt": attempt,
            "aurea.conversation": conversation,
        }
        return found | ({"aurea.item": item} if item is not None else {})

    def _said(self, fact: ev.ModelAnswered) -> dict[str, Any]:
        """What a model answered, in the form that the conventions give messages."""
        if self._body is None:
            return {}
        try:
            reply = ModelReply.model_validate_json(self._body(fact.body))
        except Exception:  # a text that was removed is no reason to lose the span
            return {}
        parts: list[dict[str, Any]] = [{"type": "text", "content": _cut(reply.text)}] if reply.text else []
        parts += [
            {"type": "tool_call", "id": call.id, "name": call.name, "arguments": _cut(_json(call.arguments))}
            for call in reply.calls
        ]
        return {"gen_ai.output.messages": _json([{"role": "assistant", "parts": parts, "finish_reason": fact.finish}])}

    def _text(self, body: str) -> str:
        try:
            return _cut(self._body(body)) if self._body is not None else ""
        except Exception:
            return ""


def _place(event: ev.Event, fact: Any) -> Place:
    return (event.item, event.attempt or 0, fact.conversation, fact.step)


def _key(item: str | None, *rest: object) -> str:
    return "/".join(map(str, (item or "-", *rest)))


def _vendor(provider: str) -> str:
    return VENDORS.get(provider, provider)


def _usage(usage: Usage) -> dict[str, int]:
    found = {"gen_ai.usage.input_tokens": usage.input_tokens, "gen_ai.usage.output_tokens": usage.output_tokens}
    if usage.cached_tokens:
        found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        found["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_tokens
    return found


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"
