"""What a replay was asked otherwise than its recording: in a line, as `drift.json` and as `drift.md`."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aurea.agents.told import prompt_of
from aurea.domain.effective import effective_spec
from aurea.domain.errors import AureaError
from aurea.domain.events import Difference
from aurea.domain.messages import Address
from aurea.domain.state import Place, RunState
from aurea.models.cassette import Cassette, read_cassette
from aurea.ports import Ledger
from aurea.reporting.text import clean, many, one_line

FILE = "artifacts/drift.md"
MOST_PLACES = 200  # of a kind, in the text for people
MOST_LINES = 60  # of a text diff
_MOST_NAMES = 2


def replayed(state: RunState) -> dict[str, Any] | None:
    """How much of a run was played from a cassette, and what differed, as run documents tell it; None: nothing was."""
    played = [key for key, call in state.asked.items() if call.provider == "replay"]
    if not played:
        return None
    kinds: Counter[str] = Counter(one.kind for fact in state.drifted.values() for one in fact.differences)
    answers = sum(key in state.journal for key in played)
    return {
        "answers": answers,
        "drifted": len(state.drifted),
        "kinds": dict(sorted(kinds.items())),
        "summary": f"replayed {many(answers, 'answer')}; {_summary(state, kinds)}",
        "file": FILE,
    }


def drift_document(state: RunState, ledger: Ledger) -> dict[str, Any] | None:
    """`aurea.drift/1`: every place that differs and what of it, answers nobody asked for, questions without an answer."""
    told = replayed(state)
    if told is None:
        return None
    path = effective_spec(state).cassette or ""
    try:
        cassette = read_cassette(Path(path))
    except AureaError:
        cassette = None
    answers = cassette.answers if cassette else {}
    played = [key for key, call in state.asked.items() if call.provider == "replay" and key not in state.journal]
    texts = cassette.texts() if cassette else {}
    return {
        "schema": "aurea.drift/1",
        "run": state.id,
        "cassette": path,
        "recorded_run": cassette.header.get("run") if cassette else None,
        "readable": cassette is not None,
        "held": len(answers),
        "compared": sum(cassette.asked(key) is not None for key in answers) if cassette else 0,
        **told,
        "places": [
            {
                **_place(key),
                "differences": [_entry(state, ledger, cassette, texts, key, one) for one in fact.differences],
            }
            for key, fact in state.drifted.items()
        ],
        "unused": [_place(key) for key in answers if key not in state.journal],
        "missing": [_place(key) for key in played if key not in answers],
        "over": state.finished,
    }


def drift_markdown(document: Mapping[str, Any]) -> str:
    """The drift report for people: changed prompts first, with what was changed; then results, which often differ."""
    parts = ["# Replay against recording", f"{document['summary']}.", *_about(document)]
    changes = [(place, one) for place in document["places"] for one in place["differences"]]
    results = [(place, one) for place, one in changes if one["kind"] == "result"]
    others = [(place, one) for place, one in changes if one["kind"] != "result"]
    if others:
        parts += ["## What is asked otherwise", *_told(others)]
    if results:
        parts.append(
            "## Results of tools that differ\n\nThey stand behind what the tools were told to do by recorded answers. "
            "Hashes, times, temporary places and the like are left out of the comparison; what is left are other outputs."
        )
        parts.append(_listed(f"{_where(place)}: {_code(one['name'])} {one['how']}" for place, one in results))
    if document["missing"]:
        parts += ["## Asked for, and not in the cassette", _listed(map(_where, document["missing"]))]
    if document["unused"]:
        so_far = "" if document["over"] else " so far"
        parts += [f"## In the cassette, and not asked for{so_far}", _listed(map(_where, document["unused"]))]
    return "\n\n".join(parts) + "\n"


def _about(document: Mapping[str, Any]) -> list[str]:
    run = f", the recording of run `{document['recorded_run']}`" if document["recorded_run"] else ""
    found = [f"Cassette: {_code(document['cassette'])}{run}."]
    if not document["readable"]:
        found.append("The cassette cannot be read any more: what it holds beyond the answers given is not known.")
    elif not document["compared"]:
        found.append("The cassette does not say what had been asked (`asked`), so there is nothing to compare with.")
    else:
        found.append(f"{document['compared']} of its {many(document['held'], 'answer')} say what had been asked.")
    return found


def _summary(state: RunState, kinds: Mapping[str, int]) -> str:
    said = []
    if kinds.get("result"):
        said.append(f"{many(kinds['result'], 'tool result')} {'differs' if kinds['result'] == 1 else 'differ'}")
    for kind, name in (("system", "the instructions"), ("task", "the task"), ("tools", "the tools"), ("model", "the model"),
                       ("options", "the options")):  # fmt: skip
        if kinds.get(kind):
            said.append(f"{name} of {_conversations(state, kind)} {'differ' if name.endswith('s') else 'differs'}")
    if kinds.get("said"):
        said.append(f"what the agent was told in between differs at {many(kinds['said'], 'place')}")
    if kinds.get("unknown"):
        said.append(f"something differs at {many(kinds['unknown'], 'place')}, and the recording does not tell what")
    return ", ".join(said) or "no difference found"


def _conversations(state: RunState, kind: str) -> str:
    keys = [key for key, fact in state.drifted.items() if any(one.kind == kind for one in fact.differences)]
    names = list(dict.fromkeys(f"{key[2]} ({key[0]})" if key[0] else key[2] for key in keys))
    return " and ".join(names) if len(names) <= _MOST_NAMES else many(len(names), "conversation")


def _place(key: Place) -> dict[str, Any]:
    return dict(zip(("item", "attempt", "conversation", "step"), key, strict=True))


def _entry(
    state: RunState, ledger: Ledger, cassette: Cassette | None, texts: Mapping[str, str], key: Place, one: Difference
) -> dict[str, Any]:
    """A difference, with the change of its text where both are at hand."""
    found: dict[str, Any] = one.model_dump(mode="json")
    recorded = cassette.asked(key) if cassette else None
    if recorded is None or one.kind not in ("task", "system"):
        return found
    call = state.asked[key]
    item, attempt, conversation, step = key
    at = Address(run=state.id, item=item, attempt=attempt, role=call.role, conversation=conversation, step=step)
    try:
        prompt = prompt_of(ledger, at)
    except AureaError:  # its text was removed
        prompt = None
    now = {part.name: part.text for part in prompt.parts} if prompt else {}
    here = (prompt.system if prompt else None) if one.kind == "system" else now.get(one.name, "")
    name = recorded.system if one.kind == "system" else recorded.task.get(one.name, "")
    then = texts.get(name) if name else ""
    if prompt is not None and then is not None and here is not None:
        found["diff"] = _diff(then, here)
    return found


def _diff(then: str, here: str) -> list[str]:
    lines = list(difflib.unified_diff(then.splitlines(), here.splitlines(), "recorded", "asked now", lineterm="", n=1))
    more = len(lines) - MOST_LINES
    return [clean(line) for line in lines[:MOST_LINES]] + ([f"... {more} more lines"] if more > 0 else [])


def _told(changes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    """One entry for each different change, with all the places where it shows."""
    words = {"system": "The instructions", "said": "What the agent was told in between", "options": "The options"}
    groups: dict[tuple[Any, ...], list[str]] = {}
    for place, one in changes:
        key = (one["kind"], one["name"], one["how"], tuple(one.get("diff", ())))
        groups.setdefault(key, []).append(_where(place))
    found = []
    for (kind, name, how, diff), places in groups.items():
        named = {"task": "The task, part", "tools": "The tool", "model": "The model"}.get(kind, "")
        what = (
            f"{named} {_code(name)}"
            if named
            else words.get(kind, "Something, of which the recording does not tell more")
        )
        text = f"**{what}** is {how if how != 'new' else 'new, and was not there then'}:\n\n{_listed(places)}"
        found.append(text + ("\n\n~~~~diff\n" + "\n".join(diff) + "\n~~~~" if diff else ""))
    return found


def _where(place: Mapping[str, Any]) -> str:
    of = f" of `{place['item']}`" if place["item"] else ""
    return f"{_code(place['conversation'])}{of}, attempt {place['attempt']}, step {place['step']}"


def _code(text: str) -> str:
    return "`" + one_line(text).replace("`", "'") + "`"


def _listed(lines: Iterable[str]) -> str:
    found = list(lines)
    more = len(found) - MOST_PLACES
    shown = [f"- {line}" for line in found[:MOST_PLACES]]
    return "\n".join([*shown, *([f"- and {more} more"] if more > 0 else [])])
