"""Agents that mean harm, or mean nothing: refused or limited, on record, the run ends, and nothing is left behind."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Turn = list[tuple[str, dict[str, Any] | str]] | str

APPROVE = ("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "good"})
REPORT = ("submit_report", {"summary": "done", "approach": "the simple one"})


def write(path: str, content: str = "x\n") -> tuple[str, dict[str, Any]]:
    return ("write_file", {"path": path, "content": content})


def shell(command: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return ("run_shell", {"command": command, **more})


def turns(acts: dict[str, list[Turn] | Callable[[Any], Turn]]) -> Callable[[Any], Turn]:
    """Coders of each item take their turns in order in the first attempt and report at its end; later ones are honest."""

    def script(asked: Any) -> Turn:
        if asked.conversation.startswith("reviewer"):
            return [APPROVE]
        mine = acts[asked.item]
        if callable(mine):
            return mine(asked)
        if asked.attempt > 1:
            mine = [[write(f"{asked.item}.txt")]]
        return mine[asked.step - 1] if asked.step <= len(mine) else [REPORT]

    return script


@pytest.fixture
def marker() -> str:
    """Seconds to sleep that nobody else on this machine sleeps: how left-over processes are told from others."""
    return f"98765.{secrets.randbelow(10**9):09d}"


@pytest.fixture
def deliver(aurea, models, repo: Path, tmp_path: Path) -> Callable[..., Delivery]:
    """Runs the acts of agents on the user's repository and looks at what is left afterwards, whatever they did."""

    def run(acts: dict[str, list[Turn] | Callable[[Any], Turn]], **spec: Any) -> Delivery:
        models.script = turns(acts)
        items = [{"id": name, "goal": f"write {name}", "criteria": ["it is there"]} for name in acts]
        path = tmp_path / "spec.json"
        document = {"project": "calc", "objective": "more", "provider": "openai", "model": "local", "repo": str(repo)}
        checks = [{"name": "tests", "run": ["sh", "check.sh"]}]
        path.write_text(json.dumps({**document, "checks": checks, "items": items, **spec}))
        before = around(tmp_path)
        done = aurea("run", str(path), "--json", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=models.url)
        assert done.stdout, done.stderr
        assert around(tmp_path) == before, "nothing of the user's is changed, nothing is written outside the workspaces"
        document = json.loads(done.stdout)
        left = [p for p in (tmp_path / "workspaces").rglob("*") if not p.is_dir()]
        assert left == [], "no workspace is left"
        return Delivery(done.returncode, document)

    return run


KEY = f"sk-{secrets.token_hex(20)}"


class Delivery:
    """A run that is over: its exit code, its document, its events."""

    def __init__(self, code: int, document: dict[str, Any]) -> None:
        self.code = code
        self.document = document
        lines = (Path(document["folder"]) / "events.jsonl").read_text().splitlines()
        self.events = [json.loads(line) for line in lines]

    def tools(self, item: str, attempt: int = 1) -> list[dict[str, Any]]:
        """How the coder's tool calls of an attempt ended, in order."""
        return [
            event["payload"]
            for event in self.events
            if (event["type"], event["item"], event["attempt"]) == ("tool.ended", item, attempt)
            and event["payload"]["conversation"] == "coder"
        ]

    def attempts(self, item: str) -> list[dict[str, Any]]:
        return next(entry["attempts"] for entry in self.document["items"] if entry["id"] == item)

    def ended(self, item: str) -> list[dict[str, Any]]:
        return [e["payload"] for e in self.events if e["type"] == "attempt.ended" and e["item"] == item]


def around(tmp_path: Path) -> dict[str, object]:
    """Every file and link near the run but those that a run may make: its workspaces, its refs and objects."""
    found: dict[str, object] = {}
    for path in sorted(tmp_path.rglob("*")):
        name = str(path.relative_to(tmp_path))
        if name.startswith(("workspaces", "project/.git/objects", "project/.git/refs")):
            continue
        found[name] = (
            path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else path.stat().st_mode
        )
    return found


