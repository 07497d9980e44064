"""The live wire to OpenAI's Responses. Imports its libraries: import it late."""

from __future__ import annotations

import openai
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles import ModelProfile, merge_profile
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from aurea.domain.messages import ModelRequest
from aurea.models.options import body_options
from aurea.models.prices import output_limit
from aurea.models.providers import Endpoint
from aurea.models.wires.base import VendorWire, cache_key, timeout_of
from aurea.models.wires.gather_vendors import ResponsesGatherer

# As with chat completions; but only models that think may be asked for their reasoning, and it is theirs to send back.
PROFILE = OpenAIModelProfile(json_schema_transformer=None, openai_supports_reasoning=False)


class ResponsesWire(VendorWire):
    """A server that speaks Responses, asked through the client of another wire.

    Nothing is kept at the server: the conversation goes out whole each time, with the model's encrypted reasoning.
    """

    gatherer = ResponsesGatherer

    def __init__(
        self, endpoint: Endpoint, client: openai.AsyncOpenAI, *, headers: bool | str = True, stream: bool = False
    ) -> None:
        super().__init__(endpoint, headers=headers, stream=stream)
        self._provider = OpenAIProvider(openai_client=client)

    @property
    def family(self) -> str:
        """Reasoning of Responses is nothing that chat completions know."""
        return f"{self.endpoint.provider.name}-responses"

    def make_model(self, name: str) -> OpenAIResponsesModel:
        """The Responses of OpenAI."""
        return OpenAIResponsesModel(name, provider=self._provider, profile=_profile)

    def settings(self, request: ModelRequest, *, stream: bool = False) -> OpenAIResponsesModelSettings:
        """Limits, headers, the key of the prompt cache, and the role's options as fields of the request body."""
        body = body_options(request.model)
        settings = OpenAIResponsesModelSettings(
            timeout=timeout_of(request.timeout_s),
            extra_headers=self.extra_headers(request),
            max_tokens=output_limit(request),
        )
        if "store" not in body:
            settings["openai_store"] = False
        if self.endpoint.vendor and "prompt_cache_key" not in body:
            settings["openai_prompt_cache_key"] = cache_key(request)
        if stream:
            body["stream"] = True
        if body:
            settings["extra_body"] = body
        return settings

    async def close(self) -> None:
        """The client is the other wire's to close."""


def _profile(default: ModelProfile) -> ModelProfile:
    return merge_profile(default, PROFILE)
