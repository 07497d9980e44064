"""Progress of a run on standard error: a live table on a terminal, one line per thing that matters elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, TextIO

from aurea.domain.events import Event
from aurea.ports import Ledger
from aurea.reporting.board import Board
from aurea.reporting.lines import event_line, matters, notable
from surfaces.cli.board import view

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

_REFRESH_S = 0.125
_PATIENCE_S = 0.5
_ECHO = 2  # columns left free at the right: `^C`, which a terminal echoes, would else move the table down a line

News = SimpleQueue[Sequence[Event] | None]


@contextmanager
def watching(
    ledger: Ledger,
    run: str,
    *,
    say: Callable[[str], None],
    ui_url: str | None = None,
    cannot: str = "",
    stream: TextIO | None = None,
) -> Iterator[None]:
    """Show how a run goes for as long as the block lasts, beginning with its id, its sandbox and where to watch it.

    `say` prints a line; `stream` (standard error) decides whether it is a terminal that a table can live on; `cannot`
    names what the sandbox does not prevent. What is shown is printed by a thread of its own: a slow terminal never
    holds up the ledger.
    """
    news: News = SimpleQueue()
    leave = ledger.subscribe(news.put)
    try:
        board = Board(run)
        for event in ledger.events(run):
            board.take(event)
        say(first_line(board, ui_url=ui_url, cannot=cannot))
        with _display(board, say, stream or sys.stderr) as display:
            thread = threading.Thread(target=_follow, args=(news, board, display), name="progress")
            thread.start()
            try:
                yield
            finally:
                leave()
                news.put(None)
                thread.join()
    finally:
        leave()


def first_line(board: Board, *, ui_url: str | None, cannot: str = "") -> str:
    """The run id, where to watch, and the sandbox in force; the longest part comes last."""
    created = board.state.created
    parts = [
        f"run {board.state.id}",
        f"watch at {ui_url}" if ui_url else f"watch with `aurea tail {board.state.id} -f`",
    ]
    if created is not None:
        if created.spec.get("unproven"):
            parts.append("unproven: no checks")
        parts.append(f"sandbox {created.sandbox}" + (f" (does not prevent: {cannot})" if cannot else ""))
    return " · ".join(parts)


class _Display(Protocol):
    """Where progress is shown."""

    def take(self, event: Event) -> None:
        """An event that the board has just taken in."""
        ...

    def tick(self) -> None:
        """Called after every batch and a few times a second."""
        ...


def _display(board: Board, say: Callable[[str], None], stream: TextIO) -> AbstractContextManager[_Display]:
    if stream.isatty():
        from rich.console import Console

        console = Console(file=stream, highlight=False, markup=False, emoji=False)
        if not console.is_dumb_terminal:
            return _terminal(board, console)
    return nullcontext(_Lines(say))


def _follow(news: News, board: Board, display: _Display) -> None:
    """Show what comes until None comes."""
    try:
        while True:
            try:
                batch = news.get(timeout=_PATIENCE_S)
            except Empty:
                display.tick()
                continue
            if batch is None:
                return
            for event in batch:
                if board.take(event):
                    display.take(event)
            display.tick()
    except OSError:
        # The terminal is gone: nobody is watching any more, and the run is not to suffer for it.
        return


class _Lines:
    """One line per event that matters."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def take(self, event: Event) -> None:
        if matters(event):
            self._say(event_line(event))

    def tick(self) -> None:
        """Nothing moves between events."""


class _Table:
    """A table that is redrawn, with the notable events scrolling by above it."""

    def __init__(self, board: Board, console: Console, live: Live) -> None:
        self._board, self._console, self._live = board, console, live
        self._drawn = 0.0
        self._width = 0

    def take(self, event: Event) -> None:
        if notable(event):
            self._console.print(event_line(event), soft_wrap=True)

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= _REFRESH_S:
            self._drawn = now
            size = self._console.size
            if size.width < self._width:
                self._gather(size.width)
            self._width = size.width
            width = max(size.width - _ECHO, 1)
            drawn = view(self._board, datetime.now(UTC), width=width, height=size.height)
            self._live.update(drawn, refresh=True)

    def _gather(self, width: int) -> None:
        """Erase the table where a narrower terminal has wrapped it, and leave the cursor where Rich takes its end to be."""
        from rich.control import Control
        from rich.segment import ControlType, Segment

        options = self._console.options.update(width=max(self._width - _ECHO, 1))
        lines = self._console.render_lines(self._live.renderable, options, pad=False)
        rows = sum(-(-Segment.get_line_length(line) // width) or 1 for line in lines)
        erase, up = (ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)
        self._console.control(Control(erase, *[up, erase] * (rows - 1)), Control.move(0, len(lines) - 1))


@contextmanager
def _terminal(board: Board, console: Console) -> Iterator[_Display]:
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
        yield _Table(board, console, live)
