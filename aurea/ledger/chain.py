"""How a fact becomes a row of the hash chain, and a row a fact again: canonical JSON, salted payload, linked hash."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from datetime import datetime
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from aurea.domain import events as ev
from aurea.domain.errors import Permanent
from aurea.ports import Row

_MARK = b"aurea.chain/1"


def canonical(value: Any) -> str:
    """JSON in one spelling only: sorted keys, no spaces, plain UTF-8. `Permanent` for what JSON cannot say."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError) as fault:
        raise Permanent(f"this cannot be written as JSON: {fault}") from fault
    return text


def digest(text: str) -> str:
    """The name under which a body is kept: `sha256:` and the hexadecimal SHA-256 of the text in UTF-8."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def payload_hash(salt: str, payload: str) -> str:
    """What stands for a payload in the chain. The salt keeps a short one from being guessed once it was purged."""
    return hashlib.sha256(f"{salt}{payload}".encode()).hexdigest()


def link(row: Row) -> str:
    """The hash of a row: over all its fields, each behind its length, so that no text can pass for two fields."""
    digester = hashlib.sha256(_MARK)
    fields = (row.seq, row.run, row.item, row.attempt, row.actor, row.type, row.payload_hash, row.ts, row.prev_hash)
    for field in fields:
        if field is None:
            digester.update(b"-")
        else:
            data = str(field).encode("utf-8", "surrogatepass")
            digester.update(b"%d:%b" % (len(data), data))
    return digester.hexdigest()


def row_of(draft: ev.Draft, *, run: str, seq: int, prev_hash: str, ts: str) -> Row:
    """The row that records `draft` as number `seq` behind the row whose hash is `prev_hash`."""
    try:
        payload = canonical(ev.payload(draft.fact))
    except PydanticSerializationError as fault:
        raise Permanent(f"a {draft.fact.type} cannot be written as JSON: {fault}") from fault
    salt = os.urandom(16).hex()
    open_row = Row(
        seq=seq,
        run=run,
        item=draft.item,
        attempt=draft.attempt,
        actor=str(draft.actor),
        type=draft.fact.type,
        payload=payload,
        salt=salt,
        payload_hash=payload_hash(salt, payload),
        ts=ts,
        prev_hash=prev_hash,
        hash="",
    )
    return _closed(open_row)


def _closed(row: Row) -> Row:
    # Rows are made a thousand times a second; `dataclasses.replace` would cost as much as the hash itself.
    object.__setattr__(row, "hash", link(row))
    return row


def event_of(row: Row) -> ev.Event:
    """The event that a row holds. `Permanent` where its payload was purged, or where this version does not know it."""
    if row.payload is None:
        raise Permanent(f"the payload of event {row.seq} was purged")
    known = _FACTS.get(row.type)
    if known is None:
        raise Permanent(
            f"event {row.seq} is of the type {row.type!r}, which this version of Aurea does not know",
            remedy="use the version that wrote it, or a newer one",
        )
    try:
        return ev.Event(
            seq=row.seq,
            ts=datetime.fromisoformat(row.ts),
            run=row.run,
            item=row.item,
            attempt=row.attempt,
            actor=row.actor,
            fact=known.model_validate_json(row.payload),
            hash=row.hash,
        )
    except (ValidationError, ValueError) as fault:
        raise Permanent(f"event {row.seq} cannot be read: {fault}", remedy="see what `aurea verify` says") from fault


def faults(row: Row, seq: int, prev_hash: str) -> list[str]:
    """What is wrong with a row that should be number `seq` behind `prev_hash`; empty where it is sound."""
    found = []
    if row.seq != seq:
        found.append(f"sequence number {seq} is missing; the next row is {row.seq}")
    elif row.prev_hash != prev_hash:
        found.append(f"row {seq} does not follow on the row before it: one of the two was changed")
    if not _same(row.hash, link(row)):
        found.append(f"row {row.seq} was changed: its hash does not fit its columns")
    if row.payload is None:
        # Purging takes the salt with the payload, else a short payload could be guessed back from the hash.
        if row.salt:
            found.append(f"the payload of row {row.seq} is missing and was not purged")
    elif not _same(row.payload_hash, payload_hash(row.salt, row.payload)):
        found.append(f"the payload of row {row.seq} was changed")
    return found


def _same(stored: object, computed: str) -> bool:
    return isinstance(stored, str) and hmac.compare_digest(stored.encode(), computed.encode())


_FACTS: dict[str, type[ev.Fact]] = {
    fact.model_fields["type"].default: fact for fact in get_args(get_args(ev.AnyFact)[0])
}
