"""Models and the agents that talk to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from aurea.domain.messages import ModelReply, ModelRequest, ToolSpec
from aurea.domain.spec import ItemSpec
from aurea.ports.git import Workspace


class ModelClient(Protocol):
    """Answers model calls. Layers are model clients around another one."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer; `Transient`, `Blocked`, `BudgetReached` or `Permanent` where there is none."""
        ...


Ending = Literal["escalated", "deferred"]


class Desk(Protocol):
    """Where the agent of one conversation hands in what is meant for others. Handing in twice is as handing in once.

    Each method answers in words for the agent; `ToolRefused` says what is not taken, and why. `waited`: the seconds that
    answers took others, so far, and that are not the agent's own.
    """

    waited: float

    async def insight(self, text: str) -> str:
        """Something that agents after this one should know."""
        ...

    async def decision(self, title: str, text: str) -> str:
        """A decision on the design, which agents after this one keep to."""
        ...

    async def escalate(self, kind: str, text: str) -> str:
        """What the agent cannot decide or get by itself."""
        ...

    async def subtasks(self, items: Sequence[ItemSpec], *, wait: bool) -> str:
        """Work items that it proposes; with `wait` its own goes on when they have landed. The manager decides."""
        ...


@dataclass(frozen=True)
class Assignment:
    """What an agent is to do: its place in the run, its role, its first messages, and where it may work.

    `model` is a `provider:model` of its own where the role's is not meant. Without a `desk` it has nobody to turn to.
    `all_tools`: requests list every tool of the role, not only the most used ones. `turns`: it may have no more than so
    many, None: as many as any; `without`: tools of its role that it is not given here.
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
    desk: Desk | None = None
    all_tools: bool = False
    turns: int | None = None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AgentOutcome:
    """How a conversation ended: `result` holds the arguments of the result tool when it was called and valid.

    `escalated`: the agent asks for a person; `deferred`: it waits for work items that it had proposed.
    """

    ended: Literal["result", "exhausted", "stalled", "escalated", "deferred"]
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
