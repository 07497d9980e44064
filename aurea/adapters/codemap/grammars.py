"""Which grammar reads which file, and what is asked of it: a query per language, loaded when a file needs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Parser, Query

VERSION = 1  # of the queries and of what is made of their answers: kept answers of another version do not count


@dataclass(frozen=True)
class Grammar:
    """A language: the module and function of its grammar, the files of its query, the family that its names belong to."""

    module: str
    queries: tuple[str, ...]
    family: str
    function: str = "language"


_PYTHON = Grammar("tree_sitter_python", ("python",), "python")
_JAVASCRIPT = Grammar("tree_sitter_javascript", ("web", "javascript", "jsx"), "web")
_TYPESCRIPT = Grammar("tree_sitter_typescript", ("web", "typescript"), "web", "language_typescript")
_TSX = Grammar("tree_sitter_typescript", ("web", "typescript", "jsx"), "web", "language_tsx")
_C = Grammar("tree_sitter_c", ("c",), "c")

GRAMMARS = {
    ".py": _PYTHON, ".pyi": _PYTHON,
    ".js": _JAVASCRIPT, ".jsx": _JAVASCRIPT, ".mjs": _JAVASCRIPT, ".cjs": _JAVASCRIPT,
    ".ts": _TYPESCRIPT, ".mts": _TYPESCRIPT, ".cts": _TYPESCRIPT, ".tsx": _TSX,
    ".go": Grammar("tree_sitter_go", ("go",), "go"),
    ".rs": Grammar("tree_sitter_rust", ("rust",), "rust"),
    ".java": Grammar("tree_sitter_java", ("java",), "java"),
    ".c": _C, ".h": _C,
}  # fmt: skip


def grammar_of(path: str) -> Grammar | None:
    """The grammar that reads a file of this name, or None."""
    return GRAMMARS.get(PurePosixPath(path).suffix.lower())


@cache
def loaded(grammar: Grammar) -> tuple[Parser, Query]:
    """Parser and query of a grammar. Takes some milliseconds the first time; to be used by one thread at a time."""
    from tree_sitter import Language, Parser, Query

    language = Language(getattr(import_module(grammar.module), grammar.function)())
    folder = Path(__file__).parent / "queries"
    text = "\n".join((folder / f"{name}.scm").read_text(encoding="utf-8") for name in grammar.queries)
    return Parser(language), Query(language, text)
