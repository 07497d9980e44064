"""What the options of a role may say: any field of the request body, but none of those that say what is asked."""

from __future__ import annotations

from typing import Any

from aurea.domain.errors import UsageError
from aurea.domain.messages import ModelRef

# How servers call the most tokens that an answer may have.
OUTPUT_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens", "maxOutputTokens")
API = "api"  # the one option that is ours: which of a provider's ways of being asked
APIS = {"openai": ("chat", "responses")}

_ALWAYS = frozenset({"model", "tools", "tool_choice", "stream"})
_ASKED = {
    "anthropic": _ALWAYS | {"messages", "system"},
    "google": _ALWAYS | {"contents", "systemInstruction", "candidateCount", "generationConfig"},
    "ollama": _ALWAYS | {"messages", "truncate", "shift", "options"},
    "responses": _ALWAYS | {"input", "instructions", "background", "conversation", "previous_response_id"},
}
_CHAT = _ALWAYS | {"messages", "stream_options", "n"}


def api_of(model: ModelRef) -> str:
    """How a model is asked where its provider has more than one way."""
    return str(model.options.get(API, "chat"))


def check_options(model: ModelRef) -> None:
    """`UsageError` where the options of a model say what is not theirs to say."""
    known = APIS.get(model.provider, ())
    if API in model.options and api_of(model) not in known and model.provider != "replay":  # which asks nobody
        remedy = f"say {' or '.join(known)}" if known else "leave it out"
        raise UsageError(f"provider {model.provider!r} has no api {api_of(model)!r}", remedy=remedy)
    asked = _ASKED.get(api_of(model) if known else model.provider, _CHAT)
    taken = sorted(asked & set(model.options))
    if taken:
        raise UsageError(f"options for {model.provider!r} may not set {', '.join(taken)}", remedy="leave them out")


def body_options(model: ModelRef) -> dict[str, Any]:
    """The options that are fields of the request body: all but ours, and the limit of an answer, which goes its own way."""
    check_options(model)
    return {name: value for name, value in model.options.items() if name not in (API, *OUTPUT_LIMITS)}
