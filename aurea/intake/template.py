"""Finds and reads the template that a spec names, and lays it under the spec: items, line, reviews, ways back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from aurea.domain.errors import UsageError
from aurea.domain.route import LINE, PHASES, Route, line_problems
from aurea.domain.spec import Reviewer
from aurea.domain.template import (
    PLACEHOLDERS,
    UNSAID,
    Rejected,
    Template,
    filled,
    filled_criteria,
    unknown_placeholders,
)
from aurea.intake.documents import Document, parse, read_file
from aurea.intake.faults import Faults, KeyPath, SpecFaults, did_you_mean
from aurea.intake.layers import is_file_name
from aurea.intake.wording import tell

SHIPPED = Path(__file__).parent / "templates"
LOCAL = Path(".aurea") / "templates"  # of the repository

_PARTS: Mapping[str, type[BaseModel]] = {"reviewers": Reviewer, "rejected": Rejected}
_UNDER_SPEC = ("reviewers", "review_loops", "max_attempts")


@dataclass(frozen=True)
class Places:
    """Where templates are looked for: paths that are shown begin at `cwd`; `repo` may hold local ones."""

    cwd: Path
    repo: Path | None

    def local(self, name: str) -> Path | None:
        """The repository's own template of that name, where it has one."""
        file = self.repo / LOCAL / f"{name}.yaml" if self.repo is not None else None
        return file if file is not None and file.is_file() else None

    def names(self) -> tuple[str, ...]:
        """The templates that can be named without a path, shipped ones first."""
        own = (self.repo / LOCAL).glob("*.yaml") if self.repo is not None else ()
        return (*shipped(), *sorted(file.stem for file in own))

    def shown(self, file: Path) -> str:
        """The name of a file in faults."""
        return str(file.relative_to(self.cwd)) if file.is_relative_to(self.cwd) else str(file)


def shipped() -> tuple[str, ...]:
    """The names of the templates that come with Aurea."""
    return tuple(sorted(file.stem for file in SHIPPED.glob("*.yaml")))


def lay_template(data: dict[str, Any], faults: Faults, places: Places, said: Collection[object] | None = None) -> None:
    """Put what the template that the merged spec `data` names says into `data`, except where the spec says it itself.

    `said` are the keys that it says (None: all of `data`); the others come from what a template goes before. What is
    wrong with the template stands in `faults`, at its place in the template's file.
    """
    said = data.keys() if said is None else said
    if "template" not in data:
        return
    name, data["template"] = data["template"], "loop"
    file = _find(name, faults, places)
    document = _read(file, faults, places) if file is not None else None
    if file is None or document is None:
        return
    own = Faults(document.places, dict.fromkeys(document.faults))
    template = _validated(document.data, own)
    lines = _lay_items(data, document, own, faults, name=file.stem)
    for key in _UNDER_SPEC:
        if key in document.data and key not in said:
            data[key] = document.data[key]
            faults.places.drop((key,))
            faults.places.graft(document.places, (key,), (key,))
    faults.found.update(own.found)
    if template is not None and not own.found:
        line = document.data.get("line", LINE)
        again = template.rejected or Rejected(to="implement" if "items" in document.data else "plan")
        route = {"name": file.stem, "line": line, "lines": lines}
        route |= {"replan_after": again.after if again.to == "plan" else None, "on_request": again.on_request}
        data["template"] = Route.model_validate(route).model_dump(mode="json")


def _find(name: object, faults: Faults, places: Places) -> Path | None:
    """The file of the template called `name`; None where it is the usual one, or where there is a fault."""
    if not isinstance(name, str) or not name.strip():
        faults.add(("template",), "must be the name of a template, or the path of a file")
        return None
    name = name.strip()
    if is_file_name(name):
        return Path(name)
    local, known = places.local(name), shipped()
    if name in known and local is not None:
        words = f"{places.shown(local)!r} has the name of a shipped template; rename it, or name it by its path"
        faults.add(("template",), words)
        return None
    if name in known:
        return None if name == "loop" else SHIPPED / f"{name}.yaml"
    if local is None:
        words = f"unknown template {name!r}; there are {', '.join(places.names())}; "
        words += f"one of yours lies in {LOCAL} of the repository, or is named by its path (./{name}.yaml)"
        faults.add(("template",), words + did_you_mean(name, places.names()))
    return local


