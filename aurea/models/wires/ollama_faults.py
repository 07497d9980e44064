"""What goes wrong with calls of Ollama, as the faults of Aurea: statuses, errors in the middle of an answer, connections."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx

from aurea.models.faults import STATUSES, Kind, ModelFault, Server, fault
from aurea.models.wires.plain import redact

_CONTEXT = re.compile(
    r"prompt (?:is )?too long|context_length_exceeded|maximum context length"
    r"|exceed\w*(?: the)?(?: max(?:imum)?| available)? context|context (?:length|size|window)\W+(?:\w+\W+){0,3}exceeded"
)
_QUOTA = re.compile(r"quota|usage limit|credit")
_START = "start it (`ollama serve`), or set OLLAMA_HOST to where it runs"
_LONGER = "give the role more context (`options: {num_ctx: N}`) if the model has it, or use one with a larger context"


def refused(status: int, headers: Mapping[str, str], body: bytes, server: Server, key: str = "") -> ModelFault:
    """The fault that an answer with an error status means."""
    text = body.decode("utf-8", "replace")
    said = _said(text)
    kind = _kind(status, " ".join(said).lower())
    detail = redact(f"{said[0]} (HTTP {status})" if said else f"HTTP {status} {text.strip()[:200]}", key)
    remedy = _remedy(kind, server, " ".join(said).lower())
    return fault(kind, server, detail, retry_after=_wait(headers.get("retry-after", "")), remedy=remedy)


def piece(line: str, server: Server, key: str = "") -> dict[str, Any]:
    """One piece of a streamed answer; the fault where it is none, or says that something went wrong."""
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise fault("malformed", server, redact(line[:200], key))
    if value.get("error"):
        said = _said(line)
        words = " ".join(said).lower()
        kind = _kind(500, words)
        raise fault(kind, server, redact(said[0] if said else line[:200], key), remedy=_remedy(kind, server, words))
    return value


def broken(error: httpx.HTTPError, server: Server, key: str = "") -> ModelFault:
    """The fault that a connection which could not be made or did not hold means."""
    said = redact(str(error) or type(error).__name__, key)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return fault("connection", server, said, remedy=_START)
    if isinstance(error, httpx.DecodingError):
        return fault("malformed", server, said)
    # The connection was made, so the work may have been done.
    return fault("connection", server, said, maybe_billed=True)


def too_long(server: Server, detail: str) -> ModelFault:
    """The fault of a conversation that has no room in the context that the model was given."""
    return fault("context_too_long", server, detail, remedy=_LONGER)


def _kind(status: int, said: str) -> Kind:
    if _CONTEXT.search(said):
        return "context_too_long"
    if status == 429 and _QUOTA.search(said):
        return "quota"
    return STATUSES.get(status) or ("server" if status >= 500 else "rejected")


def _remedy(kind: Kind, server: Server, said: str) -> str:
    if kind == "not_found" and "model" in said:
        return f"fetch it with `ollama pull {server.model}`, or name a model that it has (`model:`, `--model`)"
    if kind == "context_too_long":
        return _LONGER
    if "does not support tools" in said:
        return "name a model that can call tools: `ollama show MODEL` lists what each can do"
    if "does not support thinking" in said:
        return "leave `think` out of the role's options"
    if "system memory" in said:
        return "use a smaller model, or a smaller context (`options: {num_ctx: N}`)"
    return ""


def _said(text: str) -> list[str]:
    """What an error body says, the message first, whether `error` is text or an object."""
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return list(dict.fromkeys(said.strip() for said in _texts(value) if said.strip()))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name in ("message", "error", "detail", "code", "type"):
            if name in value:
                yield from _texts(value[name])


def _wait(said: str) -> float | None:
    """Seconds that `Retry-After` asks for: a number, or a date."""
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except ValueError:
        return None
