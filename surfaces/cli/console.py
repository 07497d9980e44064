"""The console that results are printed on: plain text unless it is a terminal, as wide as there is room."""

from __future__ import annotations

import shutil
from typing import TextIO

from rich.console import Console

PIPED_WIDTH = 160  # where there is no terminal to fit and COLUMNS says nothing


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command, to which a reader that has read enough is no failure."""
        raise BrokenPipeError


def console(stream: TextIO | None = None) -> Console:
    """A console on `stream`, standard output where it is None."""
    made = _Console(file=stream, highlight=False, markup=False, emoji=False)
    if made.is_terminal:
        return made
    width = shutil.get_terminal_size((PIPED_WIDTH, 24))[0]
    return _Console(file=stream, highlight=False, markup=False, emoji=False, width=width)
