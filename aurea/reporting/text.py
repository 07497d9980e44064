"""Small pieces of text for people: times, money, counts, and words of models and programs made harmless."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# Escape sequences as a whole; other control and direction-changing characters one by one.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """`text` without what could steer a terminal or break a document; lines and tabs stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def one_line(text: str) -> str:
    """`text`, harmless, on one line."""
    return " ".join(clean(text).split())


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes, about: East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def cut(text: str, width: int) -> str:
    """`text` on one line in at most `width` columns, with `…` where something was left out."""
    text = one_line(text)
    if cells(text) <= width:
        return text
    kept = ""
    for char in text:
        if cells(kept + char) > width - 1:
            break
        kept += char
    return kept.rstrip() + "…"


def duration(seconds: float) -> str:
    """`2.1s`, `3m 05s`, `1h 02m`."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def count(number: int) -> str:
    """`950`, `12.3k`, `4.6M`."""
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def money(usd: float) -> str:
    """`$0.00`, `$0.0042`, `$1.25`: two places, four where the amount is under ten cents and not nothing."""
    return f"${usd:.4f}" if 0 < usd < 0.1 else f"${usd:.2f}"


def many(number: int, noun: str) -> str:
    """`1 item`, `3 items`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def place(finding: Mapping[str, Any]) -> str:
    """Where a finding is, to stand before it; empty where it is about no file."""
    return f"{finding['file']}: " if finding["file"] else ""


def doubts(attempt: Mapping[str, Any]) -> str:
    """What is to be said of an agent's report that does not hold in all it says; empty where it does, as far as is known."""
    return f"report: {many(attempt['not_borne_out'], 'statement')} not borne out" if attempt["not_borne_out"] else ""


def why_not(item: Mapping[str, Any]) -> str:
    """Why an item of a run document has not landed: what moved it last, and what its last attempt failed of."""
    if item["state"] == "planned":
        return "waits for " + ", ".join(item["depends_on"]) if item["depends_on"] else "not begun"
    if item["state"] in ("active", "awaiting_qa", "merging"):
        return f"attempt {len(item['attempts'])} is not over"
    cause = str(item["cause"])
    last = next((str(attempt["reason"]) for attempt in reversed(item["attempts"]) if attempt["reason"]), "")
    return "; ".join(dict.fromkeys(part for part in (cause, last if last not in cause else "") if part))


_DEFAULTS = {
    "stop": "the run ends, what has landed stays",
    "abandon_item": "the work item is given up, with what depends on it",
}


def otherwise(default: str, deadline: str | None) -> str:
    """What follows where nobody answers a question, given its `deadline` as run documents have it."""
    if deadline is None:
        return "it waits for an answer for ever"
    moment = f"{deadline[:10]} {deadline[11:19]} UTC"
    return f"if nobody answers by {moment}: {default} ({_DEFAULTS[default]})"


MOST_CAPS = 6


def caps(document: Mapping[str, Any]) -> str:
    """What was spent of the budgets of items, roles and the day, those that are nearest to their end first; or nothing."""
    used = [cap for cap in document["budget"]["caps"] if cap["spent_usd"]]
    used.sort(key=lambda cap: cap["limit_usd"] - cap["spent_usd"])
    whose = {"day": " (by this run)"}
    return ", ".join(
        f"{cap['scope']} {cap['name']} {money(cap['spent_usd'])} of {money(cap['limit_usd'])}{whose.get(cap['scope'], '')}"
        for cap in used[:MOST_CAPS]
    )


def spending(document: Mapping[str, Any]) -> str:
    """Tokens and money of a run, against its budget."""
    cost, limit = document["cost"], document["budget"]["limit_usd"]
    spent = money(cost["usd"]) + (f" of {money(limit)}" if limit is not None else "")
    calls, tokens = many(cost["model_calls"], "model call"), count(cost["input_tokens"] + cost["output_tokens"])
    return f"{calls}, {tokens} tokens, {spent}" + ("" if cost["priced"] else " (some calls have no known price)")
