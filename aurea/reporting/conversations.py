"""The conversations of a run, read from its folder and cut to what a reader of the report can take in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aurea.reporting.text import clean

MOST_BYTES = 1_500_000  # of all conversations together; the files hold the whole
_MOST_MESSAGES, _FIRST = 60, 4
_MOST_CHARS = 1_600
_MOST_FILE = 20_000_000


def conversations(folder: Path, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every conversation that has a file: where it stands, and its messages; None where there was no room for them."""
    left = MOST_BYTES
    found = []
    for title, path in _files(folder, document):
        messages = _messages(path) if left > 0 and path.stat().st_size <= _MOST_FILE else None
        if messages is not None:
            left -= sum(len(message["text"]) for message in messages)
        found.append({"title": title, "path": path.relative_to(folder).as_posix(), "messages": messages})
    return found


def of_item(
    folder: Path, document: Mapping[str, Any], item: str, attempt: int | None, most: int
) -> list[dict[str, Any]]:
    """The conversations of a work item, or of one attempt at it, oldest first, each message in `most` characters."""
    found = []
    for entry in (entry for entry in document["items"] if entry["id"] == item):
        for title, path in _of_attempts(folder / "logs", entry, attempt):
            messages = _messages(path, most) if path.stat().st_size <= _MOST_FILE else None
            found.append({"title": title, "path": path.relative_to(folder).as_posix(), "messages": messages})
    return found


def _files(folder: Path, document: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    logs = folder / "logs"
    for path in sorted((logs / "_plan").glob("*/*.jsonl")):
        yield f"planning, round {path.parent.name}", path
    for item in document["items"]:
        yield from _of_attempts(logs, item)


def _of_attempts(logs: Path, item: Mapping[str, Any], only: int | None = None) -> Iterator[tuple[str, Path]]:
    for attempt in item["attempts"]:
        if only not in (None, attempt["number"]):
            continue
        place = logs / item["id"] / str(attempt["number"])
        for path in sorted(place.glob("*.jsonl")):
            who = attempt["role"] if path.stem == "conversation" else path.stem
            yield f"{item['id']}, attempt {attempt['number']}: {who}", path


def _messages(path: Path, most: int = _MOST_CHARS) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    shown: Sequence[str] = lines
    if len(lines) > _MOST_MESSAGES:
        shown = [*lines[:_FIRST], "", *lines[-(_MOST_MESSAGES - _FIRST) :]]
    found = []
    for line in shown:
        if not line:
            found.append({"who": "", "tool": "", "text": f"… {len(lines) - _MOST_MESSAGES} messages left out"})
            continue
        try:
            found.append(message(json.loads(line), most))
        except (ValueError, AttributeError):
            continue  # the end of a line that a crash cut off
    return found


def message(line: Mapping[str, Any], most: int = _MOST_CHARS) -> dict[str, Any]:
    """A stored message for people: who says it, and its text with its calls, every piece cut to `most` characters."""
    parts = [_short(str(line.get("text") or ""), most), *(_call(call, most) for call in line.get("calls") or ())]
    who = {"who": str(line.get("role", "")), "tool": str(line.get("name") or "")}
    return {**who, "text": "\n".join(part for part in parts if part)}


def _call(call: Mapping[str, Any], most: int) -> str:
    """A tool call as people read it: short arguments on its line, those of several lines below it."""
    arguments = call.get("arguments")
    if not isinstance(arguments, dict):
        return f"→ {call.get('name')} {_short(str(arguments), most)}"
    words, blocks = [], []
    for name, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if "\n" in text:
            blocks.append(f"{name}:\n{_short(text, most)}")
        else:
            words.append(f"{name}: {_short(text, most)}")
    return "\n".join([f"→ {call.get('name')} {', '.join(words)}".rstrip(), *blocks])


def _short(text: str, most: int) -> str:
    text = clean(text).strip("\n")
    if len(text) <= most:
        return text
    return f"{text[: most * 3 // 4]}\n… {len(text) - most} characters …\n{text[-(most // 4) :]}"
