"""The wires: one client for each way in which servers want to be asked. Vendors' libraries are imported when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aurea.domain.errors import NotAvailableYet
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.providers import endpoint


class Wire(Protocol):
    """A client of one provider, which holds connections."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer; a `ModelFault` where there is none."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


def open_wire(provider: str, environ: Mapping[str, str], *, headers: bool | str = True) -> Wire:
    """A client of `provider`, addressed and keyed by the vendor's variables in `environ`.

    `headers`: send our own headers, `always` to the vendor's own hosts as well. Takes seconds, since it imports the
    vendor's library.
    """
    there = endpoint(provider, environ)
    match provider:
        case "openai":
            from aurea.models.wires.openai import OpenAIWire

            return OpenAIWire(there, headers=headers)
    raise NotAvailableYet(f"provider {provider!r}")
