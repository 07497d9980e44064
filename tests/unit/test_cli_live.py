"""Watching a run: plain lines in a pipe, a table on a terminal, and never in the way of the run."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from aurea.domain.events import Event
from aurea.domain.lifecycle import ItemState
from aurea.reporting.board import Board
from surfaces.cli.board import view
from surfaces.cli.live import watching


class Told:
    """A ledger that has told `past` and tells more when asked to."""

    def __init__(self, past: Sequence[Event]) -> None:
        self.past = list(past)
        self.listeners: list[Callable[[Sequence[Event]], None]] = []

    def events(self, run: str, after: int = 0):
        return iter([event for event in self.past if event.seq > after])

    def subscribe(self, listener):
        self.listeners.append(listener)
        return lambda: listener in self.listeners and self.listeners.remove(listener)

    def tell(self, *events: Event) -> None:
        for listener in self.listeners:
            listener(events)


def watched(history, past: int, stream=None, **options):
    """The lines said while a run goes on behind its first `past` events."""
    ledger, said = Told(history.events[:past]), []
    with watching(ledger, history.state.id, say=said.append, stream=stream or io.StringIO(), **options):
        for event in history.events[past:]:
            ledger.tell(event)
    assert ledger.listeners == []
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]
    return said


def test_plain_lines_begin_with_the_run_the_sandbox_and_where_to_watch(notes):
    said = watched(notes, 2, ui_url="http://127.0.0.1:4200", cannot="reading your home folder")
    assert said[0] == (
        "run 20260301-notes · watch at http://127.0.0.1:4200 · sandbox process (does not prevent: reading your home folder)"
    )
    assert any(line.endswith("check tests failed (exit 1, 2.1s)") for line in said)
    assert said[-1].endswith("run           waits for a person: Docs: what now?")


def test_what_was_told_before_is_not_told_again(notes):
    assert len(watched(notes, len(notes.events))) == 1
    ledger, said = Told(notes.events), []
    with watching(ledger, notes.state.id, say=said.append, stream=io.StringIO()):
        ledger.tell(*notes.events)  # a batch that was on its way when the history was read
        ledger.tell(notes.events[0].model_copy(update={"run": "another-run"}))
    assert len(said) == 1


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_a_table(notes, monkeypatch, colour):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    master, slave = pty.openpty()
    shown: list[bytes] = []

    def drain() -> None:
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                return
            shown.append(data)

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        said = watched(notes, 10, stream=stream)
    reader.join(10)
    os.close(master)
    text = b"".join(shown).decode()
    assert len(said) == 1  # the first line; the rest is on the table
    assert "storage" in text and "notes · " in text
    assert "landed as 222222222222" in text  # scrolled by above the table
    assert "\x1b[2K" in text  # it is redrawn in place
    assert ("\x1b[36m" in text or "\x1b[32m" in text) is colour


def test_a_terminal_that_goes_away_does_not_stop_the_run(notes):
    def gone(line: str) -> None:
        if "check" in line:
            raise BrokenPipeError

    ledger = Told(notes.events[:2])
    with watching(ledger, notes.state.id, say=gone, stream=io.StringIO()):
        for event in notes.events[2:]:
            ledger.tell(event)
    assert ledger.listeners == []


def board_after(history, last: str, item: str | None = None) -> tuple[Board, Event]:
    """The board right after the last event of a type."""
    board, seen = Board(history.state.id), None
    end = max(i for i, e in enumerate(history.events) if e.type == last and item in (None, e.item))
    for event in history.events[: end + 1]:
        board.take(event)
        seen = event
    assert seen is not None
    return board, seen


def test_the_board_says_what_each_agent_does(notes):
    board, event = board_after(notes, "tool.started", "api")
    storage, api, docs = board.lines(event.ts + timedelta(seconds=60))
    assert (api.phase, api.attempt, api.doing) == ("implement", "2/5", "write_file notes/storage.py")
    assert api.elapsed == "1m 07s" and api.tokens == "3.0k" and api.cost == "$0.0200"
    assert (storage.phase, storage.doing) == ("complete", "")
    assert (docs.phase, docs.doing) == ("planned", "waits for api")
    headline = board.headline(event.ts)
    assert (
        headline.startswith("notes · 1/3 landed · ")
        and "s · $0.0300 of $5.00 · 4.5k tokens · 3 model calls" in headline
    )


def test_the_board_names_the_phases_one_after_the_other(history, work_item):
    run = history([work_item("storage")])
    run.create()
    number = run.begin("storage")
    run.call("storage", number)
    run.submit("storage", number)
    run.check("storage", number, "tests")
    run.call("storage", number, role="reviewer-1")
    run.move("storage", ItemState.MERGING)
    board, phases = Board(run.state.id), []
    for event in run.events:
        board.take(event)
        phases += [line.phase for line in board.lines(event.ts)]
    assert list(dict.fromkeys(phases)) == ["planned", "ready", "implement", "check", "review", "land"]


def test_the_board_fits_the_terminal(history, work_item):
    from rich.console import Console

    run = history([work_item(f"item-{i:02d}") for i in range(40)])
    run.create()
    run.begin("item-33")
    board = Board(run.state.id)
    for event in run.events:
        board.take(event)
    for width, height in ((60, 12), (120, 50), (40, 5)):
        stream = io.StringIO()
        Console(file=stream, width=width).print(view(board, run.now(), width=width, height=height))
        lines = stream.getvalue().splitlines()
        assert len(lines) <= max(height, 4) and all(len(line) <= width for line in lines)
        assert any("item-33" in line for line in lines)  # what is at work is shown first
    assert "more" not in stream.getvalue() or height < 44
