"""The conversation as it stands in memory and in the run folder: one canonical message per line, with step and time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from aurea.agents.tools.text import storable
from aurea.domain.events import timestamp
from aurea.domain.messages import Message


class Transcript:
    """Messages in order, written to `path` as they are added.

    A conversation that is taken up again writes the file from its start; lines that stood there keep their time.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self.messages: list[Message] = []
        self._now = now
        self._lines = 0
        self._before = _lines(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("w", encoding="utf-8")

    def add(self, step: int, message: Message) -> None:
        """The next message, which belongs to model turn `step` (0: before the first)."""
        self.messages.append(message)
        self._write({"step": step, **message.model_dump(mode="json")})

    def note(self, step: int, text: str) -> None:
        """Something that readers of the log should know, and that is not said to the model."""
        self._write({"step": step, "role": "note", "text": text})

    def _write(self, line: dict[str, Any]) -> None:
        old = self._before[self._lines] if self._lines < len(self._before) else {}
        known = {key: value for key, value in old.items() if key != "ts"} == line
        line["ts"] = old["ts"] if known else timestamp(self._now())
        self._lines += 1
        self._file.write(storable(json.dumps(line, ensure_ascii=False)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Looks:
    """What one who looks on was shown and said, look after look, in the file `path`; what a crash repeats stands there once."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now

    def add(self, number: int, *messages: Message, note: str = "") -> None:
        """Look number `number`, whole: its messages, and a note for readers of the log."""
        before = _lines(self._path)
        if any(line.get("step") == number for line in before):
            return
        said: list[dict[str, Any]] = [message.model_dump(mode="json") for message in messages]
        said = [line for line in said if not before or line["role"] != "system"]  # the same each time
        said += [{"role": "note", "text": note}] if note else []
        lines = [{"step": number, **line, "ts": timestamp(self._now())} for line in said]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(storable(json.dumps(line, ensure_ascii=False)) + "\n" for line in lines))


def _lines(path: Path) -> list[dict[str, Any]]:
    """What stands in the file, up to a line that a crash left half written."""
    found: list[dict[str, Any]] = []
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            value = json.loads(line)
        except ValueError:
            break
        if not isinstance(value, dict) or "ts" not in value:
            break
        found.append(value)
    return found
