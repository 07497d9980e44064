"""Where a spec comes from: a file, standard input, a text, or an object."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from aurea.intake.documents import Document, parse, read_file, read_stream
from aurea.intake.faults import Faults, Place, Places
from aurea.intake.repository import DEFAULTS

Source = Path | str | Mapping[str, Any] | None

UNNAMED = "<spec>"
STDIN = "<stdin>"


@dataclass(frozen=True)
class Written:
    """A spec as it was given. Relative paths in it start at `folder`; `file` is None where it stands in no file."""

    document: Document
    folder: Path
    name: str
    file: Path | None = None

    @property
    def is_defaults(self) -> bool:
        """Whether this is a repository's own `aurea.yaml`, given by name."""
        return self.file is not None and self.file.name == DEFAULTS and (self.folder / ".git").exists()


def read_source(source: Source, cwd: Path, stdin: BinaryIO | None = None) -> Written | None:
    """Read the spec; None where none was given. A text of several lines, or of `key: value`, is YAML, any other a path.

    `SpecFaults` where it cannot be understood, `UsageError` where it cannot be read.
    """
    if source is None:
        return None
    if isinstance(source, Mapping):
        return Written(_from_mapping(source), cwd, UNNAMED)
    if source == "-":
        content = read_stream(stdin if stdin is not None else sys.stdin.buffer)
        return Written(parse(content, STDIN), cwd, STDIN)
    if isinstance(source, str) and ("\n" in source or ": " in source or source.lstrip().startswith("{")):
        return Written(parse(source, UNNAMED), cwd, UNNAMED)
    name = str(source)
    file = (cwd / source).resolve()
    return Written(parse(read_file(file, name), name), file.parent, name, file)


def _from_mapping(data: Mapping[str, Any]) -> Document:
    """An object, as a program gives it, turned into plain values."""
    places = Places(Place(UNNAMED))
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, indent=2)
    except (TypeError, ValueError, RecursionError) as wrong:
        Faults(places).refuse(places.root, (), f"cannot be written as JSON: {wrong}")
    return Document(json.loads(text), places, text=text)
