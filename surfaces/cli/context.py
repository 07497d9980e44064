"""What every command shares: the folder it was called in, its settings, and how it speaks."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from aurea.domain.errors import UsageError

if TYPE_CHECKING:
    from aurea.settings import Settings


@dataclass(frozen=True)
class Context:
    """One call of the command. `cwd` is the folder `-C` names; the process itself never changes its own."""

    cwd: Path
    settings: Settings


_current: ContextVar[Context] = ContextVar("context")
_hasty = False


class _Spoken(logging.Handler):
    """Says the warnings of the core, such as that the ledger is away, to whoever called the command."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line per warning; the stack of an error stays out of it."""
        say(f"aurea: {record.getMessage()}")


_spoken = _Spoken(logging.WARNING)


def current() -> Context:
    """The call that is being served."""
    return _current.get()


def enter(argv: Sequence[str]) -> list[str]:
    """Take `-C DIR` and `--home DIR` out of the command line, make the context of them, and return the rest."""
    from aurea.settings import Settings

    logging.getLogger("aurea").addHandler(_spoken)  # once: the same handler is not added again
    cwd, home, rest = Path.cwd(), None, []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "-C" and not rest:
            cwd = cwd / _value(word, words)
        elif word == "--home":
            home = Path(_value(word, words))
        elif word.startswith("--home="):
            home = Path(word.removeprefix("--home="))
        else:
            rest.append(word)
    if not cwd.is_dir():
        raise UsageError(f"-C: there is no folder {str(cwd)!r}")
    _current.set(Context(cwd.resolve(), Settings.read(os.environ, home)))
    return rest


def _value(option: str, words: Any) -> str:
    value: str | None = next(words, None)
    if value is None:
        raise UsageError(f"{option} needs a folder")
    return value


def leave_at_once() -> None:
    """Let the process end without waiting for threads that have something to send and nobody who takes it."""
    global _hasty  # noqa: PLW0603 - it is about the process
    _hasty = True


def end(code: int) -> NoReturn:
    """End the process with this exit code."""
    if _hasty:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def say(*lines: str) -> None:
    """A message or progress: to standard error, so that standard output carries the result only."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """Exactly one JSON document on standard output."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(document, ensure_ascii=not unicode, indent=2, allow_nan=False))
