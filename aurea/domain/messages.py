"""The canonical conversation: messages, tool calls and model calls, in the one shape that is written to disk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """Base of frozen, closed values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(Value):
    """What a model asks a tool to do. `arguments` stays text where it was no JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] | str


class SystemMessage(Value):
    """The role's standing instructions."""

    role: Literal["system"] = "system"
    text: str


class UserMessage(Value):
    """What the line says to the model."""

    role: Literal["user"] = "user"
    text: str


def _unset(value: object) -> bool:
    """Fields that came later are written only where they say something, so that older records stay what they are."""
    return not value


class AssistantMessage(Value):
    """What the model said and asked for. `opaque` is what its provider wants back unread: reasoning, signatures."""

    role: Literal["assistant"] = "assistant"
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    opaque: dict[str, Any] = Field(default_factory=dict, exclude_if=_unset)


class ToolMessage(Value):
    """What a tool answered to the call `call`."""

    role: Literal["tool"] = "tool"
    call: str
    name: str
    text: str


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ToolSpec(Value):
    """A tool as it is shown to a model: name, meaning, JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class ModelRef(Value):
    """One model of one provider, with the options given to it."""

    provider: str
    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


class Address(Value):
    """Where in a run a model call stands. Journals and cassettes are addressed by it."""

    run: str
    item: str | None
    attempt: int
    role: str
    conversation: str
    step: int = 1

    @property
    def key(self) -> tuple[str | None, int, str, int]:
        """The place within its run."""
        return (self.item, self.attempt, self.conversation, self.step)


class Usage(Value):
    """Tokens of one model call. Of the input, some were read from a prompt cache, some written to it at another price.

    `usd` is what the server itself says that the call cost; most say nothing. `estimated`: it counted nothing itself.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = Field(default=0, exclude_if=_unset)
    usd: float | None = Field(default=None, exclude_if=lambda value: value is None)
    estimated: bool = Field(default=False, exclude_if=_unset)


class ModelRequest(Value):
    """One model call as Aurea means it, before any vendor's wire format. `try_number` counts transport tries of it.

    `timeout_s` is for one try, `remaining_s` for the own time of all together (None: no limit). `patient`: no other
    model stands by, so a provider without capacity is waited for. `last`: it asks for what there is at the end of the
    money, and may pass a cap where none has before.
    """

    address: Address
    model: ModelRef
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 16_384
    timeout_s: float = 120.0
    remaining_s: float | None = None
    try_number: int = 1
    patient: bool = True
    last: bool = False


class ModelReply(Value):
    """One model answer. `model` is what the server says it used, `opaque` what it wants back in the conversation.

    `cached`: it was given before, to the same question.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish: Literal["stop", "tool_calls", "length", "refused", "other"] = "stop"
    model: str = ""
    opaque: dict[str, Any] = Field(default_factory=dict, exclude_if=_unset)
    cached: bool = Field(default=False, exclude_if=_unset)

    @property
    def message(self) -> AssistantMessage:
        """The reply as it enters the conversation."""
        return AssistantMessage(text=self.text, calls=self.calls, opaque=self.opaque)
