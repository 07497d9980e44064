"""Answers kept across runs, by what exactly was asked of whom: for calls whose answers are meant to be the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from aurea.domain.errors import AureaError
from aurea.domain.messages import ModelReply, ModelRequest, Usage
from aurea.ledger.chain import digest
from aurea.ledger.files import write_atomic
from aurea.ports import ModelClient

VERSION = 1
KEPT = ("stop", "tool_calls")  # answers that came to their own end


class CacheClient:
    """Answers a call from an earlier answer to the same one, for which nothing is asked, held back or paid.

    Only calls whose options pin temperature 0 or a seed are looked up and kept. The key covers provider, address, model,
    options, limit of the answer, messages and tools. `address` names the server of a provider; None: never cached.
    """

    def __init__(self, inner: ModelClient, *, folder: Path, address: Callable[[str], str | None]) -> None:
        self._inner = inner
        self._folder = folder
        self._address = address

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The kept answer, marked `cached` and without usage; else what `inner` answers, which is kept."""
        address = self._address(request.model.provider)
        if address is None or not pinned(request):
            return await self._inner.complete(request)
        path = self._path(request, address)
        kept = _read(path)
        if kept is not None:
            return kept.model_copy(update={"usage": Usage(), "cached": True})
        reply = await self._inner.complete(request)
        if reply.finish in KEPT:
            with suppress(AureaError, OSError):  # a full disk is no reason to lose an answer
                write_atomic(path, reply.model_dump_json() + "\n")
        return reply

    def _path(self, request: ModelRequest, address: str) -> Path:
        asked = {
            "version": VERSION,
            "address": address,
            **request.model_dump(mode="json", include={"model", "messages", "tools", "max_output_tokens"}),
        }
        name = digest(json.dumps(asked, sort_keys=True)).rpartition(":")[2]
        return self._folder / name[:2] / f"{name}.json"


def pinned(request: ModelRequest) -> bool:
    """Whether the options of a call ask for the same answer each time."""
    options = request.model.options
    seed, temperature = options.get("seed"), options.get("temperature")
    return seed is not None or (temperature is not None and not isinstance(temperature, bool) and temperature == 0)


def _read(path: Path) -> ModelReply | None:
    try:
        reply = ModelReply.model_validate_json(path.read_text(encoding="utf-8"))
        path.touch()  # what is used stays
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
    return reply
