"""The report of a run for people: what landed and why, what did not, what it cost, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aurea.reporting.commands import next_commands
from aurea.reporting.svg import data_uri
from aurea.reporting.text import clean, count, duration, many, money, one_line, otherwise, spending, why_not

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
) -> str:
    """The report as GitHub-flavoured markdown; `picture` is the plan as SVG, carried in the text as a data URI.

    `compared` and `chart` set the run beside earlier ones, `quality` is what the gate found.
    """
    parts = [
        *_head(document),
        f"![Plan]({data_uri(picture)})",
        *_landed(document),
        *_not_landed(document),
        *_questions(document),
        *_attempts(document),
        *_checks(document),
        *_costs(document),
        *_files(manifest),
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
    parts = [f"# {_text(document['project'])}: {state}"]
    if document["unproven"]:
        parts.append("> **unproven**: this run had no checks. Nothing below was shown by an executed check.")
    if document["reason"]:
        code = f" (`{document['reason_code']}`)" if document["reason_code"] else ""
        parts.append(f"**{_text(document['reason'])}**{code}")
    parts.append(
        f"Run `{document['run']}` · {done} of {many(len(document['items']), 'item')} landed · "
        f"{duration(document['seconds'])} · {spending(document)} · {document['provider']}:{_text(document['model'])} · "
        f"sandbox {document['sandbox']}"
    )
    parts.append(f"Objective: {_text(document['objective'])}")
    return parts


def _landed(document: dict[str, Any]) -> list[str]:
    items = [item for item in document["items"] if item["landed"]]
    parts = ["## What landed"]
    if not items:
        return [*parts, "Nothing."]
    for item in items:
        landed, verdict = item["landed"], item["verdict"]
        proof = "unproven, no gate" if document["unproven"] else f"gate `{landed['gate']}`"
        parts.append(
            f"### {_text(item['title'])} (`{item['id']}`)\n\nCommit `{landed['sha'][:12]}`, tree "
            f"`{landed['tree'][:12]}`, {proof}, attempt {landed['attempt']}, merge {landed['rung']}."
        )
        if verdict:
            parts.append(_criteria(verdict["criteria"]))
    return [part for part in parts if part]


def _criteria(criteria: Sequence[dict[str, Any]]) -> str:
    words = {True: "met", False: "not met", None: "not shown"}
    return _table(
        ("criterion", "", "evidence"),
        [(c["text"], words[c["met"]], ", ".join(f"`{name}`" for name in c["evidence"]) or "none") for c in criteria],
        raw={2},
    )


def _not_landed(document: dict[str, Any]) -> list[str]:
    items = [item for item in document["items"] if not item["landed"]]
    if not items:
        return []
    rows = [(i["title"], i["state"].replace("_", " "), str(len(i["attempts"])), why_not(i)) for i in items]
    return ["## What did not land", _table(("item", "state", "attempts", "why"), rows)]


def _questions(document: dict[str, Any]) -> list[str]:
    if not document["questions"]:
        return []
    parts = ["## Waits for a person"]
    for question in document["questions"]:
        answers = ", ".join(f"`{choice}`" for choice in question["choices"])
        default = otherwise(question["default"], question["deadline"])
        parts.append(
            f"**{_text(question['title'])}** (`{question['question']}`, {question['kind']})\n\n"
            f"{_text(question['why'])}\n\nAnswers: {answers}; {default}."
        )
    return parts


def _attempts(document: dict[str, Any]) -> list[str]:
    tried = [(item, attempt) for item in document["items"] for attempt in item["attempts"]]
    if not tried:
        return []
    rows = [
        (
            item["title"], str(a["number"]), a["state"], a["model"], duration(a["seconds"]),
            money(a["cost"]["usd"]), a["reason"] or "",
        )
        for item, a in tried
    ]  # fmt: skip
    parts = ["## Attempts", _table(("item", "attempt", "state", "model", "time", "cost", "why it did not land"), rows)]
    evidence = {entry["id"]: entry for entry in document["evidence"]}
    lessons = [lesson for item, a in tried if a["state"] == "failed" for lesson in _lesson(item, a, evidence)]
    return [*parts, "### What failed attempts taught", *lessons] if lessons else parts


def _lesson(item: dict[str, Any], attempt: dict[str, Any], evidence: dict[str, dict[str, Any]]) -> list[str]:
    parts = [f"**{_text(item['title'])}, attempt {attempt['number']}**: {_text(attempt['reason'] or 'did not pass')}"]
    if attempt["report"]:
        parts.append(f"It had tried: {_text(attempt['report']['summary'])}")
    for name in (*attempt["checks"], *attempt["reviews"]):
        entry = evidence[name]
        if not entry["passed"] and entry["tail"].strip():
            tail = "\n".join(clean(entry["tail"]).strip().splitlines()[-_TAIL_LINES:])
            parts.append(f"{_text(entry['name'])} (`{name}`) ended with:\n\n{_fenced(tail)}")
    return parts


def _checks(document: dict[str, Any]) -> list[str]:
    if not document["evidence"]:
        return []
    rows = [
        (
            f"`{e['id']}`", e["kind"], _text(e["name"]), _text(e["item"] or ""), str(e["attempt"] or ""), e["outcome"],
            "" if e["exit_code"] is None else str(e["exit_code"]), duration(e["seconds"]), f"`{e['tree'][:12]}`",
        )
        for e in document["evidence"]
    ]  # fmt: skip
    header = ("evidence", "kind", "name", "item", "attempt", "outcome", "exit", "time", "tree")
    return ["## Checks and reviews", _table(header, rows, raw=set(range(len(header))))]


def _costs(document: dict[str, Any]) -> list[str]:
    rows = [(_text(item["title"]), *_cost(item["cost"])) for item in document["items"]]
    rows.append(("**the whole run**", *_cost(document["cost"])))
    note = [] if document["cost"]["priced"] else ["Some calls have no known price and count as $0.00."]
    return [
        "## Cost",
        _table(("item", "model calls", "tool calls", "tokens in", "tokens out", "cost"), rows, raw={0}),
        *note,
    ]


def _cost(cost: dict[str, Any]) -> tuple[str, str, str, str, str]:
    calls, tools = str(cost["model_calls"]), str(cost["tool_calls"])
    return calls, tools, count(cost["input_tokens"]), count(cost["output_tokens"]), money(cost["usd"])


def _files(manifest: dict[str, Any]) -> list[str]:
    if not manifest["files"]:
        return []
    rows = [(f["path"], f["item"], str(f["bytes"]), f["media_type"], f["sha256"][:16]) for f in manifest["files"]]
    return ["## Files", _table(("path", "item", "bytes", "type", "SHA-256 begins"), rows)]


def _quality(quality: Mapping[str, Any] | None) -> list[str]:
    if quality is None:
        return []
    done = "passed" if quality["passed"] else "**failed**"
    judge = f"{many(len(quality['expectations']), 'expectation')}, judged by {quality['judged_by']}"
    note = f" ({_text(quality['note'])})" if quality["note"] else ""
    said = [f"- **{_text(words)}**" for words in quality["failures"]]
    said += [f"- {_text(words)}" for words in quality["warnings"]]
    return ["## Quality gate", f"{done}: {judge}{note}.", *(["\n".join(said)] if said else [])]


def _history(compared: Mapping[str, Any] | None, chart: str) -> list[str]:
    if compared is None:
        return []
    parts = ["## Against the last runs of the project", _text(compared["note"])]
    if compared["runs"]:
        rows = [
            (row["words"], *(f"{row[key]:g}" for key in ("now", "median", "least", "most")),
             "" if row["p"] is None else f"{row['p']:g}")
            for row in compared["measures"]
        ]  # fmt: skip
        parts += [f"![The last runs]({data_uri(chart)})"] if chart else []
        parts.append(_table(("measure", "this run", "median", "least", "most", "p"), rows))
    return parts


def _next(document: dict[str, Any]) -> list[str]:
    lines = "\n".join(f"{command.line}  # {command.purpose}" for command in next_commands(document))
    return ["## What to do next", _fenced(lines, "sh")]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, raw: Iterable[int] = ()) -> str:
    """A markdown table. Cells are escaped unless their column is `raw` (built here, of escaped parts)."""
    every, plain = list(rows), set(raw)
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in every[:_MOST_ROWS]:
        lines.append("| " + " | ".join(cell if i in plain else _text(cell) for i, cell in enumerate(row)) + " |")
    more = f"\n\n… and {len(every) - _MOST_ROWS} more, in the run folder." if len(every) > _MOST_ROWS else ""
    return "\n".join(lines) + more


def _text(text: str) -> str:
    """`text`, whoever wrote it, as plain words in markdown: no table border, tag, link or emphasis of its own."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", one_line(text)).replace("&", "&amp;")


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
