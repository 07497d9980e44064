"""A run under way as one page of markdown: what waits for a person, and what every item is at."""

from __future__ import annotations

from datetime import datetime

from aurea.domain.state import RunState
from aurea.reporting.board import Board
from aurea.reporting.document import question_documents
from aurea.reporting.markdown import escaped, table
from aurea.reporting.text import cut, otherwise

_DOING = 100


def progress_markdown(board: Board, now: datetime) -> str:
    """What a watcher wants to know at this moment beside the headline: first the questions, each with the way to its form."""
    state = board.state
    parts: list[str] = []
    if state.ended is not None and not state.questions:
        parts.append(f"**{state.ended.state}**" + (f": {escaped(state.ended.reason)}" if state.ended.reason else ""))
    parts += _waiting(state)
    rows = [
        (line.name, line.phase, line.attempt, cut(line.doing, _DOING), line.elapsed, line.cost)
        for line in board.lines(now)
    ]
    if rows:
        parts.append(table(("item", "state", "attempt", "now", "time", "cost"), rows))
    parts.append(f"As of {now:%Y-%m-%d %H:%M:%S} UTC.")
    return "\n\n".join(parts) + "\n"


def _waiting(state: RunState) -> list[str]:
    """The open questions; one that Prefect does not show yet can be answered on the command line already."""
    if not state.questions:
        return []
    lines = []
    for question in question_documents(state):
        title, url = escaped(question["title"]), question["ui_url"]
        lines.append(
            f"- {f'[{title}]({url})' if url else title} ({question['kind']}, `aurea decide {question['question']}`); "
            + otherwise(question["default"], question["deadline"])
        )
    return ["### Waits for a person", "\n".join(lines)]
