"""The live wire to Google's Gemini API. Imports its libraries: import it late."""

from __future__ import annotations

import math
from typing import Any, cast

import httpx2
from google.genai.types import ContentUnionDict, GenerateContentConfigDict, GenerateContentResponse
from pydantic_ai import messages as pai
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.google import GoogleModel, GoogleModelSettings
from pydantic_ai.profiles.google import GoogleModelProfile
from pydantic_ai.providers.google import GoogleProvider

from aurea.domain.messages import ModelRequest
from aurea.models.options import body_options
from aurea.models.prices import output_limit
from aurea.models.providers import Endpoint
from aurea.models.wires.base import CONNECT_S, VendorWire, timeout_of
from aurea.models.wires.gather_vendors import GoogleGatherer
from aurea.models.wires.reader import StreamReader, streaming

PROFILE = GoogleModelProfile(json_schema_transformer=None)
# Options are fields of `generationConfig`, as the vendor's documents have them; these stand beside it in the body.
BESIDE = frozenset({"safetySettings", "cachedContent", "labels", "serviceTier", "toolConfig", "store"})


class OpenGoogleSettings(GoogleModelSettings, total=False):
    """The library's settings, and fields of the request body that it has none for."""

    google_body: dict[str, Any]


class GoogleHttp(StreamReader):
    """A client that asks for a stream as this API has it: under another name of the method."""

    def build_request(self, method: str, url: httpx2.URL | str, **more: Any) -> httpx2.Request:
        """As the library's."""
        if streaming() is not None and str(url).endswith(":generateContent"):
            url = f"{str(url).removesuffix(':generateContent')}:streamGenerateContent?alt=sse"
        return super().build_request(method, url, **more)


class GoogleWire(VendorWire):
    """A server that speaks the Gemini API."""

    gatherer = GoogleGatherer

    def __init__(self, endpoint: Endpoint, *, headers: bool | str = True, stream: bool = False) -> None:
        super().__init__(endpoint, headers=headers, stream=stream)
        self._http = GoogleHttp(timeout=timeout_of(120.0), event_hooks={"request": [_connect_sooner]})
        self._provider = GoogleProvider(api_key=endpoint.key or "none", http_client=self._http, base_url=endpoint.url)

    def make_model(self, name: str) -> GoogleModel:
        """The Gemini API."""
        return OpenGoogleModel(name, provider=self._provider, profile=PROFILE)

    def settings(self, request: ModelRequest, *, stream: bool = False) -> OpenGoogleSettings:
        """Limits, headers, and the role's options under the names of the API."""
        options = body_options(request.model)
        # The server is told how long anybody waits for it; a stream is waited for as long as it goes on.
        patience = (request.remaining_s or math.inf) if stream else request.timeout_s
        waits = {"X-Server-Timeout": str(math.ceil(patience))} if math.isfinite(patience) else {}
        settings = OpenGoogleSettings(
            timeout=request.timeout_s,
            extra_headers=self.extra_headers(request) | waits,
            max_tokens=output_limit(request),
        )
        body: dict[str, Any] = {name: options.pop(name) for name in BESIDE & set(options)}
        if options:
            body["generationConfig"] = options
        if body:
            settings["google_body"] = body
        return settings

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()


class OpenGoogleModel(GoogleModel):
    """pydantic-ai's model, which sends further fields of the body as other vendors' models do."""

    async def _build_content_and_config(
        self,
        messages: list[pai.ModelMessage],
        model_settings: GoogleModelSettings,
        model_request_parameters: ModelRequestParameters,
    ) -> tuple[list[ContentUnionDict], GenerateContentConfigDict]:
        contents, config = await super()._build_content_and_config(messages, model_settings, model_request_parameters)
        body, http = cast(OpenGoogleSettings, model_settings).get("google_body"), config.get("http_options")
        if body and isinstance(http, dict):
            http["extra_body"] = body
        return contents, config

    def _process_response(
        self, response: GenerateContentResponse, model_request_parameters: ModelRequestParameters
    ) -> pai.ModelResponse:
        if not response.candidates and response.prompt_feedback is None:
            raise UnexpectedModelBehavior("no candidates")
        return super()._process_response(response, model_request_parameters)


async def _connect_sooner(request: httpx2.Request) -> None:
    """The library knows one limit for everything; a server that does not take the connection is gone sooner."""
    limits = request.extensions.get("timeout")
    if isinstance(limits, dict):
        limits["connect"] = min(CONNECT_S, limits.get("connect") or CONNECT_S)