def processes(words: str) -> list[str]:
    """Command lines of living processes that hold `words`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line:
            found.append(line)
    return found


@pytest.fixture(autouse=True)
def nothing_left_running(marker: str) -> Iterator[None]:
    yield
    assert processes(marker) == []


def test_no_path_form_and_no_link_leads_a_file_tool_outside(deliver, models, repo: Path, tmp_path: Path, git):
    outside = tmp_path / "outside.txt"
    (tmp_path / "secret.txt").write_text("the user's secret\n")
    links = (
        "ln -s / root && ln -s ../../../.. up && ln -s .git/config cfg && mkdir d && ln -s ../.. d/up && ln -s .git g"
    )
    escapes = [
        "../x", "d/../../x", str(outside), f"root{outside}", "up/outside.txt", "d/up/x", ".git/config", ".GIT/config",
        "sub/.git/config", ".git./config", "git~1/config", "g/config", "cfg", "~/x", "x/../../x", "\x00x", "..\\x", "",
    ]  # fmt: skip
    attempts = [
        [write(path) for path in escapes],
        [("append_file", {"path": path, "content": "x"}) for path in escapes],
        [("delete_file", {"path": path}) for path in escapes],
        [("edit_file", {"path": path, "old": "user", "new": "x"}) for path in (*escapes, f"root{tmp_path}/secret.txt")],
        [("read_file", {"path": path}) for path in (*escapes, "../base", f"root{tmp_path}/secret.txt")],
        [("list_directory", {"path": path}) for path in ("..", "/", "root", "up", ".git", "d/up", "g")],
        [
            ("search_codebase", {"pattern": "secret", "path": path})
            for path in ("..", "/", "root", "d/up", str(tmp_path))
        ],
        [("git_diff", {"ref": f"--output={outside}"}), ("git_diff", {"ref": "--no-index"})],
    ]
    honest: list[Turn] = [[shell("rm -rf root up cfg d g")], [write("a.txt")]]
    run = deliver({"a": [[shell(links)], *attempts, *honest]})

    assert run.code == 0, run.document
    ended = run.tools("a")
    tried = sum(map(len, attempts))
    assert len(ended) == tried + 4
    assert {entry["outcome"] for entry in ended[1 : tried + 1]} == {"refused"}
    assert all(entry["reason"] for entry in ended[1 : tried + 1])
    assert "the user's secret" not in "".join(asked.text for asked in models.asked)
    assert git(repo, "diff", "--name-status", "main", run.document["target"]["ref"]).split() == ["A", "a.txt"]


def test_nothing_done_to_git_counts_and_no_trap_fires(deliver, repo: Path, tmp_path: Path, git):
    fired = tmp_path / "workspaces" / "fired"  # a place that the agents' own commands may write to
    trap = f"printf '#!/bin/sh\\ntouch {fired}\\ncat\\n' > trap.sh; chmod +x trap.sh; T=$PWD/trap.sh; "
    names = "pre-commit post-commit post-checkout post-index-change reference-transaction"
    hooks = f"for h in {names}; do cp $T .git/hooks/$h; done"
    configured = (
        "git config --global core.hooksPath $PWD; git config --global filter.evil.clean $T; git config --global user.name Evil;"
        f"git config core.fsmonitor $T; git config core.worktree /; git config core.hooksPath $PWD; {hooks};"
        "git config filter.evil.clean $T; git config filter.evil.smudge $T; git config filter.evil.required true;"
        "git config diff.evil.textconv $T; git config merge.evil.driver $T; git config core.attributesFile $PWD/.gitattributes;"
        "printf '* filter=evil diff=evil merge=evil\\n' > .gitattributes"
    )
    away = "../tmp/evil.git"
    moved = f"mv .git {away}; git --git-dir {away} config core.fsmonitor $T; echo gitdir: $PWD/{away} > .git"
    nested = f"git init -q sub && cd sub && echo 1 > f && git add f && git commit -q -m x && git config core.fsmonitor {fired}"
    index = (
        "git rm -r -q --cached . ; git update-ref -d HEAD; git stash; git checkout -q --orphan other; rm -f .git/index"
    )
    history = "git commit -q --allow-empty -m mine; git branch aurea; git tag v9; git gc -q --prune=now"
    bare = "mkdir -p inner/objects inner/refs; echo 'ref: refs/heads/x' > inner/HEAD; echo '[core]' > inner/config"
    run = deliver({
        "configured": [[shell(f"mkdir -p .git/hooks; {trap}{configured}; rm -f {fired}"), write("configured.txt")]],
        "moved": [[shell(f"{trap}{moved}; rm -f {fired} trap.sh"), write("moved.txt")]],
        "nested": [[shell(nested), write("nested.txt")]],
        "index": [[shell(index), write("index.txt")]],
        "history": [[shell(history), ("git_commit", {"message": "all mine"}), write("history.txt")]],
        "gone": [[shell("rm -rf .git; printf 'x' > .git"), write("gone.txt")]],
        "bare": [[shell(bare), write("bare.txt")]],
    })  # fmt: skip

    assert run.code == 0, run.document
    assert not fired.exists()
    assert [a["state"] for a in run.attempts("nested")] == ["failed", "landed"]
    assert run.ended("nested")[0]["outcome"] == "refused"
    assert "sub/ (a repository of its own)" in run.ended("nested")[0]["reason"]
    assert all(len(run.attempts(name)) == 1 for name in ("configured", "moved", "index", "history", "gone", "bare"))
    landed = set(git(repo, "ls-tree", "-r", "--name-only", run.document["target"]["ref"]).split())
    base = {"calc.py", "check.sh", "tests/add.sh"}
    own = {".gitattributes", "trap.sh", "inner/HEAD", "inner/config"}
    assert landed == base | own | {
        f"{name}.txt" for name in ("configured", "moved", "nested", "index", "history", "gone", "bare")
    }
    assert (
        git(repo, "log", "--format=%an %cn", f"main..{run.document['target']['ref']}").split("\n")[0] == "Aurea Aurea"
    )
    assert git(repo, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags").split() == [
        run.document["target"]["ref"], "refs/heads/main",
    ]  # fmt: skip
    git(repo, "fsck", "--strict", "--no-dangling")


def test_commands_are_limited_and_nothing_of_them_lives_on(deliver, models, marker: str):
    double_fork = (
        "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        f"os.execlp('sleep', 'sleep', '{marker}')"
    )
    daemons = [
        shell(f"setsid sleep {marker} &"),
        shell(f"nohup setsid sh -c 'trap \"\" TERM HUP INT; sleep {marker}' >/dev/null 2>&1 & disown; echo started"),
        ("run_python", {"code": double_fork}),
    ]
    limited = [
        shell(f"sleep {marker}", timeout_s=1),
        shell(f"trap '' TERM INT; setsid sleep {marker} & sleep {marker}", timeout_s=1),
        shell(f"kill -STOP $PPID; sleep {marker}", timeout_s=1),
    ]
    printed = [shell("head -c 200000000 /dev/zero | tr '\\0' x"), shell('cat; read -r line; echo "got=$line"')]
    keys = "env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
    run = deliver(
        {
            "daemons": [daemons, [write("daemons.txt")]],
            "limited": [limited, [write("limited.txt")]],
            "printed": [printed, [write("printed.txt")]],
            "keys": [[shell(f"({keys}) | grep -a -e OPENAI -e ^HOME -e ^PATH")], [write("keys.txt")]],
        }
    )
    assert run.code == 0, run.document
    assert processes(marker) == []
    assert [entry["outcome"] for entry in run.tools("limited")][:2] == ["error", "error"]
    assert all("1 s" in entry["reason"] for entry in run.tools("limited")[:2])
    assert [entry["outcome"] for entry in run.tools("daemons")][:3] == ["ok", "ok", "ok"]
    said = {asked.item: asked.text for asked in models.asked if asked.conversation == "coder"}
    assert "200000000 bytes printed" in said["printed"]
    assert max(map(len, said.values())) < 100_000
    assert "got=\n" in said["printed"] + "\n"
    assert KEY not in "".join(said.values())
    assert "PATH=" in said["keys"]


@pytest.mark.long
def test_checks_and_setup_that_a_change_has_spoilt_are_its_own_fault(deliver, models, repo: Path, git, marker: str):
    (repo / "setup.sh").write_text("touch made\n")
    git(repo, "add", "setup.sh")
    git(repo, "commit", "-q", "-m", "set up")

    def test(body: str) -> Turn:
        return [write("tests/spoilt.sh", body)]

    run = deliver(
        {
            "setup": [[shell("echo 'echo nothing is set up; exit 1' > setup.sh")]],
            "sleeps": [test(f"setsid sleep {marker} & trap '' TERM; sleep {marker}\n")],
            "daemon": [test(f"setsid sh -c 'sleep {marker} & sleep {marker}' & exit 1\n")],
            "prints": [[write("tests/prints.sh", "head -c 100000000 /dev/zero | tr '\\0' x\n")]],
        },
        setup=[["sh", "setup.sh"]],
        checks=[{"name": "tests", "run": ["sh", "check.sh"], "timeout_s": 4}],
    )
    assert run.code == 0, run.document
    states = {
        name: [attempt["state"] for attempt in run.attempts(name)] for name in ("setup", "sleeps", "daemon", "prints")
    }
    again = ["failed", "landed"]
    assert states == {"setup": again, "sleeps": again, "daemon": again, "prints": ["landed"]}
    shown = {
        (entry["item"], entry["kind"]): entry["outcome"] for entry in run.document["evidence"] if not entry["passed"]
    }
    assert shown == {("setup", "gate"): "not_run", ("sleeps", "check"): "timeout", ("daemon", "check"): "failed"}
    assert "nothing is set up" in next(a.text for a in models.asked if (a.item, a.attempt) == ("setup", 2))
    assert max(log.stat().st_size for log in Path(run.document["folder"]).rglob("*.log")) < 20_000_000
    assert processes(marker) == []


def test_an_attempt_that_never_ends_has_ended(deliver, models, marker: str):
    def forever(asked: Any) -> Turn:
        return [shell(f"echo {asked.step}")]

    def again(asked: Any) -> Turn:
        return [("git_status", {})]

    def many(asked: Any) -> Turn:
        return [("list_directory", {"path": f"{asked.step}-{n}"}) for n in range(40)]

    def nonsense(asked: Any) -> Turn:
        calls: list[Turn] = [
            [("format_disk", {"really": True}), ("write_files", {}), ("", {}), ("web_search", {"query": "x"})],
            [
                ("write_file", "{"),
                ("write_file", "[1]"),
                ("write_file", '"x"'),
                ("write_file", {}),
                ("read_file", "null"),
            ],
            [("write_file", {"path": 7, "content": None}), ("read_file", {"path": "calc.py", "limit": -1})],
            [shell(""), shell("x" * 200_000), shell("a\0b"), ("read_file", {"path": "calc.py", "offset": "NaN"})],
            [("submit_report", {}), ("submit_review", {"decision": "approve"}), ("submit_report", "nothing")],
            [write("nonsense.txt"), REPORT],
        ]
        return calls[asked.step - 1]

    began = time.monotonic()
    run = deliver(
        {
            "forever": forever,
            "again": again,
            "many": many,
            "text": lambda asked: "I have finished everything.",
            "slow": lambda asked: [shell(f"sleep {marker}")],
            "invalid": lambda asked: [("submit_report", {"summary": ""})],
            "nonsense": nonsense,
        },
        timeout_s=20,
        max_attempts=1,
        concurrency=7,
    )  # fmt: skip
    assert time.monotonic() - began < 90
    assert run.code == 3
    assert run.document["state"] == "waiting"
    ends = {name: run.ended(name)[0] for name in ("forever", "again", "many", "text", "slow", "invalid", "nonsense")}
    assert {name: end["outcome"] for name, end in ends.items()} == {
        "forever": "exhausted", "again": "stalled", "many": "exhausted", "text": "stalled", "slow": "exhausted",
        "invalid": "stalled", "nonsense": "submitted",
    }  # fmt: skip
    assert [ends[name]["limit"] for name in ("forever", "many", "slow")] == ["turns", "tool_calls", "time"]
    assert all(end["reason"] for name, end in ends.items() if name != "nonsense")
    assert {q["item"] for q in run.document["questions"]} == set(ends) - {"nonsense"}
    *refused, honest, report = run.tools("nonsense")
    assert {entry["outcome"] for entry in refused} == {"refused"}
    assert all(entry["reason"] for entry in refused)
    assert [honest["outcome"], report["outcome"]] == ["ok", "ok"]


@pytest.mark.long
def test_who_destroys_his_workspace_harms_himself_only(deliver, repo: Path, git):
    """Also every time anew: an attempt that ends so is spent, or the run would never end."""
    harm = {
        "removed": 'rm -rf "$PWD"',
        "index": "rm -f ../index ../base ../exclude",
        "linked": 'W=$PWD; cd /; mv "$W" "$W.old"; ln -s / "$W"',
        "garbage": "echo garbage > ../index; echo garbage > ../base",
        "unmarked": "rm -rf ../* ../.[a-z]*; echo left > ../left.txt; echo left > ../../left.txt",
        "locked": "touch x; chmod 0 x .; chmod 0 ..",
    }

    def act(name: str) -> Callable[[Any], Turn]:
        return lambda asked: (
            [shell(harm[name])] if asked.step == 1 else [write(f"{name}.txt")] if asked.step == 2 else [REPORT]
        )

    run = deliver(
        {**{name: act(name) for name in harm}, "honest": [[write("honest.txt")]]}, max_attempts=2, concurrency=3
    )
    assert run.code == 3, run.document
    assert {q["kind"] for q in run.document["questions"]} == {"escalation"}
    locks = ["locked.txt", "x"] if os.geteuid() == 0 else []  # nothing is locked for root
    assert git(repo, "diff", "--name-only", "main", run.document["target"]["ref"]).split() == ["honest.txt", *locks]
    for name in harm.keys() - {"locked" if locks else ""}:
        assert [attempt["state"] for attempt in run.attempts(name)] == ["failed", "failed"]
        assert all(end["reason"] for end in run.ended(name))
