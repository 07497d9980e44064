"""What the wires through vendors' libraries have in common: a call from our request to our reply, or to our fault."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import httpx2
from pydantic_ai import messages as pai
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.faults import BlockedFault, PermanentFault, Server, TransientFault, fault
from aurea.models.hearing import ear
from aurea.models.providers import Endpoint
from aurea.models.wires.errors import classify, refuses_streams
from aurea.models.wires.gather import Gatherer
from aurea.models.wires.plain import own_headers
from aurea.models.wires.reader import Streaming, as_stream
from aurea.models.wires.translate import to_messages, to_parameters, to_reply

CONNECT_S = 10.0


class VendorWire(ABC):
    """One server, asked through pydantic-ai's model of its format.

    `headers`: send our own headers (`always`: to the vendor's own hosts as well). `stream`: ask for answers piece by
    piece, until the server turns out to give none. A subclass gives the model, with a client of the vendor's library
    that tries nothing again by itself: tries are counted and paid for in the layers above.
    """

    gatherer: ClassVar[type[Gatherer]]
    """What puts a streamed answer of this format together."""

    def __init__(self, endpoint: Endpoint, *, headers: bool | str = True, stream: bool = False) -> None:
        self.endpoint = endpoint
        self.stream = stream
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
    def settings(self, request: ModelRequest, *, stream: bool = False) -> ModelSettings:
        """Limits, headers (`extra_headers`), the role's options, and the wish for a stream, as the library takes them."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connections."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer of the server; a `ModelFault` where there is none."""
        call = Streaming(self.gatherer(ear())) if self.stream else None
        try:
            response = await self._response(request, call)
        except Exception as error:
            known = self._fault(request, error, call)
            if known is None:
                raise
            if call is None or call.begun or not refuses_streams(error):
                raise known from error
            # Some vendors stream to verified accounts alone. Nothing was done yet.
            self.stream = False
            return await self.complete(request)
        if call is not None and call.plain:
            self.stream = False
        reply = to_reply(request, response, self.family)
        if not reply.text and not reply.calls and reply.finish == "refused":
            raise fault("refused", self.server(request), "an empty answer, filtered")
        return reply

    async def _response(self, request: ModelRequest, call: Streaming | None) -> pai.ModelResponse:
        model = self._models.get(request.model.name)
        if model is None:
            model = self._models[request.model.name] = self.make_model(request.model.name)
        settings = self.settings(request, stream=call is not None)
        messages = to_messages(request.messages, self.family, model.system)
        with as_stream(call):
            return await model.request(messages, settings, to_parameters(request.tools))

    def _fault(
        self, request: ModelRequest, error: Exception, call: Streaming | None
    ) -> TransientFault | BlockedFault | PermanentFault | None:
        known = classify(error, self.server(request), self.endpoint.key)
        if known is not None and call is not None and call.begun:
            known.maybe_billed = True  # the model was at work, whatever ended it
        return known

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
