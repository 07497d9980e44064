"""What the wires through vendors' libraries have in common: a call from our request to our reply, or to our fault."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import httpx2
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.faults import Server, fault
from aurea.models.providers import Endpoint
from aurea.models.wires.errors import classify
from aurea.models.wires.plain import own_headers
from aurea.models.wires.translate import to_messages, to_parameters, to_reply

CONNECT_S = 10.0


class VendorWire(ABC):
    """One server, asked through pydantic-ai's model of its format.

    `headers`: send our own headers (`always`: to the vendor's own hosts as well). A subclass gives the model, with a
    client of the vendor's library that tries nothing again by itself: tries are counted and paid for in the layers above.
    """

    def __init__(self, endpoint: Endpoint, *, headers: bool | str = True) -> None:
        self.endpoint = endpoint
        self._headers = headers == "always" or (headers is True and not endpoint.vendor)
        self._models: dict[str, Model] = {}

    @property
    def family(self) -> str:
        """Whose opaque parts these servers understand, and nobody else's."""
        return self.endpoint.provider.name

    @abstractmethod
    def make_model(self, name: str) -> Model:
        """The library's model of that name; made once."""

    @abstractmethod
    def settings(self, request: ModelRequest) -> ModelSettings:
        """Limits, headers (`extra_headers`) and the role's options, as the library takes them."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connections."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer of the server; a `ModelFault` where there is none."""
        model = self._models.get(request.model.name)
        if model is None:
            model = self._models[request.model.name] = self.make_model(request.model.name)
        settings = self.settings(request)
        messages = to_messages(request.messages, self.family, model.system)
        try:
            response = await model.request(messages, settings, to_parameters(request.tools))
        except Exception as error:
            known = classify(error, self.server(request), self.endpoint.key)
            if known is None:
                raise
            raise known from error
        reply = to_reply(request, response, self.family)
        if not reply.text and not reply.calls and reply.finish == "refused":
            raise fault("refused", self.server(request), "an empty answer, filtered")
        return reply

    def server(self, request: ModelRequest) -> Server:
        """Whom a request goes to, for messages."""
        provider = self.endpoint.provider
        return Server(provider.name, request.model.name, self.endpoint.shown, provider.key_variable or "")

    def extra_headers(self, request: ModelRequest) -> dict[str, str]:
        """Who asks, and where in the run."""
        return own_headers(request, place=self._headers)


def timeout_of(seconds: float) -> Any:
    """The limit of a call; a server that does not even take the connection is given up sooner."""
    return httpx2.Timeout(seconds, connect=min(CONNECT_S, seconds))


def cache_key(request: ModelRequest) -> str:
    """What calls with the same beginning have in common, the role in its run, without telling which run it is."""
    return hashlib.sha256(f"{request.address.run}/{request.address.role}".encode()).hexdigest()[:32]
