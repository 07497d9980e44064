"""The report for people: it says what landed and why, and nobody's words break it."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest

from aurea.domain import events as ev
from aurea.domain.spec import ItemSpec
from aurea.reporting.board import Board
from aurea.reporting.commands import next_commands
from aurea.reporting.document import run_document
from aurea.reporting.manifest import manifest
from aurea.reporting.markdown import report_markdown
from aurea.reporting.progress import progress_markdown
from aurea.reporting.svg import plan_svg
from aurea.reporting.text import clean, count, cut, duration, money, one_line


def written(history):
    document = run_document(history.state, alive=False, folder="/runs/x", now=history.now())
    made = manifest(document, files=[], seq=7, chain="c" * 64, events=7)
    return document, report_markdown(document, made, picture=plan_svg(document))


def test_it_tells_the_whole_story(notes):
    document, text = written(notes)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert headings == [
        "notes: waiting", "Waits for a person", "What landed", "Storage (`storage`)", "Api (`api`)",
        "What did not land", "Attempts", "What failed attempts taught", "Checks and reviews", "Cost",
        "What to do next",
    ]  # fmt: skip
    for criterion in document["items"][1]["verdict"]["criteria"]:
        for evidence in criterion["evidence"]:
            assert f"`{evidence}`" in text
    assert "E   assert 404 == 201" in text  # the lesson of the failed attempt
    assert "its attempts are spent" in text
    assert "git -C '/home/ada/my notes' merge aurea/20260301-notes" in text
    assert "7 events up to number 7" in text
    assert "unproven" not in text


def test_what_agents_handed_in_is_told(notes):
    said = {"item": "docs", "attempt": 1}
    notes.add(ev.InsightPosted(conversation="coder", text="tests need\n| TZ=UTC"), **said)
    notes.add(ev.DecisionLogged(conversation="coder", title="ids", text="are integers"), **said)
    notes.add(ev.EscalationRaised(conversation="coder", kind="spec_mismatch", text="which one?"), **said)
    document, text = written(notes)
    assert [note["type"] for note in document["notes"]] == ["insight", "decision", "escalation"]
    assert re.findall(r"^## (Des.*|Ins.*|Esc.*)$", text, re.MULTILINE) == [
        "Design decisions",
        "Insights",
        "Escalations",
    ]
    assert "- **ids**: are integers (coder of `docs`, attempt 1)" in text and "- **spec" in text


def test_the_plan_is_in_it_as_a_picture(notes):
    document, text = written(notes)
    (encoded,) = re.findall(r"!\[Plan\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text)
    assert base64.b64decode(encoded).decode() == plan_svg(document)


def test_an_unproven_run_says_so(history, work_item):
    run = history([work_item("storage")], checks=(), unproven=True, reviewers=())
    run.create()
    attempt = run.begin("storage")
    run.submit("storage", attempt)
    run.verdict("storage", attempt, [])
    run.land("storage", attempt, "1")
    _, text = written(run)
    assert "> **unproven**" in text and "unproven, no gate" in text


def test_words_of_models_stay_words(history):
    evil = ItemSpec(
        id="x", title="a | b <script>alert(1)</script>\n# no", goal="g", criteria=("`x` | [y](javascript:z)",)
    )
    run = history([evil])
    run.create()
    attempt = run.begin("x")
    run.submit("x", attempt)
    run.verdict("x", attempt, run.judge("x", attempt))
    run.land("x", attempt, "1")
    _, text = written(run)
    assert "<script>" not in text and "\n# no" not in text and "[y](javascript" not in text
    for line in text.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 7, 8), line


def test_output_with_fences_stays_in_its_own(notes):
    from aurea.reporting.markdown import _fenced

    assert _fenced("```\n# x\n```") == "````\n```\n# x\n```\n````"


@pytest.mark.parametrize("count_", [0, 1, 7, 200])
def test_pictures_are_sound(history, work_item, count_):
    items = [work_item(f"n{i}", *(f"n{j}" for j in range(max(0, i - 3), i, 2))) for i in range(count_)]
    run = history(items)
    run.create()
    document = run_document(run.state, alive=True, folder="/x", now=run.now())
    root = ElementTree.fromstring(plan_svg(document))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert width <= 6_000 and height < 3_000
    groups = root.findall("{http://www.w3.org/2000/svg}g")
    assert len(groups) == count_


def test_nodes_of_a_picture_neither_overlap_nor_leave_it():
    import random

    from aurea.reporting.layout import NODE_HEIGHT, NODE_WIDTH, layout

    chance = random.Random(7)
    for size in (1, 2, 9, 40, 120):
        edges = {f"n{i}": [f"n{chance.randrange(i)}" for _ in range(chance.randrange(4)) if i] for i in range(size)}
        made = layout(edges)
        boxes = list(made.nodes.values())
        for i, (x, y) in enumerate(boxes):
            assert x >= 0 and y >= 0 and x + NODE_WIDTH <= made.width and y + NODE_HEIGHT <= made.height
            for other_x, other_y in boxes[i + 1 :]:
                assert abs(x - other_x) >= NODE_WIDTH or abs(y - other_y) >= NODE_HEIGHT - 1e-6
        for (parent, node), points in made.edges.items():
            assert made.nodes[parent][0] < made.nodes[node][0]
            xs = [x for x, _ in points]
            assert xs == sorted(xs)


def test_what_can_be_done_next(notes):
    document, _ = written(notes)
    assert [c.purpose for c in next_commands(document)] == [
        "answer",
        "go on",
        "inspect",
        "compare",
        "merge",
        "discard",
        "details",
    ]
    notes.add(ev.BaseMoved(ref="refs/heads/main", old="0" * 40, new="2" * 40))
    notes.add(ev.RunResumed())
    running = run_document(notes.state, alive=True, folder="/x", now=notes.now())
    assert [c.purpose for c in next_commands(running)] == ["answer", "inspect", "compare", "watch", "details"]


def test_nothing_landed_offers_no_merge(history, work_item):
    run = history([work_item("storage")])
    run.create()
    run.add(ev.RunEnded(state="failed", reason="nothing landed", reason_code="nothing_landed"))
    document, text = written(run)
    assert [c.purpose for c in next_commands(document)] == ["details"]
    assert "## What landed\n\nNothing." in text


def test_small_words():
    assert [duration(s) for s in (0, 2.14, 59.94, 59.96, 65, 3599.6, 3725)] == [
        "0.0s", "2.1s", "59.9s", "1m 00s", "1m 05s", "1h 00m", "1h 02m",
    ]  # fmt: skip
    assert [count(n) for n in (0, 999, 1000, 12_345, 999_949, 999_950)] == [
        "0",
        "999",
        "1.0k",
        "12.3k",
        "999.9k",
        "1.0M",
    ]
    assert [money(usd) for usd in (0, 0.0042, 0.1, 1.25)] == ["$0.00", "$0.0042", "$0.10", "$1.25"]
    assert one_line(" a\r\nb\tc\x1b[31mred\x1b[0m\x07 \u202eevil") == "a b cred evil"
    assert clean("a\x1b]0;title\x07b\x9b31m") == "ab31m"
    assert cut("数据库存储", 6) == "数据…" and cut("abcdef", 6) == "abcdef"


def test_the_live_page_says_what_waits_and_what_every_item_is_at(notes):
    board = Board(notes.state.id)
    for event in notes.events:
        board.take(event)
    text = progress_markdown(board, notes.now())
    [question] = notes.state.questions
    assert f"aurea decide {question}" in text and "it waits for an answer for ever" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 1 + len(notes.state.items)
    assert any("waiting human" in row and "its attempts are spent" in row for row in rows)
    assert "landed" in board.headline(notes.now())
