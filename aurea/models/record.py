"""The outermost layer of a recorded run (`--record FILE`): writes every answer into a cassette, once."""

from __future__ import annotations

from pathlib import Path

from aurea.domain.errors import UsageError
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.cassette import Answer, Key, RecordedCall, read_cassette, write_answer, write_header
from aurea.models.fingerprint import fingerprint
from aurea.ports import ModelClient


class RecordingClient:
    """Appends what `inner` answers to the cassette at `path`.

    It stands outside the journal: a resumed run goes on with the file, and answers that only reached the journal before
    a crash are written when they are given again.
    """

    def __init__(self, inner: ModelClient, path: Path, run: str) -> None:
        self._inner = inner
        self._path = path
        self._known = require_recordable(path, run)
        if not path.exists() or not path.stat().st_size:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(write_header(run), encoding="utf-8")

    async def complete(self, request: ModelRequest) -> ModelReply:
        """What `inner` answers, after it was written down."""
        reply = await self._inner.complete(request)
        answer = recorded(request, reply)
        if answer.key not in self._known:
            # Unbuffered, so that one answer is one write and a crash leaves no half of one.
            with self._path.open("ab", buffering=0) as file:
                file.write(write_answer(answer).encode())
            self._known.add(answer.key)
        return reply


def require_recordable(path: Path, run: str | None) -> set[Key]:
    """The places that the cassette at `path` holds of `run` (None: a new run); `UsageError` where it is another's."""
    if path.is_dir():
        raise UsageError(f"--record: {str(path)!r} is a folder", remedy="name a file in it")
    if not path.exists() or not path.stat().st_size:
        return set()
    cassette = read_cassette(path)
    if run is None or cassette.header.get("run") != run:
        raise UsageError(
            f"{path} holds the recording of run {cassette.header.get('run')!r}",
            remedy="give `--record` a file that does not exist yet",
        )
    return set(cassette.answers)


def recorded(request: ModelRequest, reply: ModelReply) -> Answer:
    """An answer as a cassette holds it."""
    at = request.address
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
        fingerprint=fingerprint(request),
    )
