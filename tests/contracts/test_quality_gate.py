"""The gate's process for real: what it finds, what it cannot judge, and that it never outlives or delays its owner."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import pytest

from aurea.reporting.quality.plain import judge_plainly
from aurea.reporting.quality.process import MODULE, GateFault, GateProcess
from aurea.reporting.quality.suite import KNOWN, expectation
from aurea.reporting.quality.tables import COLUMNS

ROWS = {
    "landings": [
        {"item": "a", "sha": "1" * 40, "green": True},
        {"item": "b", "sha": None, "green": False},
        {"item": "c", "sha": "zz", "green": None},
    ],
    "costs": [{"item": "a", "usd": 0.5}, {"item": "b", "usd": 2.0}],
    "items": [{"item": "a", "allowed": 3, "spent": 1}, {"item": "b", "allowed": 1, "spent": 2}],
    "files": [],
}
TABLES = {name: [{c: row.get(c) for c in COLUMNS[name]} for row in rows] for name, rows in ROWS.items()}
EXPECTED = [
    expectation("landings", "column_values_to_not_be_null", "", column="sha"),
    expectation("landings", "column_values_to_match_regex", "", column="sha", regex="^[0-9a-f]{40}$"),
    expectation("landings", "column_values_to_be_in_set", "", column="green", value_set=[True]),
    expectation("landings", "column_values_to_be_unique", "", column="item"),
    expectation("costs", "column_sum_to_be_between", "", column="usd", max_value=1),
    expectation("costs", "column_values_to_be_between", "", column="usd", min_value=0),
    expectation("items", "column_pair_values_a_to_be_greater_than_b", "", column_A="allowed", column_B="spent",
                or_equal=True),
    expectation("items", "column_pair_values_to_be_equal", "", column_A="allowed", column_B="spent"),
    expectation("files", "table_row_count_to_be_between", "", min_value=1),
    expectation("files", "column_values_to_not_match_regex", "", column="path", regex="x"),
]  # fmt: skip
WANTED = [
    ("failed", ["b"]), ("failed", ["c"]), ("failed", ["b"]), ("passed", []), ("failed", []), ("passed", []),
    ("failed", ["b"]), ("failed", ["a", "b"]), ("failed", []), ("passed", []),
]  # fmt: skip


def shown(results):
    return [(result["outcome"], result["rows"]) for result in results]


@pytest.fixture
async def gate():
    process = GateProcess(os.environ)
    await process.start()
    yield process
    await process.close()


async def test_the_process_finds_the_rows_and_so_does_the_judge_without_it(gate):
    assert await gate.ready(60)
    assert shown(await gate.judge(TABLES, EXPECTED)) == WANTED
    assert shown(judge_plainly(TABLES, EXPECTED)) == WANTED


async def test_what_cannot_be_judged_has_not_passed_and_spoils_nothing_else(gate):
    await gate.ready(60)
    expected = [
        expectation("costs", "column_values_to_be_between", "", column="usd", min_value=0),
        expectation("costs", "column_values_to_match_regex", "", column="usd", regex="("),
        expectation("costs", "column_values_to_be_between", "", column="usd", max_value="many"),
        expectation("costs", "column_quantile_values_to_be_between", "", column="usd",
                    quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 3]]}),
        expectation("costs", "no_such_thing", ""),
    ]  # fmt: skip
    found = await gate.judge(TABLES, expected)
    assert [result["outcome"] for result in found] == ["passed", "error", "error", "passed", "error"]
    assert all(result["message"] for result in found if result["outcome"] == "error")
    assert [result["outcome"] for result in judge_plainly(TABLES, expected)][3] == "error"


async def test_it_ends_with_its_owner_even_while_it_imports():
    process = subprocess.Popen([sys.executable, "-P", "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(0.5)
    process.stdin.close()
    assert process.wait(5) == 0
    process.stdout.close()


async def test_a_process_that_is_closed_early_is_gone_at_once():
    gate = GateProcess(os.environ)
    await gate.start()
    pid = gate._process.pid
    begun = time.monotonic()
    await gate.close()
    assert time.monotonic() - begun < 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import time; time.sleep(60)", "not ready"),
        ("raise SystemExit('no such library')", "no such library"),
        ("import os; os.kill(os.getpid(), 9)", "ended by itself with -9"),
    ],
)
async def test_a_process_that_hangs_or_dies_is_a_fault_in_words(script, words):
    gate = GateProcess(os.environ, (sys.executable, "-c", script))
    await gate.start()
    with pytest.raises(GateFault, match=words):
        await gate.ready(1.5)
    await gate.close()


async def test_a_process_that_dies_while_it_judges():
    script = 'import sys; print(\'{"ready": "1"}\', flush=True); sys.stdin.readline(); sys.exit(3)'
    gate = GateProcess(os.environ, (sys.executable, "-c", script))
    await gate.start()
    assert await gate.ready(10) == "1"
    with pytest.raises(GateFault, match="with 3"):
        await asyncio.wait_for(gate.judge(TABLES, EXPECTED), 10)
    await gate.close()


async def test_a_program_that_is_not_there():
    gate = GateProcess(os.environ, ("/no/such/python",))
    with pytest.raises(GateFault, match="cannot start"):
        await gate.start()
    await gate.close()


def test_no_key_reaches_it():
    assert "OPENAI_API_KEY" not in GateProcess({"OPENAI_API_KEY": "x", "PATH": "/bin"})._env


@pytest.mark.parametrize("module", ["surfaces.cli.app", "flows.deliver", "aurea.bootstrap"])
def test_nothing_else_imports_the_library(module):
    code = f"import sys, {module}; print([m for m in ('great_expectations', '{MODULE}', 'jinja2.ext') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "great_expectations" not in found.stdout and MODULE not in found.stdout


def test_the_known_expectations_are_those_of_the_library():
    code = (
        "import great_expectations.expectations as e, re\n"
        "print(*(re.sub(r'(?<!^)(?=[A-Z])', '_', n).lower() for n in vars(e) if n.startswith('Expect')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(found.stdout.split()) >= KNOWN
