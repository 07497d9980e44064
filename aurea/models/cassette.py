"""Cassettes on disk: a YAML stream of recorded model answers that people can read, write and correct."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from aurea.domain.errors import UsageError
from aurea.domain.messages import ModelReply, ToolCall, Usage, Value
from aurea.models.asked import Asked

SCHEMA = "aurea.cassette/1"
SIZE_LIMIT = 64 * 1024 * 1024
MOST_FAULTS = 20  # that are told at once

Key = tuple[str | None, int, str, int]


class RecordedCall(Value):
    """A tool call as a cassette holds it; without an `id` it gets one from its place."""

    name: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    id: str | None = None


class Answer(Value):
    """One recorded answer and its place. `delay_s` simulates the time it took.

    `asked` and `fingerprint` are what had been asked, `texts` what stands behind hashes of `asked` for the first time,
    `masked` the variables whose values stood in it.
    """

    item: str | None = None
    attempt: int = Field(default=1, ge=1)
    role: str
    conversation: str
    step: int = Field(default=1, ge=1)
    text: str = ""
    calls: tuple[RecordedCall, ...] = ()
    usage: Usage = Usage()
    finish: Literal["stop", "tool_calls", "length", "refused", "other"] | None = None
    model: str = ""
    delay_s: float = Field(default=0.0, ge=0)
    fingerprint: str | None = None
    masked: tuple[str, ...] = ()
    texts: dict[str, str] = Field(default_factory=dict)
    asked: Asked | None = None

    @property
    def key(self) -> Key:
        """The place within a run, as `Address.key` has it."""
        return (self.item, self.attempt, self.conversation, self.step)

    def reply(self) -> ModelReply:
        """The answer as a client gives it."""
        calls = tuple(
            ToolCall(id=call.id or f"call-{self.step}-{n}", name=call.name, arguments=call.arguments)
            for n, call in enumerate(self.calls, 1)
        )
        finish = self.finish or ("tool_calls" if calls else "stop")
        return ModelReply(text=self.text, calls=calls, usage=self.usage, finish=finish, model=self.model)


class Cassette(Value):
    """All answers of one file, by place. `header` is its first document."""

    path: str
    header: dict[str, Any]
    answers: dict[Key, Answer]

    def asked(self, key: Key) -> Asked | None:
        """What had been asked at a place, with what holds there from earlier steps; None where it does not say."""
        answer = self.answers.get(key)
        if answer is None or answer.asked in (None, Asked()):  # an empty one stands where only the answer was kept
            return None
        found = answer.asked or Asked()
        for step in range(key[3] - 1, 0, -1):
            before = self.answers.get((*key[:3], step))
            if before is not None and before.asked is not None:
                found = found.with_standing(before.asked)
        return found

    def texts(self) -> dict[str, str]:
        """What had been told, by hash, as far as the recording keeps it."""
        return {name: text for answer in self.answers.values() for name, text in answer.texts.items()}


def read_cassette(path: Path) -> Cassette:
    """The cassette at `path`; `UsageError` lists the faults, each with file and line."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise UsageError(f"{path}: a cassette may have {SIZE_LIMIT // 2**20} MB at most")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the cassette {path} cannot be read: {error}") from error
    yaml = YAML(typ="safe")
    header: dict[str, Any] = {}
    answers: dict[Key, Answer] = {}
    lines: dict[Key, int] = {}
    faults: list[str] = []
    try:
        for number, node in enumerate(yaml.compose_all(text)):
            if node is None:
                continue
            line = node.start_mark.line + 1
            document = yaml.constructor.construct_document(node)
            if number == 0:
                header = _header(path, document, line)
                continue
            try:
                answer = Answer.model_validate(document)
            except ValidationError as error:
                faults += [f"{path}:{_line(node, e['loc'])}: {_where(e['loc'])}: {e['msg']}" for e in error.errors()]
                continue
            if answer.key in answers:
                faults.append(f"{path}:{line}: {place(answer.key)} was answered in line {lines[answer.key]} already")
            answers[answer.key], lines[answer.key] = answer, line
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.append(f"{path}:{mark.line + 1 if mark else 1}: {error.problem or error.context}")
    except YAMLError as error:
        faults.append(f"{path}:1: {error}")
    if faults:
        raise UsageError(_listed(faults), remedy="docs/providers.md describes the format")
    if not header:
        raise UsageError(f"{path}:1: an empty cassette; the first document is `schema: {SCHEMA}`")
    return Cassette(path=str(path), header=header, answers=answers)


def _listed(faults: list[str]) -> str:
    more = len(faults) - MOST_FAULTS
    return "\n".join([*faults[:MOST_FAULTS], *([f"and {more} more"] if more > 0 else [])])


def place(key: Key) -> str:
    """A place in words."""
    item, attempt, conversation, step = key
    of = f"item {item!r}, attempt {attempt}" if item else f"no item, attempt {attempt}"
    return f"{of}, conversation {conversation!r}, step {step}"


def _header(path: Path, document: Any, line: int) -> dict[str, Any]:
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UsageError(f"{path}:{line}: no cassette: the first document must say `schema: {SCHEMA}`")
    return document


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "document"


def _line(node: Any, location: tuple[int | str, ...]) -> int:
    """The line of the deepest node that `location` leads to."""
    mark: int = node.start_mark.line
    for part in location:
        found = None
        if isinstance(part, int) and isinstance(node.value, list) and part < len(node.value):
            found = node.value[part]
            mark = found.start_mark.line if not isinstance(found, tuple) else mark
        elif isinstance(node.value, list):
            for pair in node.value:
                if isinstance(pair, tuple) and pair[0].value == part:
                    mark, found = pair[0].start_mark.line, pair[1]
        if found is None or isinstance(found, tuple):
            break
        node = found
    return mark + 1


def write_header(run: str, **about: Any) -> str:
    """The first document of a new cassette, as text."""
    return _dump({"schema": SCHEMA, "run": run, **about})


def write_answer(answer: Answer) -> str:
    """One answer as a further document, with long texts as blocks; what has its default is left out.

    What had been asked stands last, on one line: a document that ends with it is whole.
    """
    shown = answer.model_dump(mode="json", exclude_defaults=True)
    document = {"item": answer.item, "attempt": answer.attempt, "role": answer.role}
    document |= {"conversation": answer.conversation, "step": answer.step}
    document |= {name: value for name, value in shown.items() if name not in document}
    asked = document.pop("asked", None)
    text = _dump(document)
    if asked is None:
        return f"---\n{text}"
    if text.endswith("\n...\n"):  # where the last of it ends with empty lines, the document is ended
        text = text.removesuffix("...\n")
    return f"---\n{text}asked: {json.dumps(asked, ensure_ascii=False)}\n"


def _dump(document: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.width = 1_000_000
    out = StringIO()
    yaml.dump(_blocks(document), out)
    return out.getvalue()


def _blocks(value: Any) -> Any:
    """`value` with every text marked for how it is written: lines as a literal block, what none can hold with escapes."""
    from ruamel.yaml.scalarstring import LiteralScalarString

    if isinstance(value, dict):
        return {_escaped(name): _blocks(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_blocks(part) for part in value]
    if isinstance(value, str) and "\n" in value and _fits_a_block(value):
        return LiteralScalarString(value)
    return _escaped(value)


def _escaped(value: Any) -> Any:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    return DoubleQuotedScalarString(value) if isinstance(value, str) and not value.isprintable() else value


def _fits_a_block(text: str) -> bool:
    """Blocks cannot hold carriage returns, control characters, or text that begins with white space."""
    lines: Iterator[str] = iter(text.split("\n"))
    printable = all(line.isprintable() or line.replace("\t", "").isprintable() for line in lines)
    return printable and not text[0].isspace()
