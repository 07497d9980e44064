"""What people read of a run on a terminal and in a pipe."""

from __future__ import annotations

import io
from datetime import UTC

import pytest

from aurea.domain import events as ev
from aurea.domain.spec import ItemSpec
from aurea.reporting.document import run_document, run_row
from aurea.reporting.lines import event_line, event_text, matters
from surfaces.cli import render


def printed(call, *args, **options):
    stream = io.StringIO()
    call(*args, stream=stream, **options)
    return stream.getvalue()


def document(history):
    return run_document(history.state, alive=False, folder="/runs/x", now=history.now())


def test_the_end_says_what_landed_what_did_not_and_what_to_do(notes):
    text = printed(render.print_end, document(notes))
    landed, rest = text.split("Did not land")
    assert "Storage" in landed and "222222222222" in landed
    assert "Docs" in rest and "its attempts are spent; ran out of model turns" in rest
    assert "q-0123456789" in rest and "approve_anyway" in rest
    assert "git -C '/home/ada/my notes' log --oneline 000000000000..aurea/20260301-notes" in rest
    assert "git -C '/home/ada/my notes' merge aurea/20260301-notes" in rest
    assert "branch -D aurea/20260301-notes" in rest
    assert "\x1b" not in text  # no terminal, no colour


def test_show_has_every_item_and_what_it_cost(notes):
    text = printed(render.print_run, document(notes))
    assert text.splitlines()[0] == "notes  waiting"
    assert "4 model calls, 6.0k tokens, $0.0500 of $5.00" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("✓", "?"))]
    assert [row[1] for row in rows] == ["storage", "api", "docs"]


def test_show_of_one_item_has_its_attempts_logs_and_failing_output(notes):
    text = printed(render.print_run, document(notes), item="api")
    assert "attempt 1  failed" in text and "attempt 2  landed" in text
    assert "/runs/x/logs/api/tests.log" in text
    assert "    E   assert 404 == 201" in text
    assert "✓  api works" in text
    assert "storage works" not in text


def test_files(notes):
    file = {"path": "a b.py", "item": "api", "bytes": 3, "sha256": "f" * 64, "media_type": "text/x-python"}
    assert "f" * 64 in printed(render.print_run, document(notes), files=[file])
    assert "f" * 64 not in printed(render.print_run, document(notes), item="storage", files=[file])


def test_list(notes):
    row = run_row(notes.state, alive=False, folder="/x", now=notes.now())
    text = printed(render.print_runs, [row])
    assert "20260301-notes" in text and "2/3" in text and "waiting" in text
    assert "no runs yet" in printed(render.print_runs, [])


def test_unproven_is_said_everywhere(history, work_item):
    run = history([work_item("storage")], checks=(), unproven=True)
    run.create()
    made = document(run)
    row = run_row(run.state, alive=False, folder="/x", now=run.now())
    for text in (printed(render.print_run, made), printed(render.print_end, made), printed(render.print_runs, [row])):
        assert "unproven" in text


def test_lines_of_models_cannot_steer_a_terminal(history):
    evil = ItemSpec(id="x", title="[bold]t\x1b[2J\x07itle", goal="g\x1b]0;pwned\x07", criteria=("c\r\x1b[1A",))
    run = history([evil])
    run.create()
    attempt = run.begin("x")
    run.add(ev.AttemptEnded(outcome="stalled", reason="no\x1b[31m progress\nat all"), item="x", attempt=attempt)
    made = document(run)
    for text in (
        printed(render.print_run, made),
        printed(render.print_end, made),
        printed(render.print_run, made, item="x"),
    ):
        assert "\x1b" not in text and "\x07" not in text and "\r" not in text
    assert "[bold]title" in printed(render.print_end, made)  # and markup is text
    line = event_line(run.events[-1], UTC)
    assert line.endswith("x #1          attempt stalled: no progress at all")


def test_a_line_says_when_where_and_what(notes):
    lines = [event_line(event, UTC) for event in notes.events if matters(event)]
    assert "12:00:22 api #1        check tests failed (exit 1, 2.1s)" in lines
    assert "12:00:16 storage #1    landed as 111111111111" in lines
    assert not any("gate" in line or "write_file" in line for line in lines)
    assert lines[-1] == "12:00:40 run           waits for a person: Docs: what now?"


def test_every_type_of_event_has_words_of_its_own(notes):
    for event in notes.events:
        text = event_text(event)
        assert text and text != event.type and "\n" not in text


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        (ev.RunLinked(flow_run="f", ui_url="http://h/runs/f"), "watch it at http://h/runs/f"),
        (ev.RunResumed(changes={"budget_usd": 9}), "resumed with budget_usd=9"),
        (ev.PlanRejected(round=1, reasons=("a cycle: a -> b -> a",)), "plan rejected: a cycle: a -> b -> a"),
        (
            ev.ModelFailed(
                conversation="coder", step=3, attempt=1, kind="rate_limit", message="slow\ndown", retryable=True
            ),
            "coder step 3: rate_limit, will be tried again: slow down",
        ),
        (ev.LandingRefused(kind="red", tip="1" * 40, reason="tests failed"), "landing refused (red): tests failed"),
        (ev.BreakerChanged(provider="openai", state="half_open"), "circuit breaker of openai is half open"),
        (ev.PlanReopened(round=2, failures=2), "the planner is asked to revise it (round 2, 2 failed attempts)"),
        (ev.BaseMoved(ref="refs/heads/main", old="0" * 40, new="1" * 40), "refs/heads/main moved to 111111111111"),
    ],
)
def test_words(notes, fact, wanted):
    event = notes.events[0].model_copy(update={"fact": fact})
    assert event_text(event) == wanted and matters(event)
