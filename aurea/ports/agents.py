"""Models and the agents that talk to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from aurea.domain.messages import ModelReply, ModelRequest, ToolSpec
from aurea.ports.git import Workspace


class ModelClient(Protocol):
    """Answers model calls. Layers are model clients around another one."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer; `Transient`, `Blocked`, `BudgetReached` or `Permanent` where there is none."""
        ...


@dataclass(frozen=True)
class Assignment:
    """What an agent is to do: its place in the run, its role, its first messages, and where it may work.

    `model` is a `provider:model` of its own where the role's is not meant.
    """

    item: str | None
    attempt: int
    role: str
    conversation: str
    system: str
    task: str
    timeout_s: float
    model: str | None = None
    workspace: Workspace | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentOutcome:
    """How a conversation ended: `result` holds the arguments of the result tool when it was called and valid."""

    ended: Literal["result", "exhausted", "stalled"]
    result: Mapping[str, object] | None = None
    limit: str | None = None
    reason: str = ""
    turns: int = 0
    tool_calls: int = 0


class Tool(Protocol):
    """Something an agent may do. `repeatable`: doing it twice is the same as doing it once."""

    spec: ToolSpec
    repeatable: bool

    async def __call__(self, arguments: Mapping[str, object]) -> str:
        """Act and say what happened; raise `ToolRefused` for what is not allowed, `ToolFailed` for what went wrong."""
        ...


class AgentEngine(Protocol):
    """Carries a conversation from the first message to a result, journalled so that it can be taken up again."""

    async def run(self, assignment: Assignment) -> AgentOutcome:
        """Think, act, observe until the role's result tool was called or a limit ran out."""
        ...
