"""What the quality gate expects: sound runs pass, each kind of damage is named with its row, own suites are checked."""

from __future__ import annotations

import dataclasses

import pytest

from aurea.domain.caps import RUN
from aurea.domain.errors import UsageError
from aurea.domain.evidence import Landed
from aurea.domain.lifecycle import ItemState
from aurea.reporting.document import run_document
from aurea.reporting.manifest import LandedFile, blob_id
from aurea.reporting.quality.delivery import delivery_suite
from aurea.reporting.quality.gate import _row, said
from aurea.reporting.quality.own import own_suites
from aurea.reporting.quality.plain import judge_plainly
from aurea.reporting.quality.suite import KNOWN, complete, read_suite
from aurea.reporting.quality.tables import COLUMNS, KEYS, judged_tables
from aurea.reporting.schemas import FileEntry
from aurea.testing.git import MemoryRepository


@pytest.fixture
def done(history, work_item):
    """Two items that landed."""
    run = history([work_item("storage"), work_item("api", "storage")])
    run.create()
    run.whole_line("storage", "1")
    run.whole_line("api", "2")
    for name in ("lint", "tests"):
        for item in ("storage", "api"):
            run.check(item, 1, name, kind="gate")
    for evidence in list(run.state.evidence.values()):  # the gates of the history speak of the tree that landed
        if evidence.kind == "gate":
            run.state.evidence[evidence.id] = evidence.model_copy(update={"tree": "d" * 40})
    return run


def landed_file(content: bytes = b"x", **changed):
    entry = FileEntry(path="notes/a.py", sha256="0" * 64, bytes=1, media_type="text/x-python", item="api")
    return LandedFile(entry.model_copy(update=changed), blob_id(b"x", ""), blob_id(content, ""))


def findings(run, files=()):
    state = run.state
    document = run_document(state, alive=True, folder="/tmp", now=run.now())
    tables = judged_tables(state, document, list(files))
    expected = complete(delivery_suite(state))
    rows = [_row(e, r) for e, r in zip(expected, judge_plainly(tables, expected), strict=True)]
    return [said(row) for row in rows if row["outcome"] != "passed" and row["severity"] == "critical"]


def test_a_sound_run_passes(done):
    assert findings(done, [landed_file()]) == []


def test_a_complete_item_without_a_commit(done):
    done.state.items["api"].landed = None
    assert any("complete item has the commit" in words or "has its sha" in words for words in findings(done))
    assert all("api" in words for words in findings(done))


def test_a_landed_file_that_is_not_the_blob(done):
    (words,) = findings(done, [landed_file(b"something else")])
    assert "blob that landed" in words and "notes/a.py" in words


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b", ".git/config", "a//b"])
def test_a_file_outside_the_repository(done, path):
    (words,) = findings(done, [landed_file(path=path)])
    assert "inside the repository" in words


@pytest.mark.parametrize("path", [".github/x.yml", ".gitignore", "a.b/..c", "…"])
def test_a_file_with_a_harmless_name(done, path):
    assert findings(done, [landed_file(path=path)]) == []


def test_more_attempts_than_were_allowed(done):
    done.state.created.spec["max_attempts"] = 1
    first = done.state.items["api"].attempts[0]
    done.state.items["api"].attempts[:0] = [
        dataclasses.replace(first, number=n, landed=None, left="failed") for n in (1, 2)
    ]
    (words,) = findings(done)
    assert "more attempts" in words and "api" in words


def test_more_money_than_the_budget(done):
    done.state.created.spec["budget_usd"] = 0.01
    done.state.spent_usd = 5.0
    assert sum("within the budget" in words for words in findings(done)) == 2
    done.state.created.spec["budget_usd"] = "none"
    assert findings(done) == []


def test_a_budget_that_was_lowered_later_is_no_overspending(done):
    done.state.spent_usd = 3.0
    done.state.changes["budget_usd"] = 1
    assert findings(done) == []


def test_the_one_last_call_over_a_budget_is_no_overspending(done):
    done.state.spent_usd = 5.02
    assert any("what was spent is within the budget" in words for words in findings(done))
    done.state.passed[(RUN, 5.0)] = 0.03
    assert findings(done) == []


def test_a_gate_that_did_not_pass_on_the_landed_tree(done):
    for name, evidence in done.state.evidence.items():
        if evidence.kind == "gate" and evidence.name == "tests":
            done.state.evidence[name] = evidence.model_copy(update={"passed": False, "outcome": "failed"})
    said_of = findings(done)
    assert any("gate check of a landed tree failed" in words for words in said_of)
    assert any("exactly the tree" in words for words in said_of)


def test_a_landing_on_a_tree_that_no_gate_saw(done):
    landed = done.state.items["api"].landed
    done.state.items["api"].landed = Landed(sha=landed.sha, tree="e" * 40, gate=landed.gate)
    (words,) = findings(done)
    assert "exactly the tree" in words and "api" in words


def test_nothing_passes_because_there_is_nothing(done):
    for item in done.state.items.values():
        item.state = ItemState.ABANDONED
    assert any("something to judge" in words for words in findings(done)), "no landing is no pass"


def test_every_table_names_its_rows():
    assert set(KEYS) == set(COLUMNS) and all(KEYS[name] in COLUMNS[name] for name in COLUMNS)


def entry(**changed):
    good = {"table": "files", "expect": "expect_column_values_to_be_between", "with": {"column": "bytes"}}
    return {"expectations": [{**good, **changed}]}


def test_an_own_expectation_comes_with_those_that_keep_it_from_passing_on_nothing():
    found = complete(read_suite(entry(severity="warning"), ".aurea/quality/small.yaml"))
    assert [(e.expect, e.severity, e.suite) for e in found] == [
        ("expect_table_row_count_to_be_between", "warning", "small.yaml"),
        ("expect_column_values_to_not_be_null", "warning", "small.yaml"),
        ("expect_column_values_to_be_between", "warning", "small.yaml"),
    ]
    assert len(complete(read_suite(entry(empty="allowed", nulls="allowed"), "x"))) == 1


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "one key"),
        ({"expectations": ["x"]}, "no mapping"),
        (entry(expect="expect_column_values_to_be_betwen"), "did you mean 'expect_column_values_to_be_between'"),
        (entry(table="file"), "did you mean 'files'"),
        (entry(**{"with": {"column": "byte"}}), "did you mean 'bytes'"),
        (entry(severity="fatal"), "severity"),
        (entry(surprise=1), "surprise"),
    ],
)
def test_a_faulty_suite_is_named_with_its_place(document, words):
    with pytest.raises(UsageError) as refused:
        read_suite(document, ".aurea/quality/x.yaml")
    assert words in str(refused.value) and ".aurea/quality/x.yaml" in str(refused.value)


async def test_own_suites_are_read_from_the_base(tmp_path):
    repository = MemoryRepository(tmp_path)
    text = "expectations:\n- {table: items, expect: expect_table_row_count_to_equal, with: {value: 3}}\n"
    base = repository.begin({".aurea/quality/b.yaml": text, ".aurea/quality/notes.md": "x", "quality/a.yaml": "x"})
    (found,) = await own_suites(repository, base)
    assert (found.suite, found.given) == ("b.yaml", {"value": 3})
    broken = repository.begin({".aurea/quality/b.yaml": "a: [\n"})
    with pytest.raises(UsageError, match=r"quality/b\.yaml"):
        await own_suites(repository, broken)


def test_the_shipped_suite_uses_known_expectations_and_columns(done):
    for one in delivery_suite(done.state):
        assert one.expect in KNOWN and set(one.columns) <= set(COLUMNS[one.table]) and one.why
