"""What models say at this moment: told by `tail` as it comes, and by `show --item` of calls that are not answered yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aurea.domain import events as ev
from aurea.domain.errors import AureaError
from aurea.domain.state import Place, RunState
from aurea.ports import Ledger
from aurea.reporting.conversations import message
from aurea.reporting.lines import event_line
from aurea.reporting.text import clean, many

ANSWER_LINES = 24  # of what the model said
TAIL_LINES = 6  # of what a tool answered
MOST = 1_200  # characters of one text or argument
BEHIND = f"{'':21}| "
MARKS: Mapping[str, str] = {"reasoning": "~ ", "tool": "→ "}  # what tells thoughts and names of tools from words


class Teller:
    """Turns events into lines, in the order in which they come. With `words`, what is said and answered stands below.

    Words that were told while they came are not repeated with the answer. Of calls that were answered before anybody
    looked, the answer is told alone. Without `words` one line tells that a model begins to think, write or call.
    """

    def __init__(self, ledger: Ledger, *, words: bool) -> None:
        self._ledger = ledger
        self._words = words
        self._told: dict[Place, str] = {}
        self._speaker: tuple[Place, str] | None = None
        self._begun: set[tuple[Place, str]] = set()

    def text(self, events: Sequence[ev.Event]) -> Iterator[str]:
        """What to print of the events that came since the last call. A line that is being said is left open."""
        over = {_place(event) for event in events if isinstance(event.fact, ev.ModelAnswered | ev.ModelFailed)}
        for event in events:
            if isinstance(event.fact, ev.ModelSaid):
                if _place(event) not in over:
                    yield from self._piece(event, event.fact)
                continue
            yield self.end()
            yield f"{event_line(event)}\n"
            if self._words:
                yield from (f"{line}\n" for line in self._below(event))

    def end(self) -> str:
        """What ends the line that is open, if there is one."""
        spoke, self._speaker = self._speaker, None
        return "\n" if spoke else ""

    def _piece(self, event: ev.Event, fact: ev.ModelSaid) -> Iterator[str]:
        """Words follow on those before them; the line of the event stands where another begins to speak."""
        place = _place(event)
        known = (place, fact.kind) in self._begun
        self._begun.add((place, fact.kind))
        if known and not self._words:
            return
        text = _kept(self._ledger, fact.body) if self._words and fact.body else None
        if text is None:
            yield f"{self.end()}{event_line(event)}\n"
            return
        if fact.kind == "text":
            self._told[place] = self._told.get(place, "") + text
        if self._speaker != (place, fact.kind):
            yield f"{self.end()}{event_line(event)}\n{BEHIND}{MARKS.get(fact.kind, '')}"
        elif fact.kind == "tool":
            yield f"\n{BEHIND}{MARKS[fact.kind]}"
        self._speaker = (place, fact.kind)
        yield clean(text).replace("\n", f"\n{BEHIND}{MARKS.get(fact.kind, '')}")

    def _below(self, event: ev.Event) -> Iterator[str]:
        match event.fact:
            case ev.ModelAnswered() as fact:
                told = self._told.pop(_place(event), "")
                reply = _kept(self._ledger, fact.body)
                if reply is not None:
                    said = json.loads(reply)
                    if told and said["text"].startswith(told):
                        said["text"] = said["text"][len(told) :]
                    yield from _indented(message({"role": "assistant", **said}, MOST)["text"], ANSWER_LINES)
            case ev.ModelFailed():
                self._told.pop(_place(event), None)
            case ev.ToolEnded() as fact:
                answer = _kept(self._ledger, fact.body)
                if answer is not None:
                    yield from _indented(clean(answer), TAIL_LINES)


def under_way(
    state: RunState, ledger: Ledger, item: str, attempt: int | None = None, *, alive: bool
) -> list[dict[str, Any]]:
    """What was said so far in calls of a work item that are not answered: a conversation with one message each.

    Those of its latest attempt, where `attempt` names none.
    """
    found = []
    chosen = attempt or len(state.item(item).attempts)
    for (whose, number, conversation, step), facts in state.saying.items():
        if (whose, number) != (item, chosen):
            continue
        pieces = [(fact.kind, _kept(ledger, fact.body) or "") for fact in facts if fact.body]
        doing = "is being answered" if alive else "was not answered to the end"
        tokens = many(facts[-1].tokens, "token")
        title = f"{item}, attempt {number}: {conversation}, step {step} {doing}, about {tokens} so far"
        said = {"who": "assistant", "tool": "", "text": _together(pieces), "unfinished": True}
        found.append({"title": title, "path": None, "messages": [said]})
    return found


def _together(pieces: Sequence[tuple[str, str]]) -> str:
    runs: list[tuple[str, str]] = []
    for kind, text in pieces:
        if runs and runs[-1][0] == kind:
            between = "\n" if kind == "tool" else ""
            runs[-1] = (kind, runs[-1][1] + between + text)
        else:
            runs.append((kind, text))
    return "\n".join(_spoken(kind, text) for kind, text in runs)


def _spoken(kind: str, text: str) -> str:
    mark = MARKS.get(kind, "")
    return "\n".join(mark + line for line in clean(text).strip("\n").splitlines())


def _place(event: ev.Event) -> Place:
    fact: Any = event.fact
    return (event.item, event.attempt or 0, fact.conversation, fact.step)


def _kept(ledger: Ledger, body: str) -> str | None:
    """A text of the ledger; None where it was purged."""
    try:
        return ledger.body(body)
    except AureaError:
        return None


def _indented(text: str, most: int) -> Iterator[str]:
    lines = text.strip("\n").splitlines()
    for line in lines[:most]:
        yield f"{BEHIND}{line}"
    if len(lines) > most:
        yield f"{BEHIND}… {many(len(lines) - most, 'line')} more"
