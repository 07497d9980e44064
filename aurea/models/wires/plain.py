"""What every wire needs and no vendor's library has to be loaded for: own headers, call ids, arguments, hidden keys."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic_core import PydanticSerializationError

from aurea import __version__
from aurea.domain.messages import AssistantMessage, ModelReply, ModelRequest

NO_CALL_ID = "aurea-no-id-"  # stands where a server sent a tool call without an id
KEY = re.compile(r"\b(?:sk|pk|rk|AIza|gsk|xai)[-_A-Za-z0-9*.]{12,}")
DETAIL_LIMIT = 600


def own_headers(request: ModelRequest, *, place: bool) -> dict[str, str]:
    """Who asks, and with `place` where in the run."""
    headers = {"User-Agent": f"aurea/{__version__}"}
    if place:
        at = request.address
        headers |= {
            "X-Aurea-Run": at.run,
            "X-Aurea-Item": at.item or "-",
            "X-Aurea-Attempt": str(at.attempt),
            "X-Aurea-Role": at.role,
            "X-Aurea-Conversation": at.conversation,
            "X-Aurea-Step": str(at.step),
            "X-Aurea-Try": str(request.try_number),
        }
    return headers


def unique_ids(request: ModelRequest, said: list[str]) -> list[str]:
    """Ids for the calls of a reply: the server's, except where it sent none or one that was used before."""
    used = {call.id for m in request.messages if isinstance(m, AssistantMessage) for call in m.calls}
    ids: list[str] = []
    for n, id_ in enumerate(said, 1):
        base = f"call-{request.address.step}-{n}" if not id_ or id_.startswith(NO_CALL_ID) else id_
        chosen, copy = base, 1
        while chosen in used:
            copy += 1
            chosen = f"{base}-{copy}"
        used.add(chosen)
        ids.append(chosen)
    return ids


def to_arguments(said: object) -> dict[str, Any] | str:
    """Tool arguments as an object, or as the text that was sent where that is none."""
    if isinstance(said, dict):
        return said
    if said is None or said == "":
        return {}
    text = str(said)
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def paired(text: str) -> str:
    """`text` as it can be kept: halves of characters, which servers may send in two pieces, are put together."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable(reply: ModelReply) -> ModelReply:
    """`reply` as it can be kept. Models write halves of characters, as escapes, into the arguments of tools."""
    try:
        reply.model_dump_json()
    except PydanticSerializationError:
        return ModelReply.model_validate(_paired(reply.model_dump()))
    return reply


def _paired(value: Any) -> Any:
    if isinstance(value, str):
        return paired(value)
    if isinstance(value, dict):
        return {_paired(name): _paired(part) for name, part in value.items()}
    return [_paired(part) for part in value] if isinstance(value, list | tuple) else value


def redact(text: str, key: str = "") -> str:
    """`text` without the key and without anything that looks like one, cut to a readable length."""
    if key:
        text = text.replace(key, "***")
    text = KEY.sub("***", text)
    return text if len(text) <= DETAIL_LIMIT else text[:DETAIL_LIMIT] + " ..."
