"""Builds plain values from YAML, with the place of each, counting as it goes so that no document can explode."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from aurea.intake.faults import Faults, KeyPath, Place, Places, end_of
from aurea.intake.scalars import AmbiguousScalar, scalar_value
from aurea.intake.wording import yaml_words

MAX_DEPTH = 40
MAX_ALIASES = 100
MAX_VALUES = 20_000

_ESCAPE = re.compile(r"\\U([0-9A-Fa-f]{8})")
_LAST_CHARACTER = 0x10FFFF


@dataclass
class Composer:
    """Composes one document. `numbered`: places have lines and columns (a flag's value has none)."""

    name: str
    faults: Faults
    numbered: bool = True
    places: Places = field(init=False)
    path: KeyPath = ()
    values: int = 0
    aliases: int = 0
    anchors: dict[str, tuple[KeyPath, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = Places(self.faults.places.root)

    def refuse(self, place: Place, message: str) -> NoReturn:
        """Stop here: what follows cannot be understood."""
        self.faults.refuse(place, self.path, message)

    def document(self, text: str) -> Any:
        """The only document in `text`; None where there is none. `SpecFaults` where it cannot be read to its end."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            return self._only(YAML(typ="safe", pure=True).parse(text))
        except MarkedYAMLError as fault:
            mark, words = yaml_words(fault)
            self.refuse(self._place(mark) if mark else self.places.of(self.path), words)
        except (YAMLError, ValueError, OverflowError) as fault:
            # What is left are escapes of characters that do not exist.
            wrong = next((m for m in _ESCAPE.finditer(text) if int(m[1], 16) > _LAST_CHARACTER), None)
            place = end_of(text[: wrong.start()], self.name) if wrong else self.places.of(self.path)
            self.refuse(place, f"no character is called `{wrong[0]}`" if wrong else f"cannot be read as YAML: {fault}")

    def _only(self, events: Iterator[Any]) -> Any:
        from ruamel.yaml import events as y

        data, seen = None, False
        for event in events:
            if isinstance(event, y.DocumentStartEvent):
                if event.version not in (None, (1, 2)):
                    self.refuse(self._place(event.start_mark), "specs are read as YAML 1.2; take the %YAML line away")
                if seen:
                    self.refuse(self._place(event.start_mark), "a second document begins; a spec is one document")
                seen = True
                first = next(events)
                self.places.root = self._place(first.start_mark)
                data = self._node(first, events, ())
        return data

    def _place(self, mark: Any) -> Place:
        return Place(self.name, mark.line + 1, mark.column + 1) if self.numbered else Place(self.name)

    def _node(self, event: Any, events: Iterator[Any], path: KeyPath, key: Place | None = None) -> Any:
        """The value that begins with `event`; takes the events up to its end."""
        from ruamel.yaml import events as y

        self.path = path
        place = self._place(event.start_mark)
        if key is not None and event.start_mark.index == event.end_mark.index:
            place = key  # A value that was left out stands nowhere; the reader says where the next thing begins.
        self._bound(place, 1, len(path))
        self.places.put(path, place, key)
        value: Any
        if isinstance(event, y.AliasEvent):
            value = self._alias(event, path, place, key)
        elif isinstance(event, y.ScalarEvent):
            value = self._scalar(event, path, place)
        elif isinstance(event, y.SequenceStartEvent):
            self._standard(event, path, place, "seq")
            value = self._sequence(events, path)
        else:
            self._standard(event, path, place, "map")
            value = self._mapping(events, path)
        self.path = path
        if event.anchor and not isinstance(event, y.AliasEvent):
            self.anchors[event.anchor] = (path, value)
        return value

    def _bound(self, place: Place, values: int, depth: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            self.refuse(place, f"more than {MAX_VALUES} values, with aliases counted as what they stand for")
        if depth > MAX_DEPTH:
            self.path = self.path[:3]
            self.refuse(place, f"nested deeper than {MAX_DEPTH} levels")

    def _alias(self, event: Any, path: KeyPath, place: Place, key: Place | None) -> Any:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self.refuse(place, f"more than {MAX_ALIASES} aliases")
        if event.anchor not in self.anchors:
            self.refuse(place, f"the alias *{event.anchor} stands for nothing that was written before it")
        source, value = self.anchors[event.anchor]
        size, height = _extent(value)
        self._bound(place, size, len(path) + height)
        self.places.graft(self.places, source, path)
        self.places.put(path, place, key)
        return _copy(value)

    def _sequence(self, events: Iterator[Any], path: KeyPath) -> list[Any]:
        from ruamel.yaml import events as y

        found: list[Any] = []
        while not isinstance(event := next(events), y.SequenceEndEvent):
            found.append(self._node(event, events, (*path, len(found))))
        return found

    def _mapping(self, events: Iterator[Any], path: KeyPath) -> dict[str, Any]:
        from ruamel.yaml import events as y

        found: dict[str, Any] = {}
        while not isinstance(event := next(events), y.MappingEndEvent):
            self.path = path
            place = self._place(event.start_mark)
            key = self._key(event, events, path, place)
            self.path = path if key is None else (*path, key)
            if key is not None and key not in found:
                found[key] = self._node(next(events), events, (*path, key), place)
                continue
            if key is not None:
                first = self.places.of((*path, key), key=True).line
                note = f" (first in line {first})" if first else ""
                self.faults.put(place, (*path, key), f"the key {key!r} stands here twice{note}")
            self._aside(next(events), events, (*path, key or "?"))
        return found

    def _key(self, event: Any, events: Iterator[Any], path: KeyPath, place: Place) -> str | None:
        """The text of a key; None, with a fault, where it is none."""
        from ruamel.yaml import events as y

        if not isinstance(event, y.ScalarEvent):
            self.refuse(place, "a key must be text; `{`, `[` and `*` begin something else unless they are quoted")
        self._bound(place, 1, len(path))
        if event.implicit[0] and event.value == "<<":
            self.faults.put(place, path, "merge keys (`<<`) are not part of YAML 1.2; write the keys out")
            return None
        key = self._scalar(event, path, place)
        if not isinstance(key, str):
            self.faults.put(place, path, f"a key must be text; write it in quotes: {json.dumps(event.value)}")
            return None
        return key

    def _aside(self, event: Any, events: Iterator[Any], path: KeyPath) -> None:
        """Read a value that has no place in the result, so that its own faults are told too."""
        places, self.places = self.places, Places(self.places.root)
        anchors = dict(self.anchors)
        self._node(event, events, path)
        self.places, self.anchors = places, anchors

    def _scalar(self, event: Any, path: KeyPath, place: Place) -> Any:
        try:
            return scalar_value(event.value, tag=event.tag, plain=event.implicit[0])
        except AmbiguousScalar as fault:
            self.faults.put(place, path, str(fault))
            return str(event.value).encode("utf-8", "replace").decode()

    def _standard(self, event: Any, path: KeyPath, place: Place, kind: str) -> None:
        if event.tag not in (None, "!", f"tag:yaml.org,2002:{kind}"):
            self.faults.put(place, path, f"the tag {event.tag!r} is not known here; take it away")


def _extent(value: Any) -> tuple[int, int]:
    """How many values stand in `value`, itself included, and how many levels below it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    extents = [_extent(each) for each in inner]
    return 1 + sum(size for size, _ in extents), max((1 + height for _, height in extents), default=0)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value
