"""Turns what the vendors' libraries raise into the faults of Aurea. Imported only where those libraries are."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
from pydantic_ai import exceptions as pai

from aurea.models.faults import STATUSES, BlockedFault, Kind, PermanentFault, Server, TransientFault, fault
from aurea.models.wires.gather import mapping
from aurea.models.wires.plain import redact
from aurea.models.wires.reader import Broke

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
    (httpx2.TimeoutException, "timeout"),
    (httpx2.TransportError, "connection"),
    (httpx2.DecodingError, "malformed"),
    # An answer of another shape than its format has makes the vendors' libraries fail in any of these ways.
    (ValueError, "malformed"),
    (TypeError, "malformed"),
    (AttributeError, "malformed"),
    (LookupError, "malformed"),
    (AssertionError, "malformed"),
)
LIBRARIES = frozenset({"openai", "anthropic", "google"})
REFUSALS = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
_STREAMS = re.compile(r"\bstream(s|ed|ing|_options)?\b", re.IGNORECASE)
# What vendors say in words alone, behind a status that means something else or nothing.
SAID: tuple[tuple[Kind, str], ...] = (
    (
        "context_too_long",
        r"context (limit|length|window|size)|prompt is too long|prompt exceeds max length|too many (input )?tokens"
        r"|input token count|input (is )?too long|maximum number of tokens",
    ),
    (
        "quota",
        r"usage limit|insufficient (balance|credit|fund|quota)|credit balance|key limit exceeded"
        r"|(spend|spending|billing) (hard )?limit|payment required|no resource package",
    ),
    (
        "refused",
        r"flagged|content (filter|policy|management)|usage polic|unsafe or sensitive|moderation|prohibited content",
    ),
    ("not_found", r"(not a valid|unknown|no such) model|model .{0,80}(does not exist|not found|not exist)"),
    ("authentication", r"api key (is )?(not valid|invalid|expired)|(invalid|incorrect) (x-)?api.key"),
)
WORDS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in SAID)


def classify(error: Exception, server: Server, key: str = "") -> TransientFault | BlockedFault | PermanentFault | None:
    """The fault that `error` means; None where it is no failure of a model call. `key` never shows in the message."""
    for cause in _chain(error):
        if isinstance(cause, Broke):
            return fault(cause.kind, server, redact(str(cause), key), maybe_billed=True)
    kind = _kind(error)
    if kind is None:
        return None
    # A connection that broke while the answer was read was made: the work may have been done.
    doubtful = None if kind != "connection" else getattr(error, "phase", None) in ("write", "read")
    retry_after = getattr(error, "retry_after", None)
    return fault(kind, server, redact(_said(error), key), retry_after=retry_after, maybe_billed=doubtful)


def refuses_streams(error: Exception) -> bool:
    """Whether a server refused a request because it asked for a stream."""
    if not isinstance(error, pai.ModelHTTPError) or error.status_code not in (400, 403, 422):
        return False
    body = mapping(error.body)
    named = str((mapping(body.get("error")) or body).get("param"))
    return named in ("stream", "stream_options") or bool(_STREAMS.search(_said(error)))


def _kind(error: Exception) -> Kind | None:
    if isinstance(error, pai.ModelHTTPError):
        return _kind_of_answer(error)
    for category, kind in CATEGORIES:
        if isinstance(error, category):
            return kind
    if isinstance(error, pai.ModelAPIError) or type(error).__module__.partition(".")[0] in LIBRARIES:
        return "malformed"  # an answer came, and nobody could make anything of it
    return None


def _kind_of_answer(error: pai.ModelHTTPError) -> Kind:
    if any(word in str(error.provider_error_code).lower() for word in REFUSALS):
        return "refused"
    found = next((kind for category, kind in CATEGORIES if isinstance(error, category)), None)
    found = found or STATUSES.get(error.status_code) or ("server" if error.status_code >= 500 else "rejected")
    if found in ("rejected", "rate_limit", "authentication") and error.status_code < 500:
        return _kind_in_words(_said(error), found)
    return found


def _kind_in_words(said: str, kind: Kind) -> Kind:
    """The kind that the words tell where a status says less: one that waiting cannot cure is no limit of the rate."""
    for told, pattern in WORDS:
        if pattern.search(said) and (kind == "rejected" or told in ("quota", "refused")):
            return told
    return kind


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
    *_, last = _chain(error)
    return last


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _messages(body: object) -> Iterator[str]:
    """Every `message` of an error body, wherever servers put it."""
    if isinstance(body, dict):
        for name in ("message", "error", "detail"):
            if isinstance(body.get(name), str):
                yield body[name]
        yield from _messages(body.get("error"))
