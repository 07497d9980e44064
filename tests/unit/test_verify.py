"""`verify` names the first row that is not what was written, and says how far its word reaches."""

import dataclasses
import hashlib
import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.adapters.sql import SqlEventStore
from aurea.domain.events import Draft, RunEnded
from aurea.ledger import chain
from aurea.ledger.book import Book
from aurea.ledger.export import JsonLines
from aurea.ledger.origin import Origin, write_origin
from aurea.ledger.verify import verify
from aurea.testing import drafts
from aurea.testing.clock import SimulatedClock
from aurea.testing.store import MemoryEventStore

RUN = "run-1"
COUNT = 12


def written(store, home, *, over=True):
    """A ledger of two runs, the first with its run folder."""
    book = Book(store, SimulatedClock())
    lines = JsonLines(RUN, home / "runs" / RUN)
    digest = chain.digest("an answer")
    book.append(RUN, [drafts.created(), drafts.planned()], {digest: "an answer"})
    lines.follow(book)
    book.append("run-2", [drafts.created()])
    for step in range(COUNT - 5):
        book.append(RUN if step % 2 else "run-2", [drafts.asked(step)])
    end = Draft(fact=RunEnded(state="succeeded" if over else "waiting"))
    book.append(RUN, [end])
    book.append("run-2", [drafts.asked(99)])
    lines.close()
    book._writer.close()
    return store


@pytest.fixture
def store(tmp_path):
    return written(MemoryEventStore(), tmp_path)


def tampered(store, change):
    rows = list(store.rows())
    change(rows)
    return MemoryEventStore(rows, dict(store.bodies()))


def relinked(rows):
    """The rows with all hashes made to fit, as somebody does who knows how."""
    made = []
    for row in rows:
        row = dataclasses.replace(row, seq=len(made) + 1, prev_hash=made[-1].hash if made else "")
        made.append(dataclasses.replace(row, hash=chain.link(row)))
    return made


def manifest(home, **more):
    path = home / "runs" / RUN / "manifest.json"
    document = {"run": RUN, "project": "notes", "files": [], **more}
    path.write_text(json.dumps(document))


def test_an_honest_ledger_is_sound(store, tmp_path):
    found = verify(store, tmp_path)
    assert found.ok, found.problems
    assert (found.checked, found.head, found.first_bad, found.bodies) == (COUNT, COUNT, None, 1)
    assert (found.checkpoint, found.after_checkpoint) == (COUNT - 1, 1)
    assert found.hash == list(store.rows())[-1].hash
    json.dumps(found.document())


def test_an_empty_ledger_is_sound(tmp_path):
    found = verify(MemoryEventStore(), tmp_path)
    assert (found.ok, found.checked, found.checkpoint, found.after_checkpoint) == (True, 0, 0, 0)


edits = {
    "seq": lambda v: v + 100, "run": lambda v: "run-3", "item": lambda v: "storage", "attempt": lambda v: 9,
    "actor": lambda v: "director", "type": lambda v: "run.linked", "payload": lambda v: v.replace("1", "2") + " ",
    "salt": lambda v: v[::-1] + "0", "payload_hash": lambda v: "0" * 64, "ts": lambda v: v.replace("2026", "2025"),
    "prev_hash": lambda v: "1" * 64, "hash": lambda v: "2" * 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return written(MemoryEventStore(), home), home


@given(index=st.integers(0, COUNT - 1), column=st.sampled_from(sorted(edits)))
def test_an_edited_row_is_named(honest, index, column):
    store, home = honest

    def edit(rows):
        rows[index] = dataclasses.replace(rows[index], **{column: edits[column](getattr(rows[index], column))})

    found = verify(tampered(store, edit), home)
    assert (found.ok, found.first_bad) == (False, index + 1)


@given(index=st.integers(0, COUNT - 1))
def test_a_deleted_row_is_named(honest, index):
    store, home = honest
    found = verify(tampered(store, lambda rows: rows.pop(index)), home)
    # What lies behind the last proof outside the database could be cut unseen, and `verify` says how much that is.
    assert found.ok is (index == COUNT - 1)
    assert found.first_bad == (None if found.ok else index + 1)


@given(
    pair=st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)).filter(lambda p: p[0] < p[1]),
    renumber=st.booleans(),
)
def test_swapped_rows_are_named(honest, pair, renumber):
    store, home = honest
    one, two = pair

    def swap(rows):
        rows[one], rows[two] = rows[two], rows[one]
        if renumber:
            rows[one] = dataclasses.replace(rows[one], seq=one + 1)
            rows[two] = dataclasses.replace(rows[two], seq=two + 1)

    found = verify(tampered(store, swap), home)
    assert (found.ok, found.first_bad) == (False, one + 1)


