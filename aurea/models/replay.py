"""Provider `replay`: answers model calls from a cassette, by their place in the run, and records what is asked otherwise."""

from __future__ import annotations

from aurea.domain.errors import Blocked, Permanent
from aurea.domain.events import Difference, Draft, ReplayDrifted
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.asked import PartsOf, asked, differences
from aurea.models.cassette import Cassette, Key, place
from aurea.models.fingerprint import fingerprint
from aurea.ports import Clock, Ledger

# What holds for a whole conversation is told of once, at the step where it begins.
_LASTING = ("system", "task", "tools", "model", "options")


class ReplayClient:
    """Plays a cassette. A place where what is asked differs from the recording is a `replay.drifted`; it stops nothing.

    `parts` knows the parts of a conversation's task.
    """

    def __init__(self, cassette: Cassette, clock: Clock, run: str, ledger: Ledger, parts: PartsOf) -> None:
        self._cassette = cassette
        self._clock = clock
        self._run = run
        self._ledger = ledger
        self._parts = parts

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The recorded answer, after its delay; `Blocked` where the cassette has none (`Permanent` for a guardian)."""
        key = request.address.key
        answer = self._cassette.answers.get(key)
        if answer is None:
            # When a guardian looks depends on the clock, and nobody waits for what it says.
            fault = Permanent if request.address.role == "guardian" else Blocked
            raise fault(f"the cassette {self._cassette.path} has no answer for {place(key)}", remedy=self._remedy(key))
        await self._look(request)
        if answer.delay_s > 0:
            await self._clock.sleep(answer.delay_s)
        reply = answer.reply()
        return reply if reply.model else reply.model_copy(update={"model": request.model.name})

    async def close(self) -> None:
        """Nothing is held."""

    async def _look(self, request: ModelRequest) -> None:
        """Record what differs at this place, once: not again when a crash has it asked a second time."""
        at = request.address
        drifted = self._ledger.state(self._run).drifted
        if at.key in drifted:
            return
        before = {
            one for key, fact in drifted.items() if key[:3] == at.key[:3] for one in fact.differences
            if one.kind in _LASTING
        }  # fmt: skip
        found = tuple(one for one in self._differences(request) if one not in before)
        if found:
            fact = ReplayDrifted(conversation=at.conversation, step=at.step, differences=found)
            draft = Draft(fact=fact, actor="agent", item=at.item, attempt=at.attempt)
            await self._ledger.record(self._run, [draft])

    def _differences(self, request: ModelRequest) -> tuple[Difference, ...]:
        key = request.address.key
        answer = self._cassette.answers[key]
        recorded = self._cassette.asked(key)
        if recorded is not None:
            return differences(recorded, asked(request, self._parts(request.address)), request)
        same = answer.asked is not None or answer.fingerprint in (None, fingerprint(request))
        return () if same else (Difference(kind="unknown"),)

    def _remedy(self, key: Key) -> str:
        item, attempt, conversation, _ = key
        known = [k[3] for k in self._cassette.answers if k[:3] == (item, attempt, conversation)]
        if known:
            return f"it ends after step {max(known)} of this conversation: add the step, or record the run again"
        return "add the conversation to it, record the run again (`--record FILE`), or name another provider"
