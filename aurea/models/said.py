"""What a model says while it is asked, told as events: pieces gathered for a while, so that watching costs next to nothing."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from aurea.domain import events as ev
from aurea.domain.errors import AureaError
from aurea.domain.messages import ModelRequest
from aurea.domain.work_facts import Saying
from aurea.ledger.chain import digest
from aurea.models.hearing import Kind
from aurea.models.prices import CHARS_PER_TOKEN
from aurea.models.wires.plain import paired
from aurea.ports import Clock, Ledger

EVERY_S = 2.0  # at most so often an event is recorded, and none of a call that is over sooner
SHARE = 10  # of the time that a call has taken, so much later its words may come: long calls make few events
MOST = 4_000  # characters of one event
LONGEST_WORD = 40  # some scripts have no spaces

Run = tuple[Saying, str]  # what came of one kind without a break

_log = logging.getLogger(__name__)


class Said:
    """Listens to one call and records `model.said` now and then. Nothing is recorded of a call that is soon over.

    `sign` is called for whatever comes. A ledger that does not take it ends the telling, not the call.
    """

    def __init__(
        self, request: ModelRequest, *, run: str, ledger: Ledger, clock: Clock, sign: Callable[[], None]
    ) -> None:
        self.sign = sign
        self._request = request
        self._run = run
        self._ledger = ledger
        self._clock = clock
        self._heard: list[tuple[Kind, str]] = []
        self._characters = 0
        self._telling: asyncio.Task[None] | None = None

    def hear(self, kind: Kind, text: str) -> None:
        """Keep a piece until it is told."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell())
        self._characters += len(text)
        self._heard.append((kind, text))

    async def close(self) -> None:
        """The call is over: what was not told yet is in its answer."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})

    async def _tell(self) -> None:
        began = self._clock.monotonic()
        while True:
            taken = self._clock.monotonic() - began
            await self._clock.sleep(max(EVERY_S, taken / SHARE))
            if not self._heard:
                continue
            told, rest = whole_words(runs_of(self._heard))
            self._heard = rest
            if not told:
                continue
            try:
                await self._record(told)
            except AureaError as error:
                _log.debug("what a model says is not recorded: %s", error)
                return

    async def _record(self, told: list[Run]) -> None:
        at = self._request.address
        bodies: dict[str, str] = {}
        drafts: list[ev.Draft] = []
        for kind, whole in told:
            text = paired(_cut(whole))
            body = digest(text) if text else ""
            bodies |= {body: text} if text else {}
            said = ev.ModelSaid(
                conversation=at.conversation,
                role=at.role,
                step=at.step,
                kind=kind,
                body=body,
                tokens=math.ceil(self._characters / CHARS_PER_TOKEN),
            )
            drafts.append(ev.Draft(fact=said, actor="agent", item=at.item, attempt=at.attempt))
        await self._ledger.record(self._run, drafts, bodies)


def runs_of(heard: list[tuple[Kind, str]]) -> list[Run]:
    """Pieces put together: one text for each run of pieces of a kind.

    Arguments are counted, not told: they come whole with the answer, and may be a file. Where there is nothing else, an
    empty text says that the call goes on.
    """
    runs: list[tuple[Saying, list[str]]] = []
    for kind, text in heard:
        if kind == "arguments":
            continue
        if not runs or runs[-1][0] != kind:
            runs.append((kind, []))
        runs[-1][1].append(text)
    told: list[Run] = [(kind, ("\n" if kind == "tool" else "").join(texts)) for kind, texts in runs]
    return told or [("tool", "")]


def whole_words(runs: list[Run]) -> tuple[list[Run], list[tuple[Kind, str]]]:
    """What can be told, and the beginning of a word that waits for its end."""
    *before, (kind, text) = runs
    if kind == "tool":
        return runs, []
    end = max(text.rfind(" "), text.rfind("\n")) + 1
    if not end and len(text) >= LONGEST_WORD:
        return runs, []
    told: list[Run] = [(kind, text[:end])] if end else []
    return [*before, *told], [(kind, text[end:])] if text[end:] else []


def _cut(text: str) -> str:
    if len(text) <= MOST:
        return text
    half = MOST // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"
