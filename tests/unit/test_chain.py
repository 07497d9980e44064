"""Rows of the chain: canonical, linked, salted, and telling when they were changed."""

import dataclasses
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.errors import Permanent
from aurea.domain.events import Draft, RunResumed, timestamp
from aurea.ledger import chain
from aurea.testing import drafts
from aurea.testing.clock import SimulatedClock

TS = timestamp(SimulatedClock().now())

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def rows(*told, run="run-1"):
    made = []
    for seq, draft in enumerate(told, 1):
        made.append(chain.row_of(draft, run=run, seq=seq, prev_hash=made[-1].hash if made else "", ts=TS))
    return made


def test_a_row_gives_back_the_event_it_was_made_of():
    draft = drafts.created("Zettelkästen")
    (row,) = rows(draft)
    event = chain.event_of(row)
    assert (event.fact, event.actor, event.seq, event.hash) == (draft.fact, "manager", 1, row.hash)
    assert timestamp(event.ts) == TS
    assert chain.faults(row, 1, "") == []


@given(changes=st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_any_json_comes_back_as_it_was(changes):
    (row,) = rows(Draft(fact=RunResumed(changes=changes)))
    assert chain.event_of(row).fact.changes == changes
    assert chain.canonical({"b": 1, "a": [1.5, "ü"]}) == '{"a":[1.5,"ü"],"b":1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(Permanent, match="cannot be written as JSON"):
        chain.canonical({"x": value})


columns = [field.name for field in dataclasses.fields(chain.Row)]
texts = st.text(string.ascii_letters + string.digits + "-:ü ", max_size=12)


@given(column=st.sampled_from(columns), value=texts | st.integers(0, 99) | st.none())
def test_an_edit_of_any_column_is_seen(column, value):
    first, second = rows(drafts.created(), drafts.started())
    assert chain.faults(second, 2, first.hash) == []
    edited = dataclasses.replace(second, **{column: value})
    same = str(value) == str(getattr(second, column)) and (value is None) == (getattr(second, column) is None)
    assert bool(chain.faults(edited, 2, first.hash)) is not same


@given(left=texts, right=texts, cut=st.integers(0, 24))
def test_no_text_passes_for_two_fields(left, right, cut):
    (row,) = rows(drafts.created())
    joined = left + right
    one = dataclasses.replace(row, actor=left, type=right)
    other = dataclasses.replace(row, actor=joined[:cut], type=joined[cut:])
    assert (chain.link(one) == chain.link(other)) is (one == other)


def test_nothing_is_not_the_empty_text():
    (row,) = rows(drafts.created())
    assert chain.link(dataclasses.replace(row, item=None)) != chain.link(dataclasses.replace(row, item=""))


def test_equal_payloads_have_unequal_hashes():
    one, two = rows(drafts.asked(1), drafts.asked(1))
    assert one.payload == two.payload
    assert one.payload_hash != two.payload_hash


def test_a_purged_payload_leaves_the_chain_sound_if_its_salt_went_too():
    (row,) = rows(drafts.created())
    purged = dataclasses.replace(row, payload=None, salt="")
    assert chain.faults(purged, 1, "") == []
    assert "was not purged" in chain.faults(dataclasses.replace(row, payload=None), 1, "")[0]
    with pytest.raises(Permanent, match="was purged"):
        chain.event_of(purged)


def test_facts_of_a_newer_version_are_named():
    (row,) = rows(drafts.created())
    with pytest.raises(Permanent, match="does not know") as caught:
        chain.event_of(dataclasses.replace(row, type="moon.landed"))
    assert "newer" in caught.value.remedy
    with pytest.raises(Permanent, match="cannot be read"):
        chain.event_of(dataclasses.replace(row, payload='{"more": 1}'))


def test_the_digest_of_a_text():
    assert chain.digest("ü") == "sha256:607474ca475a9724d7360aba71a56d5df77e61350e3f724cfa1f46e857e2d85f"
