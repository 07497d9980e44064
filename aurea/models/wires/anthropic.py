"""The live wire to Anthropic's messages. Imports its libraries: import it late."""

from __future__ import annotations

import anthropic
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.profiles.anthropic import AnthropicModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider

from aurea.domain.messages import ModelRequest
from aurea.models.options import body_options
from aurea.models.prices import output_limit
from aurea.models.providers import Endpoint
from aurea.models.wires.base import VendorWire, timeout_of
from aurea.models.wires.gather_vendors import AnthropicGatherer
from aurea.models.wires.reader import StreamReader

# What the user sets is sent: the server judges it, not a table of model names.
PROFILE = AnthropicModelProfile(json_schema_transformer=None, anthropic_disallows_sampling_settings=False)
MARKS = "cache_control"


class AnthropicHttp(StreamReader, anthropic.DefaultAsyncHttpxClient):
    """The library's own client, whose streamed answers are put together."""


class AnthropicWire(VendorWire):
    """A server that speaks Anthropic's messages.

    The prefix is marked for its prompt cache: the tools, the role's standing text, and the conversation so far.
    """

    gatherer = AnthropicGatherer

    def __init__(self, endpoint: Endpoint, *, headers: bool | str = True, stream: bool = False) -> None:
        super().__init__(endpoint, headers=headers, stream=stream)
        self._client = anthropic.AsyncAnthropic(
            api_key=endpoint.key or "none",
            base_url=endpoint.url,
            max_retries=0,
            timeout=timeout_of(120.0),
            http_client=AnthropicHttp(),
        )
        self._provider = AnthropicProvider(anthropic_client=self._client)

    def make_model(self, name: str) -> AnthropicModel:
        """The messages of Anthropic."""
        return AnthropicModel(name, provider=self._provider, profile=PROFILE)

    def settings(self, request: ModelRequest, *, stream: bool = False) -> AnthropicModelSettings:
        """Limits, headers, cache marks, and the role's options as fields of the request body.

        The option `cache_control` stands in the place of our marks; as null it leaves the prompt cache alone.
        """
        body = body_options(request.model)
        settings = AnthropicModelSettings(
            timeout=timeout_of(request.timeout_s),
            extra_headers=self.extra_headers(request),
            max_tokens=output_limit(request),
        )
        if MARKS not in body:
            settings["anthropic_cache_tool_definitions"] = True
            settings["anthropic_cache_instructions"] = True
            settings["anthropic_cache_messages"] = True
        elif body[MARKS] is None:
            del body[MARKS]
        if stream:
            body["stream"] = True
        if body:
            settings["extra_body"] = body
        return settings

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()