@given(left=st.integers(0, COUNT - 2))
def test_a_cut_end_is_named_from_the_run_folder(honest, left):
    store, home = honest
    found = verify(tampered(store, lambda rows: rows.__delitem__(slice(left, None))), home)
    assert (found.ok, found.first_bad) == (False, left + 1)
    assert "is missing" in found.problems[0]


@given(index=st.integers(0, COUNT - 2))
def test_a_chain_that_was_rewritten_to_its_end_parts_from_the_run_folder(honest, index):
    store, home = honest

    def rewrite(rows):
        rows[index] = dataclasses.replace(rows[index], actor="somebody")
        rows[:] = relinked(rows)

    found = verify(tampered(store, rewrite), home)
    first = next(row.seq for row in list(store.rows())[index:] if row.run == RUN)
    assert (found.ok, found.first_bad) == (False, first)
    assert found.checkpoint == 0


def test_a_row_put_in_between_is_named(store, tmp_path):
    found = verify(tampered(store, lambda rows: rows.insert(4, dataclasses.replace(rows[3], seq=5))), tmp_path)
    assert (found.ok, found.first_bad) == (False, 5)


def test_a_purged_payload_is_fine_and_counted(store, tmp_path):
    def purge(rows):
        rows[5] = dataclasses.replace(rows[5], payload=None, salt="")

    found = verify(tampered(store, purge), tmp_path)
    assert (found.ok, found.purged) == (True, 1)


def test_a_changed_text_is_named(store, tmp_path):
    changed = MemoryEventStore(store.rows(), {chain.digest("an answer"): "another answer"})
    found = verify(changed, tmp_path)
    assert (found.ok, found.first_bad) == (False, None)
    assert "the text sha256:" in found.problems[0]


def test_many_problems_are_counted_and_the_first_told(tmp_path):
    rows = [
        dataclasses.replace(row, seq=n * 2)
        for n, row in enumerate(list(written(MemoryEventStore(), tmp_path).rows()) * 9, 1)
    ]
    found = verify(MemoryEventStore(rows), tmp_path)
    assert len(found.problems) == 51
    assert found.problems[-1].startswith("and ")


# --- the run folder ------------------------------------------------------------------------------------------------


def test_checkpoints_of_the_manifest_are_compared(store, tmp_path):
    rows = list(store.rows())
    point = {"seq": 5, "hash": rows[4].hash, "events": 3}
    assert rows[4].run == RUN
    manifest(tmp_path, ledger=point, checkpoints=[{"seq": 1, "hash": rows[0].hash}])
    assert verify(store, tmp_path).ok
    for wrong in ({"hash": "0" * 64}, {"events": 4}, {"seq": 6}, {"seq": 400}):
        manifest(tmp_path, ledger=point | wrong)
        assert not verify(store, tmp_path).ok, wrong


def test_a_shortened_events_file_of_a_run_that_is_over_is_named(store, tmp_path):
    path = tmp_path / "runs" / RUN / "events.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    found = verify(store, tmp_path)
    assert not found.ok
    assert "the run ended with event 11" in found.problems[0]


def test_an_events_file_may_be_behind_while_the_run_goes_on(tmp_path):
    store = written(MemoryEventStore(), tmp_path, over=False)
    path = tmp_path / "runs" / RUN / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-25])
    found = verify(store, tmp_path)
    assert found.ok
    assert found.after_checkpoint > 1


@pytest.mark.parametrize("name", ["events.jsonl", "manifest.json"])
@pytest.mark.parametrize("content", [b"{nonsense\n", b"[]\n", b'{"ledger": 7}\n', b'{"files": 7, "ledger": null}\n'])
def test_files_that_cannot_be_read_are_problems(store, tmp_path, name, content):
    (tmp_path / "runs" / RUN / name).write_bytes(content)
    assert not verify(store, tmp_path).ok


