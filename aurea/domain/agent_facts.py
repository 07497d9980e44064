"""Facts about how a conversation with a model went: what was mended, left out, noticed, and which limit it reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from aurea.domain.facts import Fact, Level
from aurea.domain.messages import Value


class AgentEquipped(Fact):
    """What a conversation began with, which no later answer of a tool changes: the execution snapshot.

    `body` is the whole of it: limits, options, the digests of tools and instructions, and the tools that are not Aurea's
    own as they were told. `tools` are the names of those it holds, `withheld` says why it was not given others.
    """

    type: Literal["agent.equipped"] = "agent.equipped"
    level: ClassVar[Level] = "debug"
    conversation: str
    role: str
    model: str
    prompt: str
    tools: tuple[str, ...] = ()
    withheld: Mapping[str, str] = Field(default_factory=dict)
    commit: str = ""
    sandbox: str = ""
    aurea: str = ""
    body: str


class McpNoted(Fact):
    """Something happened to an MCP server of this run. What it offers now changes nothing for conversations under way."""

    type: Literal["mcp.noted"] = "mcp.noted"
    server: str
    what: Literal["started", "changed", "ended", "restarted", "left_out"]
    text: str


class ModelRepaired(Fact):
    """What was meant by a model's answer was not what it wrote; `what` says what was mended, one entry per call."""

    type: Literal["model.repaired"] = "model.repaired"
    conversation: str
    step: int
    what: tuple[str, ...]


class ConversationCompacted(Fact):
    """From step `step` on the model is shown less of what was before: about `after` tokens instead of `before`.

    `refused`: its server had said that it was too long.
    """

    type: Literal["conversation.compacted"] = "conversation.compacted"
    conversation: str
    step: int
    before: int
    after: int
    left_out: str
    refused: bool = False


class GuardianLooked(Fact):
    """The guardian looked at a conversation after step `step`: a score from 0 to 100, and what it saw.

    `tone` is that of what it said to the agent, empty where it said nothing. `alignment`, `trajectory` and `advice` are a
    model's, where one was asked and answered.
    """

    type: Literal["guardian.looked"] = "guardian.looked"
    conversation: str
    step: int
    score: int
    tone: Literal["", "gentle", "direct", "firm"] = ""
    signals: tuple[str, ...] = ()
    alignment: int | None = None
    trajectory: str = ""
    advice: str = ""


class LimitReached(Fact):
    """A conversation used up a limit; at step `step` it is asked for what it has, and can call nothing else."""

    type: Literal["limit.reached"] = "limit.reached"
    level: ClassVar[Level] = "warning"
    conversation: str
    step: int
    limit: str


class Difference(Value):
    """One thing that is asked otherwise than when a cassette was recorded.

    `name` is the part of the task, the tool, or the call of a result (`run_shell c0`). `unknown`: the recording tells no
    more than that something differs.
    """

    kind: Literal["system", "task", "tools", "result", "said", "model", "options", "unknown"]
    name: str = ""
    how: Literal["changed", "new", "gone"] = "changed"


class ReplayDrifted(Fact):
    """What a conversation asked at step `step` differs from what was asked when the answer played there was recorded."""

    type: Literal["replay.drifted"] = "replay.drifted"
    level: ClassVar[Level] = "debug"
    conversation: str
    step: int
    differences: tuple[Difference, ...]


class LimitLifted(Fact):
    """What `limit.reached` said of step `step` holds no more: there is no last turn, and its tools are back."""

    type: Literal["limit.lifted"] = "limit.lifted"
    conversation: str
    step: int
    limit: str


class PartialHandedIn(Fact):
    """What an agent handed in at step `step`, where `limit` stopped it before it was done. It goes on from there."""

    type: Literal["partial.handed_in"] = "partial.handed_in"
    conversation: str
    step: int
    limit: str
    summary: str
    unfinished: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The same in one line."""
        left = f"; left to do: {'; '.join(self.unfinished)}" if self.unfinished else ""
        return " ".join(f"{self.summary}{left}".split())
