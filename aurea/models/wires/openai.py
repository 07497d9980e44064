"""The live wire to OpenAI and every server that speaks its chat completions. Imports its libraries: import it late."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import openai
from openai.types import chat
from pydantic_ai import messages as pai
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.options import api_of, body_options
from aurea.models.prices import output_limit
from aurea.models.providers import Endpoint
from aurea.models.wires.base import VendorWire, cache_key, timeout_of
from aurea.models.wires.gather import ChatGatherer
from aurea.models.wires.plain import NO_CALL_ID
from aurea.models.wires.reader import StreamReader
from aurea.models.wires.responses import ResponsesWire

# Schemas go out as they are, and what the user sets is sent: the server judges it, not a table of model names.
PROFILE = OpenAIModelProfile(json_schema_transformer=None, openai_supports_reasoning=False)


@dataclass(frozen=True)
class Dialect:
    """What servers that speak chat completions have of their own.

    `limit` is their name for the most tokens of an answer, `keeps` a field of the model's messages that they want back,
    `tells_cost`: they say what a call cost, `caches_by_key`: calls with the same key share their prompt cache.
    """

    limit: str = "max_completion_tokens"
    keeps: str = ""
    tells_cost: bool = False
    caches_by_key: bool = False


DIALECTS = {
    "openai": Dialect(caches_by_key=True),
    "openrouter": Dialect(limit="max_tokens", keeps="reasoning_details", tells_cost=True),
    "glm": Dialect(limit="max_tokens"),
    "mlx": Dialect(),
}


class OpenAIHttp(StreamReader, openai.DefaultAsyncHttpxClient):
    """The library's own client, whose streamed answers are put together."""


class OpenAIWire(VendorWire):
    """One server that speaks chat completions, or where the option `api` of a role says so, Responses."""

    gatherer = ChatGatherer

    def __init__(self, endpoint: Endpoint, *, headers: bool | str = True, stream: bool = False) -> None:
        super().__init__(endpoint, headers=headers, stream=stream)
        self._dialect = DIALECTS[endpoint.provider.name]
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.key or "none",
            base_url=endpoint.url,
            max_retries=0,
            timeout=timeout_of(120.0),
            http_client=OpenAIHttp(),
        )
        self._provider = OpenAIProvider(openai_client=self._client)
        self._responses = ResponsesWire(endpoint, self._client, headers=headers, stream=stream)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer of the server, asked in the way that the role's options say."""
        if api_of(request.model) == "responses":
            return await self._responses.complete(request)
        return await super().complete(request)

    def make_model(self, name: str) -> TolerantChatModel:
        """Chat completions, read with tolerance."""
        return TolerantChatModel(name, self._provider, self._dialect)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    def settings(self, request: ModelRequest, *, stream: bool = False) -> OpenAIChatModelSettings:
        """Limits, headers, and the role's options as fields of the request body, under the server's own names."""
        body = body_options(request.model)
        settings = OpenAIChatModelSettings(
            timeout=timeout_of(request.timeout_s), extra_headers=self.extra_headers(request)
        )
        # The option says it of a server that does not know the newer name.
        if "max_tokens" in (*request.model.options, self._dialect.limit):
            body["max_tokens"] = output_limit(request)
        else:
            settings["max_tokens"] = output_limit(request)
        if self.endpoint.vendor and self._dialect.caches_by_key and "prompt_cache_key" not in body:
            settings["openai_prompt_cache_key"] = cache_key(request)
        if stream:  # what was used is told of a stream only where that is asked for
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if body:
            settings["extra_body"] = body
        return settings


