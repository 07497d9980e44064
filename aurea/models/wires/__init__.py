"""The wires: one client for each way in which servers want to be asked. Vendors' libraries are imported when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.providers import Endpoint, endpoint


class Wire(Protocol):
    """A client of one provider, which holds connections."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer; a `ModelFault` where there is none."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


@runtime_checkable
class LoadingWire(Wire, Protocol):
    """A client of a server that has to load a model before it answers, and that sees its answers come.

    Its calls have no limit from outside: it keeps the limits of a request by itself.
    """

    async def prepare(self, request: ModelRequest) -> None:
        """Wait until the model of a request is loaded, however long that usually takes."""
        ...


def open_wire(
    provider: str, environ: Mapping[str, str], *, headers: bool | str = True, stream: bool | str = "auto"
) -> Wire:
    """A client of `provider`, addressed and keyed by the vendor's variables in `environ`; else as `wire_at`."""
    return wire_at(endpoint(provider, environ), headers=headers, stream=stream)


def wire_at(there: Endpoint, *, headers: bool | str = True, stream: bool | str = "auto") -> Wire:
    """A client of the server `there`.

    `headers`: send our own headers, `always` to the vendor's own hosts as well. `stream`: ask for answers piece by
    piece; `auto`: of servers that are known to give them so. Takes seconds, since it imports the vendor's library.
    """
    streams = there.streams if stream == "auto" else stream is True
    match there.provider.name:
        case "anthropic":
            from aurea.models.wires.anthropic import AnthropicWire

            return AnthropicWire(there, headers=headers, stream=streams)
        case "google":
            from aurea.models.wires.google import GoogleWire

            return GoogleWire(there, headers=headers, stream=streams)
        case "openai" | "openrouter" | "glm" | "mlx":
            from aurea.models.wires.openai import OpenAIWire

            return OpenAIWire(there, headers=headers, stream=streams)
        case "ollama":
            from aurea.models.wires.ollama import OllamaWire

            return OllamaWire(there, headers=headers)
    raise ValueError(f"no wire leads to {there.provider.name!r}")
