"""Provider `replay`: answers model calls from a cassette, by their place in the run."""

from __future__ import annotations

from dataclasses import dataclass

from aurea.domain.errors import Blocked
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.cassette import Cassette, Key, place
from aurea.models.fingerprint import fingerprint
from aurea.ports import Clock


@dataclass(frozen=True)
class Drift:
    """A place where something else was asked than when the cassette was recorded."""

    key: Key
    recorded: str
    asked: str


class ReplayClient:
    """Plays a cassette. `drift` lists the places where what was asked differs from the recording; it stops nothing."""

    def __init__(self, cassette: Cassette, clock: Clock) -> None:
        self._cassette = cassette
        self._clock = clock
        self.drift: list[Drift] = []

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The recorded answer, after its delay; `Blocked` where the cassette has none for this place."""
        key = request.address.key
        answer = self._cassette.answers.get(key)
        if answer is None:
            raise Blocked(
                f"the cassette {self._cassette.path} has no answer for {place(key)}",
                remedy=self._remedy(key),
            )
        if answer.fingerprint is not None and (asked := fingerprint(request)) != answer.fingerprint:
            self.drift.append(Drift(key, answer.fingerprint, asked))
        if answer.delay_s > 0:
            await self._clock.sleep(answer.delay_s)
        reply = answer.reply()
        return reply if reply.model else reply.model_copy(update={"model": request.model.name})

    async def close(self) -> None:
        """Nothing is held."""

    def _remedy(self, key: Key) -> str:
        item, attempt, conversation, _ = key
        known = [k[3] for k in self._cassette.answers if k[:3] == (item, attempt, conversation)]
        if known:
            return f"it ends after step {max(known)} of this conversation: add the step, or record the run again"
        return "add the conversation to it, record the run again (`--record FILE`), or name another provider"