def _read(file: Path, faults: Faults, places: Places) -> Document | None:
    shown = places.shown(file)
    faults.files.append(shown)
    try:
        return parse(read_file(file, shown, "template"), shown, "template")
    except SpecFaults as wrong:
        faults.found.update(dict.fromkeys(wrong.faults))
    except UsageError as wrong:
        faults.add(("template",), wrong.message)
    return None


def _validated(data: dict[str, Any], faults: Faults) -> Template | None:
    """What a template says beside its items and its line; None, with faults, where it is not sound."""
    _tell_line(data.get("line", LINE), ("line",), faults)
    if "items" in data and "plan" in data:
        faults.add(
            ("plan",), "a template has `items`, or a planner who writes them; take one of the two away", key=True
        )
    rejected = data["rejected"] if isinstance(data.get("rejected"), dict) else {"to": None}
    to = rejected.get("to", "plan")
    if to == "plan" and "items" in data:
        words = "no planner wrote the items of this template, so none revises them; say `rejected: {to: implement}`"
        faults.add(("rejected",), words)
    for key in ("after", "on_request"):
        if to == "implement" and key in rejected:
            faults.add(("rejected", key), f"`{key}` goes only together with `to: plan`", key=True)
    bare = {key: value for key, value in data.items() if key not in ("items", "line")}  # looked at by themselves
    try:
        return Template.model_validate(bare)
    except ValidationError as wrong:
        tell(wrong.errors(include_url=False), data, faults, _keys_at)
        return None


def _keys_at(path: KeyPath) -> Iterable[str]:
    if not path:
        return ("schema", *(name for name in Template.model_fields if name != "schema_"))
    part = _PARTS.get(str(path[0]))
    return part.model_fields if part is not None else ()


def _tell_line(line: object, path: KeyPath, faults: Faults) -> bool:
    """Add what is wrong with a line; whether nothing is."""
    found = line_problems(line)
    for where, words in found:
        wrong: Any = line
        for index in where:
            wrong = wrong[index]
        near = did_you_mean(wrong, PHASES) if isinstance(wrong, str) and words.startswith("unknown") else ""
        faults.add((*path, *where), words + near)
    return not found


def _lay_items(
    data: dict[str, Any], document: Document, own: Faults, faults: Faults, *, name: str
) -> dict[str, list[Any]]:
    """Make the template's items, filled, those of the spec; returns the lines of those that have one of their own."""
    if "items" not in document.data:
        return {}
    if data.get("items") is not None:
        words = f"the template {name!r} brings its own items; take these away, or name a template with a planner"
        faults.add(("items",), words, key=True)
        return {}
    items, lines = document.data["items"], {}
    if isinstance(items, list):
        acceptance = [text for text in _list(data.get("acceptance")) if isinstance(text, str)]
        values = {key: str(data.get(key) or "").strip() for key in PLACEHOLDERS}
        values["acceptance"] = "\n".join(f"- {text}" for text in acceptance or (UNSAID,))
        for index, item in enumerate(items):
            if isinstance(item, dict):
                if "line" in item and _tell_line(item["line"], ("items", index, "line"), own):
                    lines[str(item.get("id"))] = item["line"]
                _tell_placeholders(item, index, own)
        items = [_filled(item, acceptance, values) if isinstance(item, dict) else item for item in items]
    data["items"] = items
    faults.places.drop(("items",))
    faults.places.graft(document.places, ("items",), ("items",))
    return lines


def _filled(item: dict[str, Any], acceptance: list[str], values: Mapping[str, str]) -> dict[str, Any]:
    told = {key: value for key, value in item.items() if key != "line"}
    for key in ("title", "goal"):
        if isinstance(item.get(key), str):
            told[key] = filled(item[key], values)
    if isinstance(item.get("criteria"), list) and all(isinstance(text, str) for text in item["criteria"]):
        told["criteria"] = filled_criteria(item["criteria"], acceptance, values)
    return told


def _tell_placeholders(item: dict[str, Any], index: int, faults: Faults) -> None:
    texts: list[tuple[KeyPath, object]] = [((key,), item.get(key)) for key in ("title", "goal")]
    texts += [(("criteria", entry), text) for entry, text in enumerate(_list(item.get("criteria")))]
    for path, text in texts:
        for name in unknown_placeholders(text) if isinstance(text, str) else ():
            words = f"{{{name}}} stands for nothing; write {{{{{name}}}}} where the text itself is meant"
            faults.add(("items", index, *path), words + did_you_mean(name, PLACEHOLDERS))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
