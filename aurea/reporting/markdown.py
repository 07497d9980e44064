"""The report of a run for people: what landed and why, what did not, what it cost, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aurea.reporting.commands import next_commands
from aurea.reporting.svg import data_uri
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

_MOST_ROWS = 200
_TAIL_LINES = 12


def report_markdown(
    document: dict[str, Any],
    manifest: dict[str, Any],
    *,
    picture: str,
    compared: Mapping[str, Any] | None = None,
    chart: str = "",
    quality: Mapping[str, Any] | None = None,
    decisions: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The report as GitHub-flavoured markdown; `picture` is the plan as SVG, carried in the text as a data URI.

    `compared` and `chart` set the run beside earlier ones, `quality` is what the gate found, `decisions` are the
    answered questions as rows of their table.
    """
    parts = [
        *_head(document),
        *_questions(document),
        f"![Plan]({data_uri(picture)})",
        *_landed(document),
        *_not_landed(document),
        *_decisions(decisions),
        *_notes(document),
        *_attempts(document),
        *_checks(document),
        *_costs(document),
        *_files(manifest),
        *_replay(document),
        *_quality(quality),
        *_history(compared, chart),
        *_next(document),
        f"Recorded in the ledger as {many(manifest['ledger']['events'], 'event')} up to number "
        f"{manifest['ledger']['seq']}, `{manifest['ledger']['hash']}`. Everything else is in `{document['folder']}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(document: dict[str, Any]) -> list[str]:
    state = document["state"]
    done = sum(1 for item in document["items"] if item["state"] == "complete")
    parts = [f"# {escaped(document['project'])}: {state}"]
    if document["unproven"]:
        parts.append("> **unproven**: this run had no checks. Nothing below was shown by an executed check.")
    if document["reason"]:
        code = f" (`{document['reason_code']}`)" if document["reason_code"] else ""
        parts.append(f"**{escaped(document['reason'])}**{code}")
    parts.append(
        f"Run `{document['run']}` · {done} of {many(len(document['items']), 'item')} landed · "
        f"{duration(document['seconds'])} · {spending(document)} · {document['provider']}:{escaped(document['model'])} · "
        f"sandbox {document['sandbox']}"
    )
    if caps(document):
        parts.append(f"Budgets: {caps(document)}")
    parts.append(f"Objective: {escaped(document['objective'])}")
    return parts


def _landed(document: dict[str, Any]) -> list[str]:
    items = [item for item in document["items"] if item["landed"]]
    parts = ["## What landed"]
    if not items:
        return [*parts, "Nothing."]
    named = {entry["id"]: f"{escaped(entry['name'])} `{entry['id']}`" for entry in document["evidence"]}
    for item in items:
        landed, verdict = item["landed"], item["verdict"]
        proof = "unproven, no gate" if document["unproven"] else f"gate `{landed['gate'].partition(':')[2][:12]}`"
        parts.append(
            f"### {escaped(item['title'])} (`{item['id']}`)\n\nCommit `{landed['sha'][:12]}`, tree "
            f"`{landed['tree'][:12]}`, {proof}, attempt {landed['attempt']}, merge {landed['rung']}."
        )
        if verdict:
            parts.append(_criteria(verdict["criteria"], named))
    return [part for part in parts if part]


def _criteria(criteria: Sequence[dict[str, Any]], named: Mapping[str, str]) -> str:
    """A list, since Prefect's pages are narrow and wrap no cell of a table."""
    words = {True: "met", False: "not met", None: "not shown"}
    return "\n".join(
        f"- **{words[c['met']]}**: {escaped(c['text'])} "
        f"({', '.join(named.get(name, f'`{name}`') for name in c['evidence']) or 'no evidence'})"
        for c in criteria
    )


def _not_landed(document: dict[str, Any]) -> list[str]:
    items = [item for item in document["items"] if not item["landed"]]
    if not items:
        return []
    rows = [(i["title"], i["state"].replace("_", " "), str(len(i["attempts"])), why_not(i)) for i in items]
    return ["## What did not land", table(("item", "state", "attempts", "why"), rows)]


def _replay(document: dict[str, Any]) -> list[str]:
    played = document["replay"]
    return ["## Replay", f"{escaped(played['summary'])}: `{played['file']}`."] if played else []


def _questions(document: dict[str, Any]) -> list[str]:
    if not document["questions"]:
        return []
    parts = ["## Waits for a person"]
    for question in document["questions"]:
        answers = ", ".join(f"`{choice}`" for choice in question["choices"])
        default = otherwise(question["default"], question["deadline"])
        title, url = escaped(question["title"]), question["ui_url"]
        why = "\n".join(escaped(line) for line in clean(question["why"]).splitlines())
        parts.append(
            f"**{f'[{title}]({url})' if url else title}** (`{question['question']}`, {question['kind']})\n\n"
            f"{why}\n\nAnswers: {answers}; {default}."
        )
    return parts


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> list[str]:
    if not decisions:
        return []
    rows = [
        (row["title"], row["choice"], row["reason"] or "", f"{row['by']} ({row['door']})", duration(row["waited_s"]))
        for row in decisions
    ]
    return ["## Decisions of people", table(("question", "decision", "why", "by", "waited"), rows)]


def _notes(document: dict[str, Any]) -> list[str]:
    """What agents handed in, as lists: decisions, insights, escalations."""
    heads = {"decision": "## Design decisions", "insight": "## Insights", "escalation": "## Escalations"}
    parts = []
    for kind, head in heads.items():
        notes = [note for note in document["notes"] if note["type"] == kind][:_MOST_ROWS]
        if notes:
            parts += [head, "\n".join(f"- {_note(note)}" for note in notes)]
    return parts


def _note(note: dict[str, Any]) -> str:
    title = f"**{escaped(note['title'])}**: " if note["title"] else ""
    return f"{title}{escaped(note['text'])} ({escaped(note['by'])} of `{note['item']}`, attempt {note['attempt']})"


def _attempts(document: dict[str, Any]) -> list[str]:
    tried = [(item, attempt) for item in document["items"] for attempt in item["attempts"]]
    if not tried:
        return []
    rows = [
        (
            item["title"], str(a["number"]), a["state"], ", then ".join([a["model"], *a["fallbacks"]]), duration(a["seconds"]),
            money(a["cost"]["usd"]), a["reason"] or "",
        )
        for item, a in tried
    ]  # fmt: skip
    parts = ["## Attempts", table(("item", "attempt", "state", "model", "time", "cost", "why it did not land"), rows)]
    doubted = [
        f"- {escaped(item['title'])}, attempt {a['number']}: {escaped(doubts(a))}\n{_untrue(a)}"
        for item, a in tried
        if doubts(a)
    ]
    if doubted:
        parts.append("Reports of agents, held against what is known:\n\n" + "\n".join(doubted))
    evidence = {entry["id"]: entry for entry in document["evidence"]}
    lessons = [lesson for item, a in tried if a["state"] == "failed" for lesson in _lesson(item, a, evidence)]
    return [*parts, "### What failed attempts taught", *lessons] if lessons else parts


def _untrue(attempt: dict[str, Any]) -> str:
    told = [finding for finding in attempt["findings"] if finding["severity"] == "minor"]
    return "\n".join(f"  - {escaped(place(finding) + finding['text'])}" for finding in told)


def _lesson(item: dict[str, Any], attempt: dict[str, Any], evidence: dict[str, dict[str, Any]]) -> list[str]:
    parts = [
        f"**{escaped(item['title'])}, attempt {attempt['number']}**: {escaped(attempt['reason'] or 'did not pass')}"
    ]
    if attempt["report"]:
        parts.append(f"It had tried: {escaped(attempt['report']['summary'])}")
    for name in (*attempt["checks"], *attempt["reviews"]):
        entry = evidence[name]
        if not entry["passed"] and entry["tail"].strip():
            tail = "\n".join(clean(entry["tail"]).strip().splitlines()[-_TAIL_LINES:])
            parts.append(f"{escaped(entry['name'])} (`{name}`) ended with:\n\n{_fenced(tail)}")
    return parts


def _checks(document: dict[str, Any]) -> list[str]:
    if not document["evidence"]:
        return []
    rows = [
        (
            e["kind"], escaped(e["name"]), _place(e), e["outcome"].replace("_", " "),
            "" if e["exit_code"] is None else str(e["exit_code"]), duration(e["seconds"]), f"`{e['id']}`",
        )
        for e in document["evidence"]
    ]  # fmt: skip
    header = ("kind", "name", "item", "outcome", "exit", "time", "evidence")
    return ["## Checks and reviews", table(header, rows, raw=set(range(len(header))))]


def _place(evidence: Mapping[str, Any]) -> str:
    return escaped(f"{evidence['item']} #{evidence['attempt']}") if evidence["item"] else ""


def _costs(document: dict[str, Any]) -> list[str]:
    rows = [(escaped(item["title"]), *_cost(item["cost"])) for item in document["items"]]
    rows.append(("**the whole run**", *_cost(document["cost"])))
    note = [] if document["cost"]["priced"] else ["Some calls have no known price and count as $0.00."]
    return [
        "## Cost",
        table(("item", "model calls", "tool calls", "tokens in", "tokens out", "cost"), rows, raw={0}),
        *note,
    ]


def _cost(cost: dict[str, Any]) -> tuple[str, str, str, str, str]:
    calls, tools = str(cost["model_calls"]), str(cost["tool_calls"])
    return calls, tools, count(cost["input_tokens"]), count(cost["output_tokens"]), money(cost["usd"])


def _files(manifest: dict[str, Any]) -> list[str]:
    if not manifest["files"]:
        return []
    rows = [(f["path"], f["item"], str(f["bytes"]), f["media_type"], f["sha256"][:16]) for f in manifest["files"]]
    return ["## Files", table(("path", "item", "bytes", "type", "SHA-256 begins"), rows)]


def _quality(quality: Mapping[str, Any] | None) -> list[str]:
    if quality is None:
        return []
    done = "passed" if quality["passed"] else "**failed**"
    judge = f"{many(len(quality['expectations']), 'expectation')}, judged by {quality['judged_by']}"
    note = f" ({escaped(quality['note'])})" if quality["note"] else ""
    said = [f"- **{escaped(words)}**" for words in quality["failures"]]
    said += [f"- {escaped(words)}" for words in quality["warnings"]]
    return ["## Quality gate", f"{done}: {judge}{note}.", *(["\n".join(said)] if said else [])]


def _history(compared: Mapping[str, Any] | None, chart: str) -> list[str]:
    if compared is None:
        return []
    parts = ["## Against the last runs of the project", escaped(compared["note"])]
    if compared["runs"]:
        rows = [
            (row["words"], *(f"{row[key]:g}" for key in ("now", "median", "least", "most")),
             "" if row["p"] is None else f"{row['p']:g}")
            for row in compared["measures"]
        ]  # fmt: skip
        parts += [f"![The last runs]({data_uri(chart)})"] if chart else []
        parts.append(table(("measure", "this run", "median", "least", "most", "p"), rows))
    return parts


def _next(document: dict[str, Any]) -> list[str]:
    lines = "\n".join(f"{command.line}  # {command.purpose}" for command in next_commands(document))
    return ["## What to do next", _fenced(lines, "sh")]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, raw: Iterable[int] = ()) -> str:
    """A markdown table. Cells are escaped unless their column is `raw` (built here, of escaped parts)."""
    every, plain = list(rows), set(raw)
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in every[:_MOST_ROWS]:
        lines.append("| " + " | ".join(cell if i in plain else escaped(cell) for i, cell in enumerate(row)) + " |")
    more = f"\n\n… and {len(every) - _MOST_ROWS} more, in the run folder." if len(every) > _MOST_ROWS else ""
    return "\n".join(lines) + more


def escaped(text: str) -> str:
    """`text`, whoever wrote it, as plain words in markdown: no table border, tag, link or emphasis of its own."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", one_line(text)).replace("&", "&amp;")


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
