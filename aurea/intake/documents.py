"""Reads a file or text into plain values with the place of each: size, encoding and characters are looked at here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from aurea.domain.errors import UsageError
from aurea.intake.compose import Composer
from aurea.intake.faults import Fault, Faults, Place, Places, end_of
from aurea.intake.scalars import kind_of

MAX_BYTES = 1024 * 1024

_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Document:
    """A file as plain values, with places, and the faults that did not keep it from being read."""

    data: dict[str, Any]
    places: Places
    faults: tuple[Fault, ...] = ()
    text: str | None = None


def read_file(path: Path, name: str, what: str = "spec") -> bytes:
    """The content of a file that is a spec, or `what`, at most one byte more than is allowed.

    `UsageError` where it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return read_stream(stream)
    except OSError as fault:
        reason = (fault.strerror or str(fault)).lower()
        raise UsageError(
            f"cannot read the {what} {name}: {reason}", remedy="check the path, or use --objective"
        ) from None


def read_stream(stream: BinaryIO) -> bytes:
    """What a stream holds, at most one byte more than is allowed."""
    return stream.read(MAX_BYTES + 1)


def parse(content: bytes | str, name: str, what: str = "spec") -> Document:
    """The one mapping that `content`, a spec or `what` it is, holds. `SpecFaults` where it cannot be read to its end."""
    faults = Faults(Places(Place(name, 1, 1)))
    text = _decode(content, name, faults)
    composer = Composer(name, faults)
    data = composer.document(text)
    if not isinstance(data, dict):
        words = "empty" if data is None else kind_of(data)
        composer.refuse(composer.places.root, f"a {what} is a mapping of keys to values, this is {words}")
    return Document(data, composer.places, tuple(faults.found), text)


def parse_value(text: str, name: str) -> Any:
    """One YAML value, as `--set` takes it. `SpecFaults` where it is none."""
    faults = Faults(Places(Place(name)))
    value = Composer(name, faults, numbered=False).document(_decode(text, name, faults))
    faults.stop()
    return value


def _decode(content: bytes | str, name: str, faults: Faults) -> str:
    if len(content) > MAX_BYTES:
        words = f"larger than {MAX_BYTES} bytes; a spec names large files, it does not hold them"
        faults.refuse(Place(name, 1, 1), (), words)
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
    except UnicodeDecodeError as fault:
        before = fault.object[: fault.start].decode("utf-8")
        words = f"byte {fault.start} (0x{fault.object[fault.start]:02x}) is not UTF-8; save the file as UTF-8"
        faults.refuse(end_of(before, name), (), words)
    text = text.removeprefix("\ufeff")
    control = _CONTROL.search(text)
    if control:
        words = f"the control character U+{ord(control[0]):04X} may not stand here"
        faults.refuse(end_of(text[: control.start()], name), (), words)
    if text.lstrip()[:1] in ("{", "[") and "\t" in text and _is_json(text):
        # JSON may be indented with tabs, YAML may not; in JSON a raw tab never stands inside a text.
        text = text.replace("\t", " ")
    return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