def test_a_missing_events_file_is_a_problem_but_a_cleaned_folder_is_not(store, tmp_path):
    manifest(tmp_path)
    (tmp_path / "runs" / RUN / "events.jsonl").unlink()
    assert "is missing" in verify(store, tmp_path).problems[0]
    (tmp_path / "runs" / RUN / "manifest.json").unlink()
    (tmp_path / "runs" / RUN).rmdir()
    found = verify(store, tmp_path)
    assert (found.ok, found.checkpoint, found.after_checkpoint) == (True, 0, COUNT)


def test_only_the_folder_of_the_named_run_is_compared(store, tmp_path):
    (tmp_path / "runs" / "run-2").mkdir()
    (tmp_path / "runs" / "run-2" / "events.jsonl").write_text("nonsense\n")
    assert verify(store, tmp_path, RUN).ok
    assert not verify(store, tmp_path, "run-2").ok
    assert not verify(store, tmp_path).ok


HERE, THERE = "sqlite:///ledger.db", "postgresql://db.example.org/aurea"


def test_a_run_that_was_recorded_in_another_ledger_is_told_apart(store, tmp_path):
    write_origin(tmp_path / "runs" / RUN, Origin(THERE, store.first()))
    other = written(MemoryEventStore(), tmp_path / "other")
    without = MemoryEventStore(row for row in other.rows() if row.run == "no-such-run")
    found = verify(without, tmp_path, where=HERE)
    assert (found.ok, found.elsewhere) == (True, ((RUN, THERE),))
    assert found.document()["elsewhere"] == [{"run": RUN, "ledger": THERE}]
    assert not verify(other, tmp_path, where=HERE).ok, "a ledger that has a run of this name is compared with it"
    assert (verify(store, tmp_path, where=HERE).ok, verify(store, tmp_path, where=HERE).elsewhere) == (True, ())
    (tmp_path / "runs" / RUN / "events.jsonl").write_text("nonsense\n")
    assert not verify(without, tmp_path, where=HERE).ok, "what can be seen without its ledger is looked at"


@pytest.mark.parametrize(("where", "left"), [(THERE, 0), (THERE, 1), (HERE, 1), (HERE, COUNT - 2)])
def test_a_cut_ledger_is_no_other_one(where, left, store, tmp_path):
    """Emptied or exchanged where it stands, or cut and moved."""
    write_origin(tmp_path / "runs" / RUN, Origin(THERE, store.first()))
    found = verify(tampered(store, lambda rows: rows.__delitem__(slice(left, None))), tmp_path, where=where)
    assert (found.ok, found.first_bad, found.elsewhere) == (False, left + 1, ())


def test_a_folder_that_does_not_say_where_it_was_recorded_leaves_both_open(store, tmp_path):
    found = verify(MemoryEventStore(), tmp_path, where=HERE)
    assert not found.ok
    assert "its rows were cut, or it was recorded in another database" in found.problems[-1]


def test_files_are_compared_with_the_manifest(store, tmp_path):
    files = [{"path": "notes/app.py", "sha256": hashlib.sha256(b"print()").hexdigest()}]
    manifest(tmp_path, files=files)
    assert verify(store, tmp_path).files == 0
    copy = tmp_path / "runs" / RUN / "outputs" / "notes" / "notes" / "app.py"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"print()")
    asked = []

    def landed(run, document):
        asked.append((run, document["project"]))
        return {"notes/app.py": files[0]["sha256"]}

    found = verify(store, tmp_path, landed=landed)
    assert (found.ok, found.files, asked) == (True, 2, [(RUN, "notes")])
    assert not verify(store, tmp_path, landed=lambda run, document: {}).ok
    copy.write_bytes(b"print(1)")
    assert "is not the file" in verify(store, tmp_path).problems[0]


def test_a_ledger_file_changed_behind_our_back_is_found(tmp_path):
    path = tmp_path / "ledger.db"
    store = written(SqlEventStore(f"sqlite:///{path}"), tmp_path)
    assert verify(store, tmp_path).ok
    with sqlite3.connect(path) as plain:
        plain.execute("DROP TRIGGER ledger_events_no_update")
        plain.execute("UPDATE ledger_events SET payload = CAST(replace(payload, '1', '2') AS BLOB) WHERE seq = 7")
        plain.execute("UPDATE ledger_events SET hash = x'00' WHERE seq = 9")
    plain.close()
    found = verify(store, tmp_path)
    assert (found.ok, found.first_bad) == (False, 7)
    store.close()
