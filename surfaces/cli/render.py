"""What `show`, `list` and the end of a run print for people. Everything comes from run documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

from aurea.reporting.commands import next_commands
from aurea.reporting.lines import event_line
from aurea.reporting.text import (
    caps,
    clean,
    count,
    doubts,
    duration,
    many,
    money,
    one_line,
    otherwise,
    place,
    spending,
    why_not,
)
from surfaces.cli.palette import MARKS, STYLES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aurea.ledger.verify import Verification

__all__ = ["event_line", "print_end", "print_inbox", "print_run", "print_runs", "print_verification"]

_TAIL_LINES = 15

_NARROW = 88  # columns under which times and money give way to names
_NUMBERS = ("try", "time", "tokens", "cost", "took", "bytes")

Document = Mapping[str, Any]


def print_run(
    document: dict[str, Any],
    *,
    item: str | None = None,
    files: Sequence[Document] | None = None,
    stream: TextIO | None = None,
) -> None:
    """The state of a run, or of one of its items; ends with the commands to inspect, merge and discard it."""
    console = _console(stream)
    if item is not None:
        entry = next(entry for entry in document["items"] if entry["id"] == item)
        _print_item(console, document, entry)
    else:
        _print_head(console, document)
        if document["items"]:
            console.print()
            console.print(_items_table(document, console.width))
        _print_questions(console, document)
    if files is not None:
        console.print()
        console.print(_files_table([file for file in files if item in (None, file["item"])]))
    _print_next(console, document)


def print_end(document: dict[str, Any], *, stream: TextIO | None = None) -> None:
    """The end of a run: what landed, what did not and why, and what can be done now."""
    console = _console(stream)
    _print_head(console, document)
    landed = [entry for entry in document["items"] if entry["landed"]]
    if landed:
        table = _grid()
        for entry in landed:
            tries = many(len(entry["attempts"]), "attempt")
            table.add_row(_mark(entry), *_names(entry), entry["landed"]["sha"][:12], tries)
        console.print("\nLanded", style="bold")
        console.print(table)
    others = [entry for entry in document["items"] if not entry["landed"]]
    if others:
        table = _grid()
        for entry in others:
            table.add_row(_mark(entry), *_names(entry), _styled(entry["state"]), _plain(why_not(entry)))
        console.print("\nDid not land", style="bold")
        console.print(table)
    _print_questions(console, document)
    _print_next(console, document)


def print_runs(rows: Sequence[Document], *, chosen: bool = False, stream: TextIO | None = None) -> None:
    """Runs, one a line. `chosen`: they are some of the runs only."""
    console = _console(stream)
    if not rows:
        console.print("no such runs" if chosen else "no runs yet; `aurea run` starts one")
        return
    numbers = console.width >= _NARROW
    table = _grid("run", "project", "state", "landed", *(("began", "took", "cost") if numbers else ()), "")
    for row in rows:
        done = sum(1 for item in row["items"] if item["state"] == "complete")
        began = datetime.fromisoformat(row["started_at"]).astimezone().strftime("%Y-%m-%d %H:%M")
        note = "; ".join(filter(None, ("unproven" if row["unproven"] else "", row["reason"] or "")))
        spent = (began, duration(row["seconds"]), money(row["cost"]["usd"]))
        table.add_row(
            row["run"], _plain(row["project"]), _styled(row["state"]), f"{done}/{len(row['items'])}",
            *(spent if numbers else ()), _plain(note),
        )  # fmt: skip
    console.print(table)


def print_inbox(questions: Sequence[Document], *, stream: TextIO | None = None) -> None:
    """Open questions with what may be answered, and how."""
    console = _console(stream)
    if not questions:
        console.print("nothing waits for you")
    for number, question in enumerate(questions):
        if number:
            console.print()
        about = f" · {question['item']}" if question["item"] else ""
        console.print(f"{question['question']}  {question['kind']} · run {question['run']}{about}", style="bold")
        console.print(clean(question["title"]))
        console.print(clean(question["why"]))
        for choice in question["choices"]:
            schema = question["form"].get(choice, {})
            names = [n if n in schema.get("required", ()) else f"{n}?" for n in schema.get("properties", {})]
            console.print(f"  {choice}" + (f" ({', '.join(names)})" if names else ""))
        console.print(otherwise(question["default"], question["deadline"]), soft_wrap=True)
        console.print(f"aurea decide {question['question']} --choice CHOICE [--field NAME=VALUE]... [--reason TEXT]")


def print_verification(found: Verification, *, stream: TextIO | None = None) -> None:
    """What `verify` found, and how far the proof reaches."""
    console = _console(stream)
    head = "sound" if found.ok else "broken"
    console.print(
        f"{head}: {many(found.checked, 'row')}, {many(found.bodies, 'text')}, {many(found.files, 'file')} compared"
    )
    if found.first_bad is not None:
        console.print(f"the first bad sequence number is {found.first_bad}")
    for problem in found.problems:
        console.print(f"  {problem}")
    for where in sorted({where for _, where in found.elsewhere}):
        runs = many(sum(there == where for _, there in found.elsewhere), "run")
        console.print(f"recorded in another ledger ({where}), not verified here: {runs}", soft_wrap=True)
    if found.after_checkpoint:
        rows = many(found.after_checkpoint, "row")
        where = f"behind the last checkpoint outside the ledger ({found.checkpoint})"
        console.print(f"the last {rows} lie {where}: a cut there could not be seen", soft_wrap=True)


def _console(stream: TextIO | None) -> Console:
    from surfaces.cli.console import console

    return console(stream)


def _print_head(console: Console, document: Document) -> None:
    from rich.text import Text

    title = Text(one_line(document["project"]), "bold")
    console.print(title.append("  ").append(_styled(document["state"])))
    if document["unproven"]:
        console.print("unproven: this run had no checks; nothing was shown by an executed check", style="yellow")
    if document["reason"]:
        console.print(one_line(document["reason"]), soft_wrap=True)
    facts = [f"run {document['run']}", duration(document["seconds"]), spending(document)]
    facts += [f"{document['provider']}:{one_line(document['model'])}", f"sandbox {document['sandbox']}"]
    if document["template"] != "loop":
        facts.append(f"template {one_line(document['template'])}")
    console.print(" · ".join(facts), style="dim", soft_wrap=True)
    if caps(document):
        console.print(f"budgets: {caps(document)}", style="dim", soft_wrap=True)
    console.print(f"folder {document['folder']}", style="dim", soft_wrap=True)
    if document["replay"]:
        console.print(f"{document['replay']['summary']}: {document['replay']['file']}", style="dim", soft_wrap=True)


def _items_table(document: Document, width: int) -> Table:
    numbers = width >= _NARROW
    table = _grid("", "item", "state", "try", *(("time", "tokens", "cost") if numbers else ()), "landed", "why")
    for entry in document["items"]:
        cost, attempts = entry["cost"], entry["attempts"]
        spent = (
            duration(sum(attempt["seconds"] for attempt in attempts)) if attempts else "",
            count(cost["input_tokens"] + cost["output_tokens"]),
            money(cost["usd"]),
        )
        table.add_row(
            _mark(entry), _plain(entry["id"]), _styled(entry["state"]), str(len(attempts) or ""),
            *(spent if numbers else ()), entry["landed"]["sha"][:12] if entry["landed"] else "",
            _plain("" if entry["landed"] else why_not(entry)),
        )  # fmt: skip
    return table


def _print_item(console: Console, document: Document, entry: Document) -> None:
    from rich.text import Text

    evidence = {found["id"]: found for found in document["evidence"]}
    title = Text(f"{entry['id']}: {one_line(entry['title'])}", "bold")
    console.print(title.append("  ").append(_styled(entry["state"])))
    console.print(clean(entry["goal"]).strip(), soft_wrap=True)
    if entry["depends_on"]:
        console.print(f"after {', '.join(entry['depends_on'])}", style="dim")
    verdict = entry["verdict"]
    judged = verdict["criteria"] if verdict else [{"text": t, "met": None, "evidence": []} for t in entry["criteria"]]
    table = _grid()
    for criterion in judged:
        mark = {True: Text("✓", "green"), False: Text("✗", "red"), None: Text("?", "dim")}[criterion["met"]]
        table.add_row(mark, _plain(criterion["text"]), _plain(" ".join(criterion["evidence"])))
    console.print(table)
    for attempt in entry["attempts"]:
        _print_attempt(console, document, attempt, evidence)
    if entry["landed"]:
        landed = entry["landed"]
        console.print(f"\nlanded as {landed['sha'][:12]}, gate {landed['gate']}", soft_wrap=True)


def _print_attempt(console: Console, document: Document, attempt: Document, evidence: Mapping[str, Document]) -> None:
    from rich.text import Text

    cost = attempt["cost"]
    facts = f"{attempt['model']} · {duration(attempt['seconds'])} · {money(cost['usd'])}"
    head = Text(f"\nattempt {attempt['number']}  ", "bold")
    console.print(head.append(_styled(attempt["state"])).append("  " + one_line(facts), "dim"), soft_wrap=True)
    if attempt["reason"]:
        console.print("  " + one_line(attempt["reason"]), soft_wrap=True)
    if attempt["partial"]:
        partial = attempt["partial"]
        left = f"; left to do: {'; '.join(partial['unfinished'])}" if partial["unfinished"] else ""
        console.print(f"  when its money was used up: {one_line(partial['summary'] + left)}", soft_wrap=True)
    if attempt["ref"]:
        console.print(f"  {attempt['ref']}: {many(len(attempt['files']), 'file')}", style="dim", soft_wrap=True)
    for finding in attempt["findings"]:
        told = f"{finding['severity']}: {place(finding)}{finding['text']}"
        console.print(f"  {one_line(told)}", style="dim", soft_wrap=True)
    if doubts(attempt):
        console.print(f"  {doubts(attempt)}", soft_wrap=True)
    table = _grid()
    for name in (*attempt["checks"], *attempt["reviews"]):
        found = evidence[name]
        log = f"{document['folder']}/{found['log']}" if found["log"] else ""
        table.add_row(found["kind"], _plain(found["name"]), _styled(found["outcome"]), found["id"], _plain(log))
    if table.row_count:
        console.print(table, soft_wrap=True)
    for name in attempt["checks"]:
        if not evidence[name]["passed"]:
            for line in clean(evidence[name]["tail"]).strip().splitlines()[-_TAIL_LINES:]:
                console.print("    " + line, style="dim", soft_wrap=True)


def _files_table(files: Iterable[Document]) -> Table:
    table = _grid("path", "item", "bytes", "SHA-256")
    for file in files:
        table.add_row(_plain(file["path"]), _plain(file["item"]), str(file["bytes"]), file["sha256"])
    return table


def _print_questions(console: Console, document: Document) -> None:
    if not document["questions"]:
        return
    console.print("\nWaits for a person", style="bold")
    for question in document["questions"]:
        console.print(f"  {question['question']}  {one_line(question['title'])}", style="yellow", soft_wrap=True)
        console.print(f"    {one_line(question['why'])}", soft_wrap=True)
        console.print(f"    answers: {', '.join(question['choices'])}", style="dim", soft_wrap=True)
        console.print(f"    {otherwise(question['default'], question['deadline'])}", style="dim", soft_wrap=True)


def _print_next(console: Console, document: dict[str, Any]) -> None:
    console.print()
    commands = next_commands(document)
    width = max(len(command.purpose) for command in commands)
    for command in commands:
        console.print(f"{command.purpose:<{width}}  {command.line}", soft_wrap=True)


def _grid(*header: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), show_header=bool(header), header_style="dim", pad_edge=False)
    for name in header:
        justify: Literal["left", "right"] = "right" if name in _NUMBERS else "left"
        # Ids are there to be copied: where room is short, words give way.
        words = name in ("", "project", "path", "why")
        table.add_column(name, justify=justify, no_wrap=not words, min_width=1)
    return table


def _mark(entry: Document) -> Text:
    from rich.text import Text

    return Text(MARKS[entry["state"]], STYLES[entry["state"]])


def _names(entry: Document) -> tuple[Text, Text]:
    """The id, by which commands know an item, and its title where it has one of its own."""
    return _plain(entry["id"]), _plain(entry["title"] if entry["title"] != entry["id"] else "")


def _styled(state: str) -> Text:
    from rich.text import Text

    return Text(state.replace("_", " "), STYLES.get(state, ""))


def _plain(text: str) -> Text:
    """Words of a model or a program as what they are: text."""
    from rich.text import Text

    return Text(one_line(text), overflow="fold")
