"""Turns what the vendors' libraries raise into the faults of Aurea. Imported only where those libraries are."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import openai
from pydantic_ai import exceptions as pai

from aurea.models.faults import BlockedFault, Kind, PermanentFault, Server, TransientFault, fault
from aurea.models.wires.plain import redact

# From the most to the least particular: the first that fits is the kind.
CATEGORIES: tuple[tuple[type[BaseException], Kind], ...] = (
    (pai.ModelRateLimitError, "rate_limit"),
    (pai.ModelQuotaExceededError, "quota"),
    (pai.ModelUnavailableError, "overloaded"),
    (pai.ModelServerError, "server"),
    (pai.ModelTimeoutError, "timeout"),
    (pai.ModelRequestTimeout, "timeout"),
    (pai.ModelConnectionError, "connection"),
    (pai.ModelContextWindowExceededError, "context_too_long"),
    (pai.ModelAuthenticationError, "authentication"),
    (pai.ModelNotFoundError, "not_found"),
    (pai.ContentFilterError, "refused"),
    (pai.UnexpectedModelBehavior, "malformed"),
    (openai.APITimeoutError, "timeout"),
    (openai.APIConnectionError, "connection"),
    (httpx2.TimeoutException, "timeout"),
    (httpx2.TransportError, "connection"),
    (httpx2.DecodingError, "malformed"),
    (json.JSONDecodeError, "malformed"),
)
# Statuses that no category covers but that are worth another try.
TRANSIENT_STATUS: dict[int, Kind] = {408: "timeout", 409: "overloaded", 425: "overloaded"}
REFUSALS = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")


def classify(error: Exception, server: Server, key: str = "") -> TransientFault | BlockedFault | PermanentFault | None:
    """The fault that `error` means; None where it is no failure of a model call. `key` never shows in the message."""
    kind = _kind(error)
    if kind is None:
        return None
    # A connection that broke while the answer was read was made: the work may have been done.
    doubtful = None if kind != "connection" else getattr(error, "phase", None) in ("write", "read")
    retry_after = getattr(error, "retry_after", None)
    return fault(kind, server, redact(_said(error), key), retry_after=retry_after, maybe_billed=doubtful)


def _kind(error: Exception) -> Kind | None:
    if isinstance(error, pai.ModelHTTPError):
        if error.status_code in TRANSIENT_STATUS:
            return TRANSIENT_STATUS[error.status_code]
        if error.status_code == 413:
            return "context_too_long"
        if any(word in str(error.provider_error_code).lower() for word in REFUSALS):
            return "refused"
    for category, kind in CATEGORIES:
        if isinstance(error, category):
            return kind
    if isinstance(error, pai.ModelHTTPError):
        return "server" if error.status_code >= 500 else "rejected"
    if isinstance(error, pai.ModelAPIError | openai.OpenAIError):
        return "malformed"  # an answer came, and nobody could make anything of it
    return None


def _said(error: Exception) -> str:
    """What the other side said, in its own words where the error carries them."""
    body = getattr(error, "body", None)
    for message in _messages(body):
        if isinstance(error, pai.ModelHTTPError):
            return f"{message} (HTTP {error.status_code})"
        return message
    if isinstance(error, pai.ModelHTTPError):
        text = body.strip() if isinstance(body, str) else ""
        return f"HTTP {error.status_code} {text[:200]}"
    return str(_root(error)) or type(error).__name__


def _root(error: BaseException) -> BaseException:
    """What lies at the bottom of a failure to connect; the wrappers around it say less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _messages(body: object) -> Iterator[str]:
    """Every `message` of an error body, wherever servers put it."""
    if isinstance(body, dict):
        for name in ("message", "error", "detail"):
            if isinstance(body.get(name), str):
                yield body[name]
        yield from _messages(body.get("error"))
