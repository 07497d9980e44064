"""The stored shape of every event, as files: what a ledger holds today must be readable, unchanged, for ever.

A new fact type needs a new file: write `events/<type>.json` as `aurea.event/1` by hand or from
`json.dumps(event.document(), indent=2, ensure_ascii=False)`, every field filled. A new field of an old type needs a
default, a second file `events/<type>.<n>.json` that has it, and the older file stays as it is: it is listed in
`OLDER`, and must still be read. A file is never changed to make this test pass.
"""

import json
from pathlib import Path
from typing import get_args

import pytest

from aurea.domain import events as ev
from aurea.ledger import chain
from aurea.ports import Row

FOLDER = Path(__file__).parent / "events"
FILES = sorted(path.name for path in FOLDER.glob("*.json"))
OLDER = frozenset({"question.asked.json", "breaker.changed.json", "model.answered.json", "model.failed.json"})


def row_of(document):
    payload = chain.canonical(document["payload"])
    place = {name: document[name] for name in ("seq", "ts", "run", "item", "attempt", "actor", "type", "hash")}
    return Row(payload=payload, salt="", payload_hash="", prev_hash="", **place)


@pytest.mark.parametrize("name", FILES)
def test_a_stored_event_is_read_and_written_as_it_was(name):
    stored = (FOLDER / name).read_text(encoding="utf-8")
    event = chain.event_of(row_of(json.loads(stored)))
    if name not in OLDER:
        assert json.dumps(event.document(), indent=2, ensure_ascii=False) + "\n" == stored


def test_every_fact_has_its_file():
    facts = {fact.model_fields["type"].default for fact in get_args(get_args(ev.AnyFact)[0])}
    assert facts == {".".join(name.split(".")[:2]) for name in FILES}


def test_every_field_of_a_fact_is_filled_in_some_file():
    seen = {}
    for name in FILES:
        document = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        filled = {key for key, value in document["payload"].items() if value not in (None, "", [], {})}
        seen.setdefault(document["type"], set()).update(filled)
    for fact in get_args(get_args(ev.AnyFact)[0]):
        fields = {field.alias or key for key, field in fact.model_fields.items() if key != "type"}
        assert seen[fact.model_fields["type"].default] == fields


def test_a_field_that_nobody_knows_is_refused():
    document = json.loads((FOLDER / "run.resumed.json").read_text(encoding="utf-8"))
    document["payload"]["surprise"] = 1
    with pytest.raises(Exception, match="surprise"):
        chain.event_of(row_of(document))
