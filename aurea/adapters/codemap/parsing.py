"""One file read: its definitions with their signatures, the names it uses, what it imports. Broken syntax is no fault.

Runs in a process of its own (`worker`), so it imports little and answers in plain values.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from aurea.adapters.codemap.grammars import Grammar, loaded

if TYPE_CHECKING:
    from tree_sitter import Node

LARGEST = 500_000  # bytes; what is larger was hardly written by hand
LONG_LINE = 400  # bytes of an average line from which on a file counts as packed by a program
SIGNATURE = 160  # characters
DEFINITIONS = 2_000
GENERATED = re.compile(rb"@generated|do not edit", re.IGNORECASE)


class Defined(NamedTuple):
    """A definition in plain values: `kind` is type, function or value, `depth` counts the types around it."""

    name: str
    kind: str
    line: int
    depth: int
    signature: str


class Tags(TypedDict):
    """What is known of a file: definitions in its order, how often it uses which name, what it imports."""

    definitions: list[Defined]
    references: dict[str, int]
    imports: list[str]


@dataclass(frozen=True)
class _Found:
    """A definition with where it lies in the file."""

    begin: int
    end: int
    kind: str
    name: str
    line: int
    signature: str


def readable(source: bytes) -> bool:
    """Whether a person may have written it: not binary, not packed, not marked as made by a program."""
    if b"\0" in source[:8000] or GENERATED.search(source[:1000]):
        return False
    return len(source) < LONG_LINE or len(source) / (source.count(b"\n") + 1) < LONG_LINE


def read_source(source: bytes, grammar: Grammar) -> Tags:
    """What the file says, as far as its grammar understands it."""
    parser, query = loaded(grammar)
    from tree_sitter import QueryCursor

    found: list[_Found] = []
    names: Counter[str] = Counter()
    imports: dict[str, None] = {}
    for _, captured in QueryCursor(query).matches(parser.parse(source).root_node):
        if "reference" in captured:
            names.update(_text(node, source) for node in captured["reference"])
        elif "import" in captured:
            imports |= dict.fromkeys(_imports(grammar, _text(captured["import"][0], source)))
        elif "import.from" in captured:
            whole = f"{_text(captured['import.from'][0], source)}.{_text(captured['import.name'][0], source)}"
            imports |= dict.fromkeys(_imports(grammar, whole))
        elif (definition := _definition(captured, source)) is not None:
            found.append(definition)
    return {
        "definitions": list(_nested(found)[:DEFINITIONS]),
        "references": dict(sorted(names.items())),
        "imports": list(imports),
    }


def _definition(captured: dict[str, list[Node]], source: bytes) -> _Found | None:
    kind = next((name for name in captured if name.startswith("definition.")), None)
    if kind is None or "name" not in captured:
        return None
    node = captured[kind][0]
    ends = captured["body"][0].start_byte if "body" in captured else node.end_byte
    if kind == "definition.value":  # a value says something about itself, on the same line
        ends = node.end_byte
    head = source[node.start_byte : min(ends, node.start_byte + 4 * SIGNATURE)]
    if kind == "definition.value":
        head = head.partition(b"\n")[0]
    signature = " ".join(head.decode("utf-8", "replace").split()).rstrip("{:;= ").removesuffix("=>").rstrip()
    if len(signature) > SIGNATURE:
        signature = f"{signature[:SIGNATURE]}..."
    name = _text(captured["name"][0], source)
    return _Found(
        node.start_byte, node.end_byte, kind.partition(".")[2], name, node.start_point[0] + 1, signature or name
    )


def _nested(found: list[_Found]) -> list[Defined]:
    """In the order of the file, each once, with how many types are around it; without what is local to a function."""
    # Where two patterns saw the same thing, a function says more than a value.
    best = {(one.line, one.name): one for one in sorted(found, key=lambda one: one.kind == "function")}
    kept: list[Defined] = []
    around: list[_Found] = []
    for one in sorted(best.values(), key=lambda one: (one.begin, -one.end)):
        while around and around[-1].end <= one.begin:
            around.pop()
        local = any(outer.kind == "function" for outer in around)
        if not local:
            kept.append(Defined(one.name, one.kind, one.line, len(around), one.signature))
        around.append(one)
    return kept


def _imports(grammar: Grammar, text: str) -> list[str]:
    """What is imported, as paths with `/`: `a.b` and `a::b` are a/b, a leading dot of Python's is `./`."""
    text = text.strip().strip("\"'`<>")
    if grammar.family == "python":
        dots = len(text) - len(text.lstrip("."))
        up = "" if not dots else "./" if dots == 1 else "../" * (dots - 1)
        return [up + text.lstrip(".").replace(".", "/")]
    if grammar.family == "rust":  # `use a::b::{C, d::E}` names a/b, a/b/C and a/b/d/E
        return _uses(text)
    if grammar.family == "java":
        return [text.replace(".", "/")]
    return [text]


def _uses(text: str) -> list[str]:
    head, brace, rest = "".join(text.split()).partition("{")
    base = [part for part in head.split("::") if part and part not in ("crate", "self", "super", "*")]
    inner = rest.rstrip("}").split(",") if brace else []
    paths = ["/".join([*base, *re.split(r"::", leaf.strip("{}"))]) for leaf in inner if leaf.strip("{}")]
    whole = "/".join(base)
    return [path for path in (whole, whole.rpartition("/")[0], *paths) if path]


def _text(node: Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")
