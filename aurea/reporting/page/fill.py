"""Fills the template of the HTML report; every value in it is escaped, whoever wrote it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aurea.reporting.commands import next_commands
from aurea.reporting.earlier import history_svg
from aurea.reporting.text import caps, clean, count, duration, many, money, one_line, otherwise, spending, why_not
from aurea.reporting.timeline import timeline_svg

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_MOST_ROWS = 500
_TAIL_LINES = 40


@dataclass(frozen=True)
class Diff:
    """What one item landed: its files as counted lines, and the unified diff, perhaps cut."""

    item: str
    text: str | None
    files: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Material:
    """Everything the page shows, as plain values."""

    document: Mapping[str, Any]
    manifest: Mapping[str, Any]
    shape: Mapping[str, Any]
    topology_rows: Sequence[Mapping[str, Any]]
    compared: Mapping[str, Any]
    quality: Mapping[str, Any] | None
    costs: Sequence[Mapping[str, Any]]
    diffs: Sequence[Diff]
    conversations: Sequence[Mapping[str, Any]]
    plan_svg: str
    decisions: Sequence[Mapping[str, Any]] = ()


def report_html(material: Material) -> str:
    """The page. Its style is allowed by its digest and nothing else is: no script, no picture, font or frame."""
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    document = material.document
    evidence = {entry["id"]: entry for entry in document["evidence"]}
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            m=material,
            d=document,
            style=style,
            style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            evidence=evidence,
            landed=[item for item in document["items"] if item["landed"]],
            unlanded=[item for item in document["items"] if not item["landed"]],
            attempts=[(item, attempt) for item in document["items"] for attempt in item["attempts"]],
            commands=next_commands(document),
            timeline=timeline_svg(document, material.shape),
            history=history_svg(material.compared),
            data=_embedded(material),
            most=_MOST_ROWS,
        )
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(
        clean=clean, count=count, duration=duration, many=many, money=money, line=one_line, tail=_tail, lines=diff_lines
    )
    made.globals.update(why_not=why_not, spending=spending, caps=caps, otherwise=otherwise)
    return made


def diff_lines(text: str) -> list[tuple[str, str]]:
    """The lines of a unified diff, each with the class that says what it is."""
    kinds = {"+": "add", "-": "del", "@": "hunk"}
    heads = ("diff --git", "index ", "--- ", "+++ ", "new file", "deleted file", "old mode", "new mode", "similarity")
    found = []
    for line in clean(text).splitlines():
        found.append(("head" if line.startswith(heads) else kinds.get(line[:1], "same"), line))
    return found


def _tail(text: str) -> str:
    return "\n".join(clean(text).strip().splitlines()[-_TAIL_LINES:])


def _embedded(material: Material) -> str:
    """The run document and what was measured, as JSON that cannot end the element it stands in."""
    data = {
        "run": material.document,
        "files": material.manifest["files"],
        "topology": material.shape,
        "history": material.compared,
        "quality": material.quality,
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
