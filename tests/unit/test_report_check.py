"""An agent's report against what is known: true ones pass, each kind of untruth is named, and nothing is ever a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.delivery.report_check import MOST, Known, Ran, check_report, named, not_borne_out
from aurea.domain.evidence import Report
from aurea.domain.spec import Check

TREE = ("notes/storage.py", "tests/test_storage.py", "README.md", "uv.lock")
CHANGED = ("notes/storage.py", "tests/test_storage.py", "uv.lock")
CRITERIA = ("a note survives a restart", "all() lists notes in order")
CHECKS = (
    Check(name="tests", run=("python", "-m", "pytest", "-q")),
    Check(name="style", run=("ruff", "check"), kind="lint"),
)
GREEN = (Ran("python -m pytest -q", False), Ran("python -m pytest -q", True))


def known(**more: Any) -> Known:
    return Known(**{"changed": CHANGED, "tree": TREE, "criteria": CRITERIA, "checks": CHECKS, "ran": GREEN, **more})


def report(**more: Any) -> Report:
    proof = [
        {
            "criterion": "A note survives a restart.",
            "evidence": "tests/test_storage.py::TestAll::test_restart[a] passes",
        },
        {"criterion": "2", "evidence": "see storage.py:12"},
    ]
    said = {
        "summary": "added storage",
        "approach": "sqlite",
        "files": ["notes/storage.py", "`tests/test_storage.py`: new"],
    }
    return Report.model_validate({**said, "criteria": proof, **more})


def told(said: Report, facts: Known | None = None) -> list[str]:
    return [f"{f.severity}: {f.file + ': ' if f.file else ''}{f.text}" for f in check_report(said, facts or known())]


def test_a_true_report_is_left_in_peace() -> None:
    texts = {"tests/test_storage.py": "class TestAll:\n    def test_restart(self): ...\n"}
    assert list(named(report())) == [("tests/test_storage.py", "test_restart"), ("storage.py", "")]
    assert told(report(summary="Done. All tests pass."), known(texts=texts)) == []


@pytest.mark.parametrize(("files", "said"), [
    (["notes/storage.py", "notes/cli.py", "tests"], ["minor: notes/cli.py: the report names it among its files"]),
    (["notes/storage.py"], ["note: changed, and named nowhere in the report: tests/test_storage.py"]),
    (["notes/*.py", "/elsewhere/tests/test_storage.py"], []), (["./notes/", "tests/ (two files)"], []),
    (['{"path": "notes/storage.py"}', "- tests/test_storage.py — new"], []), (["the storage module"], []), ([], []),
])  # fmt: skip
def test_files_are_those_of_the_change(files: list[str], said: list[str]) -> None:
    proof = [{"criterion": text} for text in CRITERIA]
    found = told(report(files=files, criteria=proof))
    assert len(found) == len(said) and all(line.startswith(start) for line, start in zip(found, said, strict=True))


@pytest.mark.parametrize(("criteria", "said"), [
    ([{"criterion": "a note survives restarts"}, {"criterion": "`all()` lists all notes in order"}], []),
    ([{"criterion": "criterion 1"}, {"criterion": "2. all() lists notes in order, oldest first"}], []),
    ([{"criterion": CRITERIA[0]}], ["note: the report says nothing of 1 of 2 criteria: all() lists notes in order"]),
    ([], ["note: the report says nothing of 2 of 2 criteria: a note survives a restart; all() lists notes in order"]),
    ([*({"criterion": text} for text in CRITERIA), {"criterion": "the world is saved"}],
     ["minor: the report speaks of a criterion that the item does not have: the world is saved"]),
])  # fmt: skip
def test_criteria_are_those_of_the_item(criteria: list[dict[str, str]], said: list[str]) -> None:
    assert told(report(criteria=criteria)) == said


def test_a_book_instead_of_a_criterion_is_no_work() -> None:
    book = [{"criterion": f"word{n} " * 20_000, "evidence": "long"} for n in range(100)]
    assert not_borne_out(check_report(report(criteria=book), known())) == MOST  # compared whole it would take minutes


@pytest.mark.parametrize(("evidence", "said"), [
    ("tests/test_cli.py proves it", "tests/test_cli.py, which is not in the tree"),
    ("tests/test_storage.py::test_gone is green", "the test test_gone, which is not in the file"),
    ("see test_storage.py, README.md and Node.js 20.1, https://example.org/a.py and e.g. /usr/lib/x.py or ../y.py", ""),
    ("storage.Storage.add, notes.db, python3.11 and 1.2.3", ""),
])  # fmt: skip
def test_evidence_names_what_is_there(evidence: str, said: str) -> None:
    proof = [{"criterion": CRITERIA[0], "evidence": evidence}, {"criterion": CRITERIA[1]}]
    found = told(report(criteria=proof), known(texts={"tests/test_storage.py": "def test_kept(): ...\n"}))
    assert len(found) == bool(said) and all(said in line for line in found)


@pytest.mark.parametrize(("claim", "ran", "said"), [
    ("All tests pass.", [], "no such command was run"), ("everything is green", [Ran("ls -l", True)], "no such command"),
    ("The test suite passed.", [Ran("pytest -q", False)], "the last run of `pytest -q` in this attempt failed"),
    ("Tests pass", [Ran("pytest a.py", True), Ran("python -m pytest -q", False)], "`python -m pytest -q`"),
    ("All checks pass", [Ran("pytest", True), Ran("ruff check .", False)], "`ruff check .`"),
    ("Tests pass", [Ran("pytest", True), Ran("ruff check .", False)], ""),
    ("Tests pass", [Ran("pytest -q", False), Ran("pytest -q", True)], ""), ("Tests pass", [Ran("pytest", None)], ""),
    ("Tests pass", [Ran("python run_the_tests_somehow.py", True)], ""), ("Tests pass", [Ran("go test ./...", True)], ""),
    ("The tests do not pass yet.", [], ""), ("Tests should pass now", [], ""), ("Could not run the tests; one is red", [], ""),
    ("I added tests. The change makes checks pass", [], ""), ("It passes the notes on", [], ""),
    ("Tests pass", [Ran("npm test", False)], "`npm test`"),
])  # fmt: skip
def test_who_says_that_tests_pass_has_run_them(claim: str, ran: list[Ran], said: str) -> None:
    proof = [{"criterion": text} for text in CRITERIA]
    found = told(report(summary=claim, criteria=proof), known(ran=ran))
    assert [line.startswith("minor") and said in line for line in found] == [True] * bool(said)


TEXT = st.text(max_size=60) | st.sampled_from(
    ["All tests pass.", "notes/storage.py", "tests/a.py::b[", "{", "../..", "*[", " "]
)
REPORTS = st.builds(
    Report,
    summary=TEXT,
    approach=TEXT,
    files=st.lists(TEXT, max_size=20).map(tuple),
    criteria=st.lists(st.fixed_dictionaries({"criterion": TEXT, "evidence": TEXT}), max_size=20).map(tuple),
)
COMMANDS = st.lists(st.builds(Ran, TEXT | st.just("pytest"), st.sampled_from([True, False, None])), max_size=5)


@given(REPORTS, st.lists(TEXT, max_size=20), st.lists(TEXT, max_size=5), COMMANDS)
def test_whatever_a_report_says_it_ends_in_few_mild_remarks(
    said: Report, changed: list[str], criteria: list[str], ran: list[Ran]
) -> None:
    facts = Known(changed=changed, tree=set(changed), criteria=criteria, checks=CHECKS, ran=ran)
    found = check_report(said, facts)
    assert found == check_report(said, facts) and len(found) <= MOST
    assert {finding.severity for finding in found} <= {"minor", "note"} and all(len(f.text) < 800 for f in found)
    assert not_borne_out(found) <= len(found)


@given(st.lists(st.sampled_from(TREE), min_size=1, unique=True), st.lists(st.sampled_from(CRITERIA), unique=True))
def test_a_report_of_the_change_and_its_criteria_says_nothing_untrue(changed: list[str], criteria: list[str]) -> None:
    said = Report(summary="done", files=tuple(changed), criteria=tuple({"criterion": text} for text in criteria))
    assert check_report(said, Known(changed=changed, tree=set(TREE), criteria=criteria)) == ()
    more = Report(summary="done", files=(*changed, "gone.py"), criteria=said.criteria)
    assert not_borne_out(check_report(more, Known(changed=changed, tree=set(TREE), criteria=criteria))) == 1
