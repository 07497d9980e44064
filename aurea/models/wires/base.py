"""What the wires through vendors' libraries have in common: a call from our request to our reply, or to our fault."""

from __future__ import annotations

from abc import ABC, abstractmethod

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
        try:
            response = await model.request(to_messages(request.messages), settings, to_parameters(request.tools))
        except Exception as error:
            known = classify(error, self.server(request), self.endpoint.key)
            if known is None:
                raise
            raise known from error
        reply = to_reply(request, response)
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
