"""Looking at runs that are over: show, list, tail, schema, and what every command has in common."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

HEAVY = ("prefect", "pandas", "sqlalchemy", "openai", "pydantic_ai", "git", "great_expectations")


@pytest.fixture
def looking(shell: Any, finished: Path) -> Any:
    """The command on the home with finished runs."""
    return shell.on(finished)


def imported(shell: Any, *words: str) -> set[str]:
    """The top-level modules that a command line has imported by its end."""
    code = "import sys; from surfaces.cli.app import serve\n"
    code += f"try: serve({list(words)!r})\nfinally: print('\\n' + ' '.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], env=shell.env, cwd=shell.cwd, text=True, capture_output=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy(shell: Any) -> None:
    assert imported(shell, "--help").isdisjoint({*HEAVY, "markdown_it"})
    assert not shell.home.exists()


@pytest.mark.parametrize("words", [("show", "alpha-made"), ("list",), ("tail", "alpha-made")])
def test_looking_imports_neither_prefect_nor_pandas(words: tuple[str, ...], looking: Any) -> None:
    found = imported(looking, *words)
    assert "sqlalchemy" in found, "the command did read the ledger"
    assert found.isdisjoint(set(HEAVY) - {"sqlalchemy"})


def test_the_documents_are_as_their_schemas_say(looking: Any, finished: Path) -> None:
    valid = {}
    for name in ("spec", "run", "event", "manifest", "question"):
        told = looking("schema", name)
        assert told.code == 0
        jsonschema.Draft202012Validator.check_schema(json.loads(told.out))
        valid[name] = jsonschema.Draft202012Validator(json.loads(told.out)).validate
    runs = [json.loads(looking("show", run, "--json").out) for run in ("alpha-made", "alpha-waits", "loose-1")]
    for run in runs:
        valid["run"](run)
        for question in run["questions"]:
            valid["question"](question)
        folder = Path(run["folder"])
        valid["manifest"](json.loads((folder / "manifest.json").read_text()))
        valid["spec"](json.loads((folder / "inputs" / "resolved.json").read_text()))
        lines = looking("tail", run["run"], "--json").out.splitlines()
        assert lines == (folder / "events.jsonl").read_text().splitlines()
        for line in lines:
            valid["event"](json.loads(line))
    assert any(run["questions"] for run in runs)
    with pytest.raises(jsonschema.ValidationError):
        valid["run"]({**runs[0], "state": "splendid"})


def test_show_tells_what_landed_what_did_not_and_what_to_do(looking: Any) -> None:
    told = looking("show", "alpha-waits")
    assert told.code == 0
    assert re.search(r"✓ +good +complete", told.out)
    assert re.search(r"\? +bad +waiting human .*1 of 1 attempts are spent.*check sound failed \(exit 1\)", told.out)
    assert re.search(r"· +later +planned .*waits for bad", told.out)
    for purpose in ("inspect", "compare", "merge", "discard"):
        assert re.search(rf"^{purpose} +git -C \S+ ", told.out, re.MULTILINE), purpose
    assert re.search(r"^go on +aurea resume alpha-waits --set max_attempts=3$", told.out, re.MULTILINE)
    assert f"folder {looking.home}/runs/alpha-waits" in told.out


def test_the_commands_that_show_names_work(looking: Any) -> None:
    for run in ("alpha-made", "alpha-waits"):
        lines = re.findall(r"^(?:inspect|compare) +(.+)$", looking("show", run).out, re.MULTILINE)
        assert len(lines) == 2
        for line in lines:
            done = subprocess.run(line, shell=True, cwd=looking.cwd, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr
            assert done.stdout


def test_show_of_one_item_names_its_attempts_and_logs(looking: Any) -> None:
    told = looking("show", "alpha-made", "--item", "second", "--files", "--events").out
    assert "attempt 1  failed" in told
    assert "attempt 2  landed" in told
    assert "refs/aurea/alpha-made/second/1" in told
    for log in re.findall(r"/\S+/logs/second/\S+", told):
        assert Path(log).is_file()
    assert re.search(r"second\.txt +second +7 +[0-9a-f]{64}", told)
    assert "first.txt" not in told
    assert re.search(r"second #2 +landed as", told)


def test_show_of_one_item_tells_what_its_agents_said_and_did(looking: Any) -> None:
    told = looking("show", "alpha-made", "--item", "second").out
    for attempt, file in ((1, "bad"), (2, "second")):
        assert f"conversation: second, attempt {attempt}: coder" in told and f"write_file path: {file}.txt" in told
    assert "wrote 7 bytes to bad.txt" in told and "attempt 2: reviewer-1" in told
    assert "You are an engineer" not in told, "what it was told first is another question"
    first = looking("show", "alpha-made", "--item", "second", "--attempt", "1").out
    assert "attempt 1: coder" in first and "attempt 2: coder" not in first
    document = json.loads(looking("show", "alpha-made", "--item", "second", "--json").out)
    assert [entry["path"].split("/")[-1] for entry in document["conversations"]] == [
        "conversation.jsonl", "conversation.jsonl", "reviewer-1.jsonl",
    ]  # fmt: skip
    assert "has no attempt 9" in looking("show", "alpha-made", "--item", "second", "--attempt", "9").err


def test_show_of_a_prompt_names_its_parts_and_what_they_take(looking: Any) -> None:
    told = looking("show", "alpha-made", "--item", "second", "--prompt").out
    assert "second, attempt 2: coder" in told and "second, attempt 2: reviewer-1" in told
    assert "[instructions]\nYou are an engineer" in told
    assert re.search(r"\[item\] Work item second: second · \d+ of 4000 tokens\nwrite second\.txt", told)
    assert "[lessons] Earlier attempts" in told and "check sound failed (exit 1)" in told
    words = ("show", "alpha-made", "--item", "second", "--prompt", "--attempt", "1", "--json")
    [prompt] = json.loads(looking(*words).out)["prompts"]
    names = ["item", "criteria", "checks", "objective", "plan", "contracts", "map"]
    assert [part["name"] for part in prompt["parts"]] == names
    assert all(0 < part["tokens"] <= part["budget"] for part in prompt["parts"])
    refused = looking("show", "alpha-made", "--prompt")
    assert refused.code == 2 and "nothing was told to a planner yet" in refused.err


def test_tail_of_one_item_follows_its_conversation(looking: Any) -> None:
    told = looking("tail", "alpha-made", "--item", "second", "--type", "tool").out
    assert re.search(r"write_file ok\n +\| wrote 7 bytes to bad\.txt\n", told)
    assert "| wrote" not in looking("tail", "alpha-made", "--type", "tool").out
    for line in looking("tail", "alpha-made", "--item", "second", "--json").out.splitlines():
        json.loads(line)


def test_show_of_the_diff_is_what_landed(looking: Any) -> None:
    told = looking("show", "alpha-made", "--diff").out
    assert re.findall(r"^\+\+\+ b/(.+)$", told, re.MULTILINE) == ["first.txt", "second.txt"]
    assert "+second\n" in told
    document = json.loads(looking("show", "alpha-made", "--diff", "--json", "--item", "second").out)
    assert document["diff"].startswith("diff --git a/second.txt b/second.txt\n")
    assert "first.txt" not in document["diff"]
    assert looking("show", "alpha-waits", "--diff", "--item", "bad").out.endswith("nothing has landed\n")


def test_show_as_json_takes_files_and_events_along(looking: Any) -> None:
    document = json.loads(looking("show", "alpha-made", "--json", "--files", "--events").out)
    assert [file["path"] for file in document["files"]] == ["first.txt", "second.txt"]
    assert document["events"][0]["type"] == "run.created"
    assert "files" not in json.loads(looking("show", "alpha-made", "--json").out)


def test_a_run_is_named_by_its_id_a_unique_prefix_or_latest(looking: Any) -> None:
    def name(*words: str) -> str:
        return str(json.loads(looking("show", *words, "--json").out)["run"])

    assert name("alpha-made") == name("alpha-m") == "alpha-made"
    assert name() == name("latest") == "loose-1"
    for word, reason in (("alpha", "begins the id of 2 runs: "), ("zzz", "there is no run 'zzz'"), ("../x", "no run")):
        for command in ("show", "tail", "verify", "resume"):
            told = looking(command, word)
            assert (told.code, told.out) == (2, ""), command
            assert reason in told.err


def test_an_unknown_item_is_named_with_those_there_are(looking: Any) -> None:
    for command in ("show", "tail"):
        told = looking(command, "alpha-made", "--item", "third")
        assert (told.code, told.out) == (2, "")
        assert "no work item 'third'" in told.err
        assert "first, second" in told.err


def test_list(looking: Any) -> None:
    rows = json.loads(looking("list", "--json").out)
    assert [row["run"] for row in rows] == ["loose-1", "alpha-waits", "alpha-made"], "newest first"
    documents = {row["run"]: json.loads(looking("show", row["run"], "--json").out) for row in rows}
    for row in rows:
        assert {key: documents[row["run"]][key] for key in row if key != "items"} == {
            k: row[k] for k in row if k != "items"
        }
    table = looking("list").out
    assert re.search(r"^alpha-waits +alpha +waiting +1/3 ", table, re.MULTILINE)
    assert re.search(r"^loose-1 .* unproven *$", table, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--limit", "1"), ["loose-1"]),
        (("--limit", "0"), []),
        (("--state", "waiting"), ["alpha-waits"]),
        (("--state", "waiting", "--limit", "1"), ["alpha-waits"]),
        (("--state", "failed"), []),
        (("--since", "1h"), ["loose-1", "alpha-waits", "alpha-made"]),
        (("--since", "2100-01-01"), []),
        (("--since", "2100-01-01T12:00:00+02:00"), []),
        (("--since", "2020-01-01"), ["loose-1", "alpha-waits", "alpha-made"]),
    ],
)
def test_list_chooses(words: tuple[str, ...], wanted: list[str], looking: Any) -> None:
    assert [row["run"] for row in json.loads(looking("list", "--json", *words).out)] == wanted
    if not wanted:
        assert looking("list", *words).out == "no such runs\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--limit", "-1"), "--limit"),
        (("--limit", "many"), "--limit"),
        (("--state", "runing"), '"running"'),
        (("--since", "tomorrow"), "no date, time or age"),
        (("--since", "99999999999999d"), "no date, time or age"),
        (("--since", ""), "no date, time or age"),
    ],
)
def test_list_refuses_what_it_cannot_mean(words: tuple[str, ...], reason: str, looking: Any) -> None:
    told = looking("list", *words)
    assert (told.code, told.out) == (2, "")
    assert reason in told.err


def test_list_since_now_is_not_yet(looking: Any) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert json.loads(looking("list", "--json", "--since", soon).out) == []


def test_tail_chooses_by_item_and_type(looking: Any) -> None:
    def types(*words: str) -> set[tuple[str, str]]:
        lines = looking("tail", "alpha-made", "--json", *words).out.splitlines()
        return {(event["item"], event["type"]) for event in map(json.loads, lines)}

    assert {item for item, _ in types("--item", "second")} == {"second"}
    assert types("--type", "landing.landed") == {("first", "landing.landed"), ("second", "landing.landed")}
    assert {name for _, name in types("--type", "model")} >= {"model.asked", "model.answered"}
    assert types("--item", "first", "--type", "run") == set()
    told = looking("tail", "alpha-made", "--type", "landing.landet")
    assert (told.code, told.out) == (2, "")
    assert "landing.landed" in told.err


def test_tail_gives_whole_events_in_order_and_follow_ends_with_the_run(looking: Any) -> None:
    told = looking("tail", "alpha-made", "--follow", "--json")
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert events[-1]["type"] == "run.ended"
    assert looking("logs", "alpha-made", "--json").out == told.out
    assert len(looking("tail", "alpha-made").out.splitlines()) == len(events)


def test_an_unproven_run_says_so_everywhere(looking: Any) -> None:
    document = json.loads(looking("show", "loose-1", "--json").out)
    folder = Path(document["folder"])
    assert document["unproven"] is True
    assert "unproven" in looking("show", "loose-1").out.splitlines()[1]
    assert json.loads((folder / "manifest.json").read_text())["unproven"] is True
    assert "unproven" in (folder / "artifacts" / "report.md").read_text().lower()
    message = subprocess.run(
        ["git", "-C", document["repo"], "log", "-1", "--format=%B", document["target"]["sha"]],
        text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert "unproven" in message.lower()
    created = json.loads((folder / "events.jsonl").read_text().splitlines()[0])
    assert created["payload"]["spec"]["unproven"] is True


def test_the_report_of_a_proven_run_does_not_speak_of_it(looking: Any) -> None:
    document = json.loads(looking("show", "alpha-made", "--json").out)
    assert "unproven" not in (Path(document["folder"]) / "artifacts" / "report.md").read_text().lower()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("lsit",), 'Did you mean "list"?'),
        (("show", "--jsn"), "--json"),
        (("show", "a", "b"), "b"),
        (("schema", "specs"), '"spec"'),
        (("resume",), "RUN"),
        (("run", "--budget"), "--budget"),
        (("run", "--concurrency", "two"), "two"),
        (("run", "--run-id", "X"), "'X' cannot be the id of a run"),
        (("run", "--run-id", "abc"), "4 to 64"),
        (("run", "--run-id", "../../etc"), "cannot be the id of a run"),
        (("run", "--run-id", "latest"), "cannot be the id of a run"),
        (("-C", "nowhere", "list"), "there is no folder"),
        (("-C",), "-C needs a folder"),
        (("list", "--home"), "--home needs a folder"),
    ],
)
def test_bad_usage(words: tuple[str, ...], reason: str, shell: Any) -> None:
    told = shell(*words)
    assert (told.code, told.out) == (2, "")
    assert reason in told.err
    assert "Traceback" not in told.err
    assert not shell.home.exists()


def test_help_and_version(shell: Any) -> None:
    from aurea import __version__

    assert shell("--version").out.strip() == __version__
    told = shell("--help")
    assert told.code == 0
    for name in ("run", "resume", "show", "list", "tail", "verify", "schema", "doctor"):
        assert re.search(rf"\b{name}\b", told.out)
        assert f"Usage: aurea {name}" in shell(name, "--help").out


def test_the_shell_completes_commands_and_options(shell: Any) -> None:
    user = Path(shell.env["HOME"])
    user.mkdir()
    assert shell("--install-completion", "--shell", "bash").code == 0
    [script] = user.rglob("completions/aurea")
    ask = f"source {script}; COMP_WORDS=(aurea {{}}); COMP_CWORD={{}}; _aurea; echo ${{{{COMPREPLY[@]}}}}"
    for words, place, wanted in (("cl", 1, "clean"), ("show --di", 2, "--diff"), ("run --det", 2, "--detach")):
        done = subprocess.run(["bash", "-c", ask.format(words, place)], text=True, capture_output=True, check=True)
        assert done.stdout.split() == [wanted]


def test_the_home_and_the_folder_may_be_named(shell: Any, finished: Path) -> None:
    assert shell("--home", finished, "list", "--limit", "1").out.splitlines()[1].startswith("loose-1")
    assert shell("list", f"--home={finished}", "--limit", "1").out.splitlines()[1].startswith("loose-1")
    (shell.cwd / "deep").mkdir()
    (shell.cwd / "deep" / "s.yaml").write_text("project: x\n")
    told = shell("-C", "deep", "run", "s.yaml")
    assert told.code == 2
    assert told.lines[0].startswith("s.yaml:1:1: ")
    assert shell("--home", "/dev/null/x", "list").code == 2


def test_json_is_one_document_without_colour(looking: Any) -> None:
    nowhere = "http://127.0.0.1:9/v1"
    for words in (("show",), ("list",), ("verify",), ("doctor",), ("schema",)):
        json_too = () if words == ("schema",) else ("--json",)
        out = looking(*words, *json_too, FORCE_COLOR="1", OPENAI_BASE_URL=nowhere).out
        json.loads(out)
        assert "\x1b" not in out


def test_no_color_is_honoured(looking: Any) -> None:
    assert "\x1b[3" in looking("show", FORCE_COLOR="1", TERM="xterm").out
    assert "\x1b[3" not in looking("show", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").out


@pytest.mark.parametrize("columns", [20, 60, 200])
def test_columns_is_honoured(columns: int, looking: Any) -> None:
    for words in (("list",), ("show", "alpha-waits"), ("--help",)):
        told = looking(*words, COLUMNS=str(columns))
        assert told.code == 0
    table = looking("list", COLUMNS=str(columns)).out
    assert max(map(len, table.splitlines())) <= max(columns, 20)


def test_a_reader_that_has_read_enough(looking: Any) -> None:
    aurea = Path(sys.executable).with_name("aurea")
    for words in ("tail alpha-made --json", "show", "schema run"):
        line = f"set -o pipefail; {aurea} {words} | head -n 1"
        done = subprocess.run(["bash", "-c", line], env=looking.env, cwd=looking.cwd, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert len(done.stdout.splitlines()) == 1


def test_nobody_listens(looking: Any) -> None:
    aurea = Path(sys.executable).with_name("aurea")
    for words, code in (("list --json >&-", 0), ("show nobody 2>&-", 2)):
        done = subprocess.run(["bash", "-c", f"{aurea} {words}"], env=looking.env, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (code, b"", b""), words


def test_a_terminal_without_the_letters(looking: Any) -> None:
    told = looking.process("show", "alpha-made", PYTHONIOENCODING="ascii")
    assert told.code == 0
    assert "complete" in told.out
    json.loads(looking.process("show", "--json", PYTHONIOENCODING="ascii").out)
