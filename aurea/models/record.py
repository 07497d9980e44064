"""The outermost layer of a recorded run (`--record FILE`): writes every answer into a cassette, once."""

from __future__ import annotations

import asyncio
import logging

from aurea.domain.errors import AureaError
from aurea.domain.messages import Address, ModelReply, ModelRequest
from aurea.models.asked import Asked, PartsOf, asked, texts
from aurea.models.cassette import Answer, Key, RecordedCall
from aurea.models.fingerprint import fingerprint
from aurea.models.tape import Tape
from aurea.ports import Ledger, ModelClient

LONGEST_TEXT = 8_000  # characters of a prompt's part that a recording keeps, for a later look at what was changed

_log = logging.getLogger(__name__)


class RecordingClient:
    """Writes what `inner` answers onto `tape`, with what had been asked.

    It stands outside the journal: a resumed run goes on with its file. What reached the journal and not the tape (a
    crash, a file that was taken away) is written when it is given again, or at `close`.
    """

    def __init__(self, inner: ModelClient, tape: Tape, run: str, ledger: Ledger, parts: PartsOf) -> None:
        self._inner = inner
        self._tape = tape
        self._run = run
        self._ledger = ledger
        self._parts = parts
        self._standing: dict[tuple[str | None, int, str], Asked] = {}
        self._told = tape.texts

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers, after it was written down; `Blocked` where the file cannot be written."""
        reply = await self._inner.complete(request)
        at, parts = request.address, self._parts(request.address)
        now, before = asked(request, parts), self._standing.get(at.key[:3], Asked())
        if at.key not in self._tape.known:
            written = now.after(before)
            new = {name: text for name, text in texts(request, parts).items() if self._is_news(written, name, text)}
            answer = recorded(at, reply, fingerprint(request), written, new)
            await asyncio.to_thread(self._tape.write, answer)  # a long text takes a while to be written as YAML
            self._told |= set(new)
        self._standing[at.key[:3]] = now.with_standing(before)
        return reply

    def close(self) -> None:
        """Write what is in the journal only, and let go of the file."""
        try:
            state = self._ledger.state(self._run)
            for key, body in state.journal.items():
                call = state.asked.get(key)
                if key in self._tape.known or call is None or key[1] < 1:
                    continue
                at = _address(self._run, key, call.role)
                reply = ModelReply.model_validate_json(self._ledger.body(body))
                self._tape.write(recorded(at, reply, call.fingerprint, Asked()))
        except AureaError as fault:
            _log.warning("the recording %s is not complete: %s", self._tape.path, fault)
        finally:
            self._tape.close()

    def _is_news(self, written: Asked, name: str, text: str) -> bool:
        """Whether a text is to be kept: behind a hash that is written here, for the first time, and no book."""
        here = name == written.system or name in written.task.values()
        return here and name not in self._told and len(text) <= LONGEST_TEXT


def recorded(
    at: Address, reply: ModelReply, fingerprint: str, asked: Asked, texts: dict[str, str] | None = None
) -> Answer:
    """An answer as a cassette holds it."""
    usual = "tool_calls" if reply.calls else "stop"
    return Answer(
        item=at.item,
        attempt=at.attempt,
        role=at.role,
        conversation=at.conversation,
        step=at.step,
        text=reply.text,
        calls=tuple(RecordedCall(id=call.id, name=call.name, arguments=call.arguments) for call in reply.calls),
        usage=reply.usage,
        finish=None if reply.finish == usual else reply.finish,
        model=reply.model,
        fingerprint=fingerprint,
        texts=texts or {},
        asked=asked,
    )


def _address(run: str, key: Key, role: str) -> Address:
    item, attempt, conversation, step = key
    return Address(run=run, item=item, attempt=attempt, role=role, conversation=conversation, step=step)
