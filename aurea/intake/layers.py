"""The layers a spec is made of (flags, spec, aurea.yaml) and how a higher one goes over a lower one."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aurea.intake.documents import Document, parse_value
from aurea.intake.faults import Faults, KeyPath, Place, Places, SpecFaults

PATHS = ("repo", "output_dir", "cassette", "template")
# A higher layer replaces single entries of these, not all of them.
PARTWISE = ("roles", "blocks", "limits", "prices", "budgets")

_HERE = re.compile(r"(?<!\S)\.\.?/\S*")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:", re.IGNORECASE)


@dataclass(frozen=True)
class Flags:
    """What the command line says beside the spec: `checks` are `NAME=COMMAND`, `sets` are `PATH=VALUE`, in YAML.

    `overrides` are paths with plain values, as the parameter of a deployed flow gives them.
    """

    objective: str | None = None
    checks: tuple[str, ...] = ()
    provider: str | None = None
    model: str | None = None
    repo: str | None = None
    base: str | None = None
    land: str | None = None
    budget: str | float | None = None
    concurrency: int | None = None
    sets: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Layer:
    """One source as plain values; its relative paths are already absolute."""

    data: dict[str, Any]
    places: Places
    deep: list[tuple[KeyPath, Any, Place]] = field(default_factory=list)


def is_url(repo: object) -> bool:
    """Whether a repository is named by address instead of by path."""
    return isinstance(repo, str) and _URL.match(repo) is not None


def is_file_name(template: str) -> bool:
    """Whether a template is named by the path of its file instead of by its name."""
    return "/" in template or template.lower().endswith((".yaml", ".yml", ".json"))


def from_document(document: Document, folder: Path, faults: Faults) -> Layer:
    """The layer of a file that stands in `folder`."""
    layer = Layer(dict(document.data), document.places)
    faults.files.append(document.places.root.file)
    faults.found.update(dict.fromkeys(document.faults))
    _settle_objective(layer, faults)
    _settle_paths(layer, folder, faults)
    return layer


def from_flags(flags: Flags, cwd: Path, faults: Faults) -> Layer:
    """The layer of the command line; faults in it name the flag."""
    layer = Layer({}, Places(Place("--objective")))
    simple = ("objective", "provider", "model", "repo", "base", "land", "concurrency")
    named = {name: getattr(flags, name) for name in simple}
    named["budget_usd"] = _budget(flags.budget)
    for name, value in named.items():
        if value is not None:
            layer.data[name] = value
            layer.places.put((name,), Place("--budget" if name == "budget_usd" else f"--{name}"))
    if flags.checks:
        layer.data["checks"] = [_check(text, index, faults) for index, text in enumerate(flags.checks)]
        layer.places.put(("checks",), Place("--check"))
    for path, value, place in [*_sets(flags.sets, faults), *_overrides(flags.overrides)]:
        if len(path) == 1:
            layer.data[str(path[0])] = value
            layer.places.drop(path)
            layer.places.put(path, place, place)
        else:
            layer.deep.append((path, value, place))
    _settle_objective(layer, faults)
    _settle_paths(layer, cwd, faults)
    return layer


def merge(layers: Sequence[Layer], faults: Faults) -> dict[str, Any]:
    """Lay `layers`, highest first, over each other key by key, `PARTWISE` entry by entry; their places go to `faults`."""
    data: dict[str, Any] = {}
    for layer in reversed(layers):
        for key, value in layer.data.items():
            if key in PARTWISE and isinstance(value, dict) and isinstance(data.get(key), dict):
                data[key] = {**data[key], **value}
                paths: list[KeyPath] = [(key, entry) for entry in value]
            else:
                data[key] = value
                paths = [(key,)]
            for path in paths:
                faults.places.drop(path)
                faults.places.graft(layer.places, path, path)
    for layer in reversed(layers):
        for path, value, place in layer.deep:
            _put(data, path, value, place, faults)
    return data


def _put(data: Any, path: KeyPath, value: Any, place: Place, faults: Faults) -> None:
    """Set one deep value, making the mappings on the way."""
    for depth, part in enumerate(path[:-1]):
        child = _child(data, part, path[depth + 1], path[: depth + 1], place, faults)
        if child is None:
            return
        data = child
    last = path[-1]
    if isinstance(data, dict):
        data[str(last)] = value
    elif isinstance(data, list) and _index(last, len(data) + 1) is not None:
        data[int(last) :] = [value, *data[int(last) + 1 :]]
    else:
        faults.put(place, path, _no_entry(data))
        return
    real = tuple(int(part) if str(part).isdecimal() else part for part in path)
    faults.places.drop(real)
    faults.places.put(real, place, place)


def _child(data: Any, part: str | int, following: str | int, path: KeyPath, place: Place, faults: Faults) -> Any:
    """The container at `part`, made where there is none; None, with a fault, where there cannot be one."""
    if isinstance(data, dict):
        child = data.get(str(part))
        if child is None:
            child = {}
            faults.places.put(path, place, place)
        elif isinstance(child, str) and path[0] == "roles" and len(path) == 2:
            child = {"model": child}
        elif isinstance(child, dict | list):
            child = child.copy()
        data[str(part)] = child
    elif isinstance(data, list) and _index(part, len(data)) is not None:
        child = data[int(part)]
        child = child.copy() if isinstance(child, dict | list) else child
        data[int(part)] = child
    else:
        faults.put(place, path, _no_entry(data))
        return None
    if not isinstance(child, dict | list):
        faults.put(place, path, f"holds no {str(following)!r}: it is a single value")
        return None
    return child


def _no_entry(data: Any) -> str:
    size = len(data) if isinstance(data, list) else 0
    return f"no such entry: there {'is 1' if size == 1 else f'are {size}'}, counted from 0"


def _index(part: str | int, size: int) -> int | None:
    return int(part) if str(part).isdecimal() and int(part) < size else None


def _sets(sets: Sequence[str], faults: Faults) -> list[tuple[KeyPath, Any, Place]]:
    found: list[tuple[KeyPath, Any, Place]] = []
    for text in sets:
        place = Place(f"--set {text.partition('=')[0]}")
        path, equals, value = text.partition("=")
        if not equals or not all(path.split(".")):
            faults.put(
                Place("--set"), (), f"{text[:80]!r} is not PATH=VALUE, as in roles.coder.model=openai:gpt-5-mini"
            )
            continue
        try:
            found.append((tuple(path.split(".")), parse_value(value, place.file), place))
        except SpecFaults as wrong:
            faults.found.update(dict.fromkeys(wrong.faults))
    return found


def _overrides(overrides: Mapping[str, Any]) -> list[tuple[KeyPath, Any, Place]]:
    return [(tuple(path.split(".")), value, Place(f"overrides {path}")) for path, value in overrides.items()]


def _check(text: str, index: int, faults: Faults) -> dict[str, Any]:
    name, equals, command = text.partition("=")
    if not equals:
        faults.put(Place("--check"), ("checks", index), f'{text[:80]!r} is not NAME=COMMAND, as in tests="pytest -q"')
    return {"name": name, "run": command if equals else [name or "?"]}


def _budget(value: str | float | None) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _settle_objective(layer: Layer, faults: Faults) -> None:
    """`task_description` is another name of `objective`."""
    if "task_description" not in layer.data:
        return
    if "objective" in layer.data:
        place = layer.places.of(("task_description",), key=True)
        words = "`objective` and `task_description` are two names of one thing; give one of them"
        faults.put(place, ("task_description",), words)
        del layer.data["task_description"]
        return
    layer.data["objective"] = layer.data.pop("task_description")
    layer.places.graft(layer.places, ("task_description",), ("objective",))


def _settle_servers(layer: Layer, folder: Path) -> None:
    """Words of a server's command that begin with `./` or `../` are files beside the one that names them."""
    servers = layer.data.get("mcp")
    if isinstance(servers, list):
        layer.data["mcp"] = [_beside(server, folder) for server in servers]


def _beside(server: Any, folder: Path) -> Any:
    command = server.get("command") if isinstance(server, dict) else None
    # The path as it is written: what a link leads to may be another program by its own name.
    if isinstance(command, str):
        return {**server, "command": _HERE.sub(lambda word: shlex.quote(os.path.normpath(folder / word[0])), command)}
    if isinstance(command, list):
        here = [isinstance(word, str) and _HERE.match(word) is not None for word in command]
        words = [
            os.path.normpath(folder / word) if is_here else word for word, is_here in zip(command, here, strict=True)
        ]
        return {**server, "command": words}
    return server


def _settle_paths(layer: Layer, folder: Path, faults: Faults) -> None:
    _settle_servers(layer, folder)
    for key in PATHS:
        value = layer.data.get(key)
        if isinstance(value, str) and value.strip() and not is_url(value):
            if key == "template" and not is_file_name(value.strip()):
                continue
            try:
                layer.data[key] = str((folder / Path(value.strip()).expanduser()).resolve())
            except (OSError, RuntimeError, ValueError) as wrong:
                faults.put(layer.places.of((key,)), (key,), f"{value!r} is no usable path: {wrong}")
