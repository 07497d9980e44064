"""The report as one HTML file: what it shows, that hostile texts stay text, and that it asks for nothing from outside."""

from __future__ import annotations

import html.parser
import json
import re

import pytest

from aurea.domain import events as ev
from aurea.reporting.conversations import conversations
from aurea.reporting.document import run_document
from aurea.reporting.earlier import earlier_runs, history_svg
from aurea.reporting.manifest import manifest
from aurea.reporting.page.fill import Diff, Material, diff_lines, report_html
from aurea.reporting.svg import plan_svg
from aurea.reporting.timeline import timeline_svg
from aurea.topology.executed import executed_steps
from aurea.topology.figures import statistics
from aurea.topology.history import against
from aurea.topology.shape import topology, topology_table

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m"


def numbers(run):
    steps = executed_steps(run.events)
    return statistics(run.state, topology(run.state, run.events, steps), steps)


def page_of(run, folder, **changed):
    state = run.state
    document = run_document(state, alive=True, folder=folder, now=run.now())
    shape = topology(state, run.events)
    made = manifest(document, files=[], seq=state.last_seq, chain=state.last_hash, events=len(run.events))
    material = {
        "document": document, "manifest": made, "shape": shape, "topology_rows": topology_table(shape),
        "compared": against(numbers(run), []), "quality": None, "costs": [], "diffs": [],
        "conversations": conversations(folder, document), "plan_svg": plan_svg(document), **changed,
    }  # fmt: skip
    return report_html(Material(**material))


class Elements(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(notes, tmp_path):
    page = page_of(notes, tmp_path)
    found = Elements(page)
    assert found.open == [] and found.tags.count("script") == 1
    assert not {"img", "link", "iframe", "object", "form", "base"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name in ("src", "style")]
    assert "default-src 'none'" in page and not re.search(r"url\((?!#)|@import", page)
    assert "sha256-" in page and "unsafe" not in page


def test_it_tells_what_was_spent_under_each_cap(notes, tmp_path):
    document = run_document(notes.state, alive=True, folder=tmp_path, now=notes.now())
    assert "Budgets:" not in page_of(notes, tmp_path)
    document["budget"]["caps"] = [{"scope": "role", "name": "coder", "limit_usd": 2.0, "spent_usd": 0.5}]
    assert "Budgets: role coder $0.50 of $2.00" in page_of(notes, tmp_path, document=document)


def test_it_tells_what_landed_what_did_not_and_what_waits(notes, tmp_path):
    page = page_of(notes, tmp_path)
    for words in (
        "storage works",
        "Waits for a person",
        "Docs: what now?",
        "check tests failed (exit 1)",
        "not judged",
    ):
        assert words.lower() in page.lower()
    assert 'class="retry"' in page, "the second attempt is marked in the timeline"
    data = json.loads(re.search(r'id="aurea-run">(.*)</script>', page, re.DOTALL)[1])
    assert data["run"]["run"] == notes.state.id and data["topology"]["schema"] == "aurea.topology/1"


def test_hostile_texts_stay_text(notes, tmp_path):
    place = tmp_path / "logs" / "storage" / "1"
    place.mkdir(parents=True)
    line = {"role": "assistant", "text": HOSTILE, "calls": [{"name": "run_shell", "arguments": {"command": HOSTILE}}]}
    (place / "conversation.jsonl").write_text(json.dumps(line) + "\n" + '{"role": "cut o')
    diff = Diff("storage", f"+++ b/{HOSTILE}\n+{HOSTILE}", [{"path": HOSTILE, "added": 1, "deleted": 0}])
    notes.add(ev.RunEnded(state="failed", reason=HOSTILE, reason_code="quality"))
    page = page_of(notes, tmp_path, diffs=[diff])
    assert Elements(page).tags.count("script") == 1 and "<img" not in page
    assert "\x1b" not in page and "&lt;script&gt;alert(1)" in page


def test_conversations_are_bounded_and_readable(notes, tmp_path):
    place = tmp_path / "logs" / "storage" / "1"
    place.mkdir(parents=True)
    call = {"name": "edit_file", "arguments": {"path": "a.py", "old": "x", "new": "one\ntwo\n"}}
    lines = [
        {"role": "assistant", "text": "", "calls": [call]},
        {"role": "tool", "name": "edit_file", "text": "y" * 9000},
    ]
    (place / "conversation.jsonl").write_text("\n".join(json.dumps(line) for line in lines * 60))
    document = run_document(notes.state, alive=True, folder=tmp_path, now=notes.now())
    (found,) = conversations(tmp_path, document)
    assert found["messages"][0]["text"] == "→ edit_file path: a.py, old: x\nnew:\none\ntwo"
    assert found["messages"][1]["tool"] == "edit_file" and "7400 characters" in found["messages"][1]["text"]
    assert len(found["messages"]) == 61 and any("60 messages left out" in m["text"] for m in found["messages"])


def test_a_diff_in_classes():
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n same"
    assert [kind for kind, _ in diff_lines(text)] == ["head", "head", "head", "hunk", "del", "add", "same"]


def test_the_timeline_of_a_run_without_work_is_empty(history, work_item):
    run = history([work_item("storage")])
    run.create()
    document = run_document(run.state, alive=True, folder="/x", now=run.now())
    assert timeline_svg(document, topology(run.state, run.events)) == ""


def keep(folder, name, statistics):
    place = folder / name / "artifacts"
    place.mkdir(parents=True)
    (place / "statistics.json").write_text(statistics if isinstance(statistics, str) else json.dumps(statistics))


def test_earlier_runs_are_those_of_the_project_that_ended(notes, tmp_path):
    one = {**numbers(notes), "state": "succeeded"}
    keep(tmp_path, "good", one)
    keep(tmp_path, "other-project", {**one, "project": "else"})
    keep(tmp_path, "cancelled", {**one, "state": "cancelled"})
    keep(tmp_path, "damaged", "{")
    keep(tmp_path, "future", {**one, "schema": "aurea.statistics/9"})
    keep(tmp_path, "mine", one)
    (tmp_path / "empty").mkdir()
    assert earlier_runs(tmp_path / "mine", one["project"]) == [one]


@pytest.mark.parametrize("count", [0, 1, 6, 20])
def test_the_chart_has_a_line_per_measure(notes, count):
    compared = against(numbers(notes), [numbers(notes)] * count)
    assert history_svg(compared).count("<polyline") == (7 if count else 0)
