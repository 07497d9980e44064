"""What every tool has in common: validated arguments, their JSON schema, and what matters when it is taken up again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from aurea.agents.policy import READS, Effect, Grant
from aurea.domain.errors import ToolRefused
from aurea.domain.messages import ToolSpec
from aurea.ports.agents import Ending

SUMMARY = 120


class Arguments(BaseModel):
    """Base of tools' arguments: frozen; what a model adds on its own is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class NoArguments(Arguments):
    """A tool that needs to be told nothing."""


M = TypeVar("M", bound=BaseModel)


class AgentTool(ABC, Generic[M]):
    """A tool of an agent, made anew for every conversation. The class's docstring is what the model reads about it.

    `repeatable`: done twice is as done once, so a call that was under way in a crash is simply made again.
    `writes`: it may change something, so it is never called with arguments that may have been cut off.
    `effects`: what it can do or bring in, which is what the gate (`agents/policy.py`) decides by.
    """

    name: ClassVar[str]
    arguments: ClassVar[type[BaseModel]] = NoArguments
    repeatable: bool = True
    writes: bool = False
    effects: frozenset[Effect] = READS

    def __init__(self) -> None:
        self.spec: ToolSpec = tool_spec(type(self).name, type(self).__doc__ or "", type(self).arguments)

    @property
    def grant(self) -> Grant:
        """The tool as the gate sees it."""
        return Grant(self.spec.name, self.effects)

    def check(self, arguments: Mapping[str, object]) -> M:
        """The validated arguments; `ToolRefused` where they are not valid."""
        return cast(M, parse(self.arguments, arguments))

    async def __call__(self, arguments: Mapping[str, object]) -> str:
        """Validate and act. `ToolRefused` says what is not allowed, `ToolFailed` what went wrong."""
        return await self.act(self.check(arguments))

    @abstractmethod
    async def act(self, arguments: M) -> str:
        """Do it and say what happened."""

    def summary(self, arguments: Mapping[str, object]) -> str:
        """The call in a few words, for people who follow a run."""
        for key in ("path", "command", "pattern", "message", "code", "ref", "query"):
            if value := arguments.get(key):
                return " ".join(str(value).split())[:SUMMARY]
        return ""

    def before(self, arguments: Mapping[str, object]) -> str:
        """The digest of what the call is about to change; empty where it changes nothing that has one."""
        return ""

    @property
    def waited(self) -> float:
        """Seconds that calls of this conversation spent waiting for their turn, which nobody's time is charged for."""
        return 0.0

    def remember(self, arguments: Mapping[str, object]) -> None:
        """Take note of a call that ended well, now or before this conversation was taken up again."""

    def ends(self, arguments: Mapping[str, object]) -> Ending | None:
        """How the conversation ends with this call, where it ended well; None: it goes on."""
        return None


def parse(model: type[M], arguments: Mapping[str, object]) -> M:
    """The validated arguments; `ToolRefused` names every fault in words a model can act on."""
    try:
        return model.model_validate(dict(arguments))
    except ValidationError as fault:
        lines = [f"{_where(error['loc'])}: {_said(error)}" for error in fault.errors(include_url=False)[:12]]
        known = ", ".join(model.model_fields)
        given = ", ".join(map(str, arguments)) or "none"
        raise ToolRefused(
            "the arguments are not valid: " + "; ".join(lines), remedy=f"arguments: {known}; given: {given}"
        ) from None


def tool_spec(name: str, description: str, arguments: type[BaseModel]) -> ToolSpec:
    """A tool as a model sees it."""
    return ToolSpec(name=name, description=" ".join(description.split()), parameters=schema_of(arguments))


@cache
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `model` without references and titles, which small models and some servers stumble over."""
    schema = model.model_json_schema()
    flat = _flatten(schema, schema.get("$defs", {}))
    flat.pop("$defs", None)
    flat.pop("description", None)
    flat.setdefault("properties", {})
    return cast(dict[str, Any], flat)


def _flatten(part: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_flatten(entry, definitions) for entry in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _flatten(definitions[part["$ref"].rsplit("/", 1)[1]], definitions)
    kept = {key: value for key, value in part.items() if key != "title" or isinstance(value, dict)}
    return {key: _flatten(value, definitions) for key, value in kept.items()}


def _where(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.lstrip(".") or "arguments"


def _said(error: Any) -> str:
    if error["type"] == "missing":
        return "is missing"
    return str(error["msg"]).removeprefix("Value error, ")
