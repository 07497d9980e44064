"""`aurea verify` on a ledger that somebody has worked on with a database tool, and on files that are not what landed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tamper = Callable[[sqlite3.Connection], int]


@pytest.fixture
def copied(shell: Any, finished: Path) -> Any:
    """The command on a copy of the home with finished runs, which a test may spoil."""
    home = shell.cwd.parent / "copied"
    shutil.copytree(finished, home, symlinks=True)
    return shell.on(home)


def verified(shell: Any, *words: str) -> tuple[int, dict[str, Any]]:
    told = shell("verify", *words, "--json")
    document: dict[str, Any] = json.loads(told.out)
    assert told.code == (0 if document["ok"] else 1)
    assert document["ok"] is not bool(document["problems"])
    return told.code, document


def test_a_sound_ledger(copied: Any) -> None:
    code, document = verified(copied)
    assert (code, document["first_bad"], document["problems"]) == (0, None, [])
    assert document["checked"] == document["head"] > 100
    assert document["files"] > 0
    for words in ((), ("alpha-made",), ("latest",)):
        told = copied("verify", *words)
        assert told.code == 0
        assert told.out.startswith("sound: ")


def edited_payload(ledger: sqlite3.Connection) -> int:
    ledger.execute("UPDATE ledger_events SET payload = replace(payload, '\"passed\"', '\"Passed\"') WHERE seq = 40")
    ledger.execute("UPDATE ledger_events SET payload = payload || ' ' WHERE seq = 40")
    return 40


def edited_item(ledger: sqlite3.Connection) -> int:
    return changed(ledger, "UPDATE ledger_events SET item = 'other' WHERE type = 'landing.landed'", "landing.landed")


def edited_actor(ledger: sqlite3.Connection) -> int:
    return changed(ledger, "UPDATE ledger_events SET actor = 'director' WHERE type = 'verdict.given'", "verdict.given")


def edited_time(ledger: sqlite3.Connection) -> int:
    ledger.execute("UPDATE ledger_events SET ts = '2020-01-01T00:00:00.000000Z' WHERE seq = 7")
    return 7


def changed(ledger: sqlite3.Connection, statement: str, kind: str) -> int:
    assert ledger.execute(statement).rowcount > 0
    (first,) = ledger.execute("SELECT min(seq) FROM ledger_events WHERE type = ?", (kind,)).fetchone()
    return int(first)


def deleted_row(ledger: sqlite3.Connection) -> int:
    ledger.execute("DELETE FROM ledger_events WHERE seq = 33")
    return 33


def deleted_first_row(ledger: sqlite3.Connection) -> int:
    ledger.execute("DELETE FROM ledger_events WHERE seq = 1")
    return 1


def swapped_rows(ledger: sqlite3.Connection) -> int:
    for source, target in ((20, -1), (21, 20), (-1, 21)):
        ledger.execute("UPDATE ledger_events SET seq = ? WHERE seq = ?", (target, source))
    return 20


def cut_end(ledger: sqlite3.Connection) -> int:
    (head,) = ledger.execute("SELECT max(seq) FROM ledger_events").fetchone()
    ledger.execute("DELETE FROM ledger_events WHERE seq > ?", (head - 5,))
    return int(head) - 4


def added_row(ledger: sqlite3.Connection) -> int:
    (head,) = ledger.execute("SELECT max(seq) FROM ledger_events").fetchone()
    columns = [row[1] for row in ledger.execute("PRAGMA table_info(ledger_events)")][1:]
    names = ", ".join(columns)
    ledger.execute(
        f"INSERT INTO ledger_events (seq, {names}) SELECT {head + 1}, {names} FROM ledger_events WHERE seq = 5"
    )
    return int(head) + 1


@pytest.mark.parametrize(
    "tamper",
    [
        edited_payload, edited_item, edited_actor, edited_time, deleted_row, deleted_first_row, swapped_rows, cut_end,
        added_row,
    ],
)  # fmt: skip
def test_tampering_with_rows_is_found_with_the_first_bad_one(tamper: Tamper, copied: Any) -> None:
    with sqlite3.connect(copied.home / "ledger.db") as ledger:
        for verb in ("update", "delete"):
            ledger.execute(f"DROP TRIGGER ledger_events_no_{verb}")
        first_bad = tamper(ledger)
    ledger.close()
    code, document = verified(copied)
    assert (code, document["first_bad"]) == (1, first_bad), document["problems"]
    told = copied("verify")
    assert told.code == 1
    assert told.out.startswith("broken: ")
    assert f"the first bad sequence number is {first_bad}\n" in told.out


def test_another_database_is_no_broken_one(copied: Any) -> None:
    other = {"AUREA_LEDGER_URL": f"sqlite:///{copied.cwd / 'other.db'}"}
    told = copied("verify", **other)
    assert (told.code, told.out.split(":")[0]) == (0, "sound"), told.out
    assert "recorded in another ledger (sqlite:///ledger.db), not verified here: " in told.out
    told = copied("show", "alpha-made", **other)
    assert told.code == 2
    assert "'alpha-made' is recorded in another ledger than this one: sqlite:///ledger.db" in told.err
    assert "AUREA_LEDGER_URL" in told.err
    shutil.copy(copied.home / "ledger.db", copied.cwd / "moved.db")
    told = copied("verify", "--json", AUREA_LEDGER_URL=f"sqlite:///{copied.cwd / 'moved.db'}")
    moved = json.loads(told.out)
    assert (moved["ok"], moved["elsewhere"]) == (True, []) and moved["files"], "a ledger is known by its first row"


@pytest.mark.parametrize("linked", [False, True])
def test_a_ledger_that_was_exchanged_where_it_stands_is_broken(linked: bool, copied: Any) -> None:
    for file in copied.home.glob("ledger.db*"):
        file.unlink()
    if linked:
        (copied.home / "ledger.db").symlink_to(copied.cwd / "another.db")
    code, document = verified(copied)
    assert (code, document["first_bad"], document["elsewhere"]) == (1, 1, [])


@pytest.mark.parametrize("statement", ["UPDATE ledger_events SET item = 'x'", "DELETE FROM ledger_events"])
def test_the_database_itself_refuses_accidents(statement: str, copied: Any) -> None:
    ledger = sqlite3.connect(copied.home / "ledger.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        ledger.execute(statement)
    ledger.close()
    assert verified(copied)[0] == 0


def test_a_changed_text_is_found(copied: Any) -> None:
    with sqlite3.connect(copied.home / "ledger.db") as ledger:
        ledger.execute(
            "UPDATE ledger_bodies SET text = text || '.' WHERE digest = (SELECT min(digest) FROM ledger_bodies)"
        )
    ledger.close()
    _, document = verified(copied)
    assert "the text sha256:" in document["problems"][0]


def test_an_edited_output_is_found(copied: Any) -> None:
    file = copied.home / "runs" / "alpha-made" / "outputs" / "alpha" / "first.txt"
    file.write_text("something else\n")
    _, document = verified(copied)
    assert document["problems"] == ["'first.txt', kept by run 'alpha-made', is not the file that its manifest lists"]
    assert verified(copied, "loose-1")[0] == 0, "another run's folder is none of its business"


def test_a_manifest_that_lists_another_hash_is_found(copied: Any) -> None:
    path = copied.home / "runs" / "alpha-waits" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    _, document = verified(copied)
    assert document["problems"] == [
        "'good.txt', as landed by run 'alpha-waits', is not the file that its manifest lists"
    ]


def test_a_landed_blob_that_was_exchanged_is_found(copied: Any) -> None:
    document = json.loads(copied("show", "alpha-waits", "--json").out)
    copy = copied.cwd.parent / "exchanged"
    subprocess.run(["git", "clone", "-q", "--mirror", document["repo"], copy], check=True, capture_output=True)
    blob = subprocess.run(
        ["git", "-C", copy, "rev-parse", f"{document['target']['ref']}:good.txt"],
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
    loose = Path(document["repo"]) / ".git" / "objects" / blob[:2] / blob[2:]
    before = loose.read_bytes()
    other = subprocess.run(
        ["git", "-C", copy, "hash-object", "-w", "--stdin"], input="evil\n", text=True, capture_output=True, check=True
    ).stdout.strip()
    loose.chmod(0o644)
    try:
        loose.write_bytes((copy / "objects" / other[:2] / other[2:]).read_bytes())
        code, found = verified(copied, "alpha-waits")
    finally:
        loose.write_bytes(before)
    assert code == 1, found


def test_an_edited_and_a_cut_events_file_are_found(copied: Any) -> None:
    path = copied.home / "runs" / "alpha-made" / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    code, document = verified(copied)
    assert code == 1
    assert "was cut" in document["problems"][0]
    last = json.loads(lines[-1])
    path.write_text("".join(lines[:-1]) + json.dumps({**last, "hash": "0" * 64}) + "\n")
    code, document = verified(copied)
    assert (code, document["first_bad"]) == (1, last["seq"])


def test_no_ledger_at_all_is_sound(shell: Any) -> None:
    code, document = verified(shell)
    assert (code, document["checked"]) == (0, 0)
