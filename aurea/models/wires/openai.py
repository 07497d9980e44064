"""The live wire to OpenAI and every server that speaks its chat completions. Imports its libraries: import it late."""

from __future__ import annotations

import json
from typing import Any, cast

import openai
from openai.types import chat
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RequestUsage

from aurea.domain.errors import UsageError
from aurea.domain.messages import ModelRequest
from aurea.models.prices import output_limit
from aurea.models.providers import Endpoint
from aurea.models.wires.base import CONNECT_S, VendorWire
from aurea.models.wires.plain import NO_CALL_ID

OWNED = frozenset({"model", "messages", "tools", "tool_choice", "stream", "stream_options", "n"})
LIMITS = frozenset({"max_output_tokens", "max_completion_tokens", "max_tokens"})
# Schemas go out as they are, and what the user sets is sent: the server judges it, not a table of model names.
PROFILE = OpenAIModelProfile(json_schema_transformer=None, openai_supports_reasoning=False)


class OpenAIWire(VendorWire):
    """One server that speaks chat completions."""

    def __init__(self, endpoint: Endpoint, *, headers: bool | str = True) -> None:
        super().__init__(endpoint, headers=headers)
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.key or "none",
            base_url=endpoint.url,
            max_retries=0,
            timeout=openai.Timeout(120.0, connect=CONNECT_S),
        )
        self._provider = OpenAIProvider(openai_client=self._client)

    def make_model(self, name: str) -> TolerantChatModel:
        """Chat completions, read with tolerance."""
        return TolerantChatModel(name, provider=self._provider, profile=PROFILE)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    def settings(self, request: ModelRequest) -> OpenAIChatModelSettings:
        """Limits, headers, and the role's options as fields of the request body, under the server's own names."""
        options = request.model.options
        taken = sorted(OWNED & set(options))
        if taken:
            raise UsageError(
                f"options of {str(request.model)!r} may not set {', '.join(taken)}", remedy="leave them out"
            )
        body = {name: value for name, value in options.items() if name not in LIMITS}
        settings = OpenAIChatModelSettings(
            timeout=cast(Any, openai.Timeout(request.timeout_s, connect=min(CONNECT_S, request.timeout_s))),
            extra_headers=self.extra_headers(request),
        )
        if "max_tokens" in options:  # a server that does not know the newer name
            body["max_tokens"] = output_limit(request)
        else:
            settings["max_tokens"] = output_limit(request)
        if body:
            settings["extra_body"] = body
        return settings


class TolerantChatModel(OpenAIChatModel):
    """pydantic-ai's chat model, for servers that leave out or bend parts of the format."""

    def _validate_completion(self, response: chat.ChatCompletion) -> Any:
        mended = mend(response.model_dump(warnings=False), self.model_name)
        return super()._validate_completion(chat.ChatCompletion.model_construct(**mended))

    def _map_usage(self, response: chat.ChatCompletion) -> RequestUsage:
        """The three figures that Aurea keeps, read directly."""
        usage = response.usage
        if usage is None:
            return RequestUsage()
        details = usage.prompt_tokens_details
        return RequestUsage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=(details.cached_tokens or 0) if details else 0,
        )


def mend(document: dict[str, Any], model: str) -> dict[str, Any]:
    """A completion with what compatible servers leave out filled in; raises where there is no answer in it at all."""
    choices = [choice for choice in document.get("choices") or () if isinstance(choice, dict)]
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
    return {
        "id": str(call.get("id") or f"{NO_CALL_ID}{n}"),
        "type": "function",
        "function": {"name": str(function.get("name") or ""), "arguments": arguments},
    }


def _mend_usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    asked, answered = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    cached = _count(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value >= 0 else 0