class TolerantChatModel(OpenAIChatModel):
    """pydantic-ai's chat model, for servers that leave out or bend parts of the format."""

    def __init__(self, name: str, provider: OpenAIProvider, dialect: Dialect) -> None:
        super().__init__(name, provider=provider, profile=PROFILE)
        self._dialect = dialect

    def _validate_completion(self, response: chat.ChatCompletion) -> Any:
        mended = mend(response.model_dump(warnings=False), self.model_name)
        return super()._validate_completion(chat.ChatCompletion.model_construct(**mended))

    def _map_usage(self, response: chat.ChatCompletion) -> RequestUsage:
        """The figures that Aurea keeps, read directly."""
        usage = response.usage
        if usage is None:
            return RequestUsage()
        details = usage.prompt_tokens_details
        cost = getattr(usage, "cost", None) if self._dialect.tells_cost else None
        return RequestUsage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=(details.cached_tokens or 0) if details else 0,
            cache_write_tokens=getattr(details, "cache_write_tokens", 0),
            cost=None if cost is None else Decimal(str(cost)),
        )

    async def _map_messages(
        self,
        messages: Sequence[pai.ModelMessage],
        model_request_parameters: ModelRequestParameters,
        *,
        model_settings: ModelSettings | None = None,
    ) -> list[chat.ChatCompletionMessageParam]:
        """The messages, put straight into the body: what the SDK does to each at every call costs more than all else."""
        mapped = await super()._map_messages(messages, model_request_parameters, model_settings=model_settings)
        if model_settings is None:
            return mapped
        _put(model_settings, "messages", mapped)
        return []

    def _get_tool_choice(
        self, model_settings: OpenAIChatModelSettings, model_request_parameters: ModelRequestParameters
    ) -> Any:
        """The tools, put straight into the body as well."""
        tools, choice = super()._get_tool_choice(model_settings, model_request_parameters)
        if tools:
            _put(model_settings, "tools", tools)
        return [], choice

    def _process_thinking(self, message: chat.ChatCompletionMessage) -> list[pai.ThinkingPart] | None:
        """What the server wants back of the model's thinking, else what it tells of it."""
        kept = getattr(message, self._dialect.keeps, None) if self._dialect.keeps else None
        if not isinstance(kept, list) or not kept:
            return super()._process_thinking(message)
        return [
            pai.ThinkingPart("", id=self._dialect.keeps, provider_name=self.system, provider_details={"value": kept})
        ]

    @dataclass
    class _MapModelResponseContext(OpenAIChatModel._MapModelResponseContext):
        kept: dict[str, Any] = field(default_factory=dict)

        def _map_response_thinking_part(self, item: pai.ThinkingPart) -> None:
            if item.id and item.provider_details:
                self.kept[item.id] = item.provider_details.get("value")

        def _into_message_param(self) -> chat.ChatCompletionAssistantMessageParam | None:
            message = super()._into_message_param()
            return None if message is None else {**message, **self.kept}  # type: ignore[return-value]


def _put(settings: ModelSettings, name: str, value: Any) -> None:
    settings["extra_body"] = {**_mapping(settings.get("extra_body")), name: value}


def mend(document: dict[str, Any], model: str) -> dict[str, Any]:
    """A completion with what compatible servers leave out filled in; raises where there is no answer in it at all."""
    choices = [choice for choice in document.get("choices") or () if isinstance(choice, dict)]
    # Some answer 200 and say in the body that a server behind them failed.
    failed = _mapping(document.get("error")) or _mapping(choices[0].get("error") if choices else None)
    if isinstance(failed.get("code"), int) and failed["code"] >= 400:
        raise ModelHTTPError(status_code=failed["code"], model_name=model, body={"error": failed})
    if not choices:
        raise UnexpectedModelBehavior(f"no choices: {document.get('error') or 'an empty completion'}")
    choice = choices[0]
    message = _mapping(choice.get("message"))
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, dict)]
    message |= {"role": "assistant", "tool_calls": [_mend_call(call, n) for n, call in enumerate(calls, 1)] or None}
    message |= {"annotations": None, "audio": None, "function_call": None}
    message.setdefault("content", None)
    document |= {
        "choices": [{"index": 0, "finish_reason": choice.get("finish_reason") or "stop", "message": message}],
        "id": str(document.get("id") or ""),
        "created": document.get("created") if isinstance(document.get("created"), int) else 0,
        "model": document.get("model") or model,
        "object": "chat.completion",
        "usage": _mend_usage(document.get("usage")),
    }
    return document


def _mend_call(call: dict[str, Any], n: int) -> dict[str, Any]:
    function = _mapping(call.get("function"))
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else json.dumps(arguments)
    mended: dict[str, Any] = {
        "id": str(call.get("id") or f"{NO_CALL_ID}{n}"),
        "type": "function",
        "function": {"name": str(function.get("name") or ""), "arguments": arguments},
    }
    # Google's compatible server signs its calls here, and wants that back.
    return mended | ({"extra_content": call["extra_content"]} if isinstance(call.get("extra_content"), dict) else {})


def _mend_usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    asked, answered = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    details = _mapping(usage.get("prompt_tokens_details"))
    told = {name: _count(details.get(name)) for name in ("cached_tokens", "cache_write_tokens")}
    cost = usage.get("cost")
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": told,
        "cost": cost if isinstance(cost, int | float) and cost >= 0 else None,
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value >= 0 else 0
