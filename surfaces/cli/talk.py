"""Conversations and prompts of agents, for people: `show --item` and `show --prompt`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aurea.domain.errors import UsageError
from aurea.domain.state import RunState
from aurea.ports import Ledger
from aurea.reporting.conversations import of_item
from aurea.reporting.text import clean, count, many, one_line

if TYPE_CHECKING:
    from rich.console import Console

MOST = 1_200  # characters of one text or argument in a conversation
ANSWER_LINES = 12  # of what a tool answered
NAMES = {"assistant": "agent", "user": "line", "system": "instructions"}


def prompts(state: RunState, ledger: Ledger, item: str | None, attempt: int | None) -> list[dict[str, Any]]:
    """What the agents of an item, or without one the planners, were told: part by part, oldest first.

    `attempt` chooses one attempt, or planning round; the latest where it is None.
    """
    from aurea.agents.parts import Prompt

    known = [number for who, number, _ in state.prompts if who == item]
    if not known:
        whose = f"the agents of {item}" if item else "a planner"
        raise UsageError(
            f"nothing was told to {whose} yet", remedy="the spec may have given the plan" if not item else ""
        )
    chosen = attempt if attempt is not None else max(known)
    if chosen not in known:
        raise UsageError(f"there is no prompt of attempt {chosen}", remedy=f"there are: {_numbers(known)}")
    found = []
    for (who, number, conversation), body in state.prompts.items():
        if (who, number) != (item, chosen):
            continue
        prompt = Prompt.stored(ledger.body(body), "")
        parts = [{**part.model_dump(), "tokens": part.tokens} for part in prompt.parts]
        place = {"item": item, "attempt": number, "conversation": conversation}
        found.append({**place, "system": prompt.system, "parts": parts})
    return found


def print_prompts(found: Sequence[Mapping[str, Any]]) -> None:
    """Each conversation's instructions and parts, with what they take of their budgets."""
    console = _console()
    for prompt in found:
        whose = f"{prompt['item'] or 'planning'}, attempt {prompt['attempt']}: {prompt['conversation']}"
        total = sum(part["tokens"] for part in prompt["parts"])
        console.print(f"\n{whose}", style="bold")
        console.print(f"{many(len(prompt['parts']), 'part')}, about {count(total)} tokens", style="dim")
        console.print("\n[instructions]", style="bold")
        _print_text(console, prompt["system"])
        for part in prompt["parts"]:
            used = f"{part['tokens']} of {part['budget']} tokens"
            console.print(f"\n[{part['name']}] {one_line(part['title'])} · {used}", style="bold", soft_wrap=True)
            _print_text(console, part["text"])


def conversations(
    folder: Path, document: Mapping[str, Any], item: str, attempt: int | None = None
) -> list[dict[str, Any]]:
    """The conversations of an item as they stand in the run folder, cut to what a reader can take in."""
    entry = next(entry for entry in document["items"] if entry["id"] == item)
    numbers = [one["number"] for one in entry["attempts"]]
    if attempt is not None and attempt not in numbers:
        raise UsageError(f"work item {item!r} has no attempt {attempt}", remedy=f"it has: {_numbers(numbers)}")
    return of_item(folder, document, item, attempt, MOST)


def print_conversations(found: Sequence[Mapping[str, Any]]) -> None:
    """Who said what, tool calls and answers; what an agent was told first is left to `--prompt`."""
    console = _console()
    for conversation in found:
        console.print(f"\nconversation: {one_line(conversation['title'])}", style="bold", soft_wrap=True)
        first = 2 if conversation["path"] else 0  # a file begins with the prompt
        if conversation["messages"] is None:
            console.print(f"  too long to be shown: {conversation['path']}", style="dim", soft_wrap=True)
            continue
        for number, said in enumerate(conversation["messages"]):
            if number < first and said["who"] in ("system", "user"):
                continue
            _print_message(console, said)


def print_notes(document: Mapping[str, Any], item: str) -> None:
    """What the agents of an item handed in."""
    notes = [note for note in document["notes"] if note["item"] == item]
    if notes:
        console = _console()
        console.print("\nhanded in by its agents", style="bold")
        for note in notes:
            title = f"{note['title']}: " if note["title"] else ""
            who = f"{note['by']}, attempt {note['attempt']}"
            console.print(f"  {note['type']} ({who})  {one_line(title + note['text'])}", soft_wrap=True)


def _print_message(console: Console, said: Mapping[str, Any]) -> None:
    who = f"{said['tool']} answers" if said["who"] == "tool" else NAMES.get(said["who"], said["who"])
    console.print(f"  {one_line(who)}", style="cyan" if said["who"] == "assistant" else "dim")
    lines = said["text"].splitlines()
    most = ANSWER_LINES if said["who"] == "tool" else len(lines)
    for line in lines[:most]:
        console.print(f"    {line}", soft_wrap=True)
    if len(lines) > most:
        console.print(f"    … {many(len(lines) - most, 'line')} more", style="dim")


def _print_text(console: Console, text: str) -> None:
    for line in clean(text).splitlines():
        console.print(line, soft_wrap=True)


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(set(numbers)))) or "none"


def _console() -> Console:
    from surfaces.cli.console import console

    return console()
