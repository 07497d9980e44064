"""A user's repository and a model server: what lands, what does not, and that nothing of the user's is touched."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Git = Callable[..., str]

APPROVE = ("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "good"})


def writes(*files: tuple[str, str]) -> list[tuple[str, dict[str, Any]]]:
    return [("write_file", {"path": path, "content": content}) for path, content in files]


def reports(summary: str = "done") -> list[tuple[str, dict[str, Any]]]:
    return [("submit_report", {"summary": summary, "approach": "the simple one"})]


def item(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "goal": f"write {name}", "criteria": [f"{name} is there"], "depends_on": list(after), **more}


def agents(files: Callable[[str, int], list[tuple[str, str]]]) -> Callable[[Any], list[tuple[str, dict[str, Any]]]]:
    """Coders write what `files` says of item and attempt in one step and report in the next; reviewers approve."""

    def script(asked: Any) -> list[tuple[str, dict[str, Any]]]:
        if asked.conversation.startswith("reviewer"):
            return [APPROVE]
        return writes(*files(asked.item, asked.attempt)) if asked.step == 1 else reports()

    return script


def write_spec(folder: Path, repo: Path, *items: dict[str, Any], **more: Any) -> Path:
    checks = [{"name": "tests", "run": ["sh", "check.sh"]}]
    spec = {"project": "calc", "objective": "more files", "provider": "openai", "model": "local", "repo": str(repo)}
    path = folder / "spec.json"
    path.write_text(json.dumps({**spec, "checks": checks, "items": list(items), **more}))
    return path


def fingerprint(repo: Path) -> dict[str, str]:
    """Every file of the user's repository but objects and Aurea's own refs."""
    found = {}
    for path in sorted(repo.rglob("*")):
        name = str(path.relative_to(repo))
        ours = name.startswith(
            (".git/objects", ".git/refs/heads/aurea", ".git/refs/aurea", ".git/logs/refs/heads/aurea")
        )
        if path.is_file() and not ours:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def key(models: Any) -> dict[str, str]:
    return {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": models.url}


def test_six_items_in_two_layers(aurea, models, repo: Path, git: Git, tmp_path: Path):
    (repo / "calc.py").write_text("# the user is at work here\n")
    (repo / "scratch.txt").write_text("untracked\n")
    before = fingerprint(repo)
    base = git(repo, "rev-parse", "HEAD").strip()
    models.delay = 0.3
    models.script = agents(lambda name, attempt: [(f"{name}.txt", f"{name}\n")])
    layers = [*(item(n) for n in ("a", "b", "c")), *(item(n, "a", "b", "c") for n in ("d", "e", "f"))]
    spec = write_spec(tmp_path, repo, *layers)

    done = aurea("run", str(spec), "--json", "--run-id", "six-items", **key(models))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)

    assert document["state"] == "succeeded"
    assert done.stderr.splitlines()[0].startswith("aurea: uncommitted") or "six-items" in done.stderr.splitlines()[0]
    assert fingerprint(repo) == before, "the user's files, index, configuration and hooks are as they were"
    overlapping = [
        (x, y) for x in models.asked for y in models.asked if x.item < y.item and x.began < y.began < x.ended
    ]
    assert overlapping, "agents work side by side"

    target = "refs/heads/aurea/six-items"
    log = git(repo, "log", "--reverse", "--format=%H %P", f"{base}..{target}").splitlines()
    assert len(log) == 6
    assert [line.split()[1] for line in log] == [base, *(line.split()[0] for line in log[:-1])], (
        "one parent, the tip before"
    )
    landed = set()
    for line in log:
        sha = line.split()[0]
        trailers = dict(t.split(": ", 1) for t in git(repo, "log", "-1", "--format=%(trailers)", sha).split("\n") if t)
        assert trailers["Aurea-Run"] == "six-items"
        assert trailers["Aurea-Attempt"] == "1"
        assert trailers["Aurea-Gate"].startswith("sha256:")
        landed.add(trailers["Aurea-Item"])
        copy = tmp_path / f"at-{sha[:8]}"
        git(repo, "worktree", "add", "-q", "--detach", str(copy), sha)
        subprocess.run(["sh", "check.sh"], cwd=copy, check=True)
        git(repo, "worktree", "remove", str(copy))
    assert landed == set("abcdef")

    manifest = json.loads((Path(document["folder"]) / "manifest.json").read_text())
    assert {f["path"]: f["sha256"] for f in manifest["files"]} == {
        f"{n}.txt": hashlib.sha256(f"{n}\n".encode()).hexdigest() for n in "abcdef"
    }
    assert not list((tmp_path / "workspaces").rglob("*.txt"))
    headers = models.asked[0].headers
    assert headers["x-aurea-run"] == "six-items"
    assert (headers["x-aurea-role"], headers["x-aurea-step"], headers["x-aurea-try"]) == ("coder", "1", "1")
    assert aurea("verify", "six-items").returncode == 0


def test_the_second_attempt_is_told_what_failed_and_lands(aurea, models, repo: Path, git: Git, tmp_path: Path):
    test = ("tests/mul.sh", "grep -q 'a \\* b' mul.py || { echo 'mul.py does not multiply'; exit 1; }\n")
    models.script = agents(
        lambda name, n: [("mul.py", "def mul(a, b): return a " + ("+" if n == 1 else "*") + " b\n"), test]
    )
    document = aurea.run_document("run", str(write_spec(tmp_path, repo, item("mul"))), **key(models))
    assert document["state"] == "succeeded"
    assert [a["state"] for a in document["items"][0]["attempts"]] == ["failed", "landed"]
    second = next(asked for asked in models.asked if asked.attempt == 2)
    assert "mul.py does not multiply" in second.text


def test_both_intents_survive_where_two_items_edit_the_same_line(aurea, models, repo: Path, git: Git, tmp_path: Path):
    def script(asked: Any) -> list[tuple[str, dict[str, Any]]]:
        if asked.conversation.startswith("reviewer"):
            return [APPROVE]
        other = {"x": "y", "y": "x"}[asked.item]
        if asked.step == 1:
            return [("read_file", {"path": "calc.py"})]
        if asked.step == 2:
            seen = f"{other} = 1" if f"{other} = 1" in asked.text and asked.attempt == 2 else ""
            line = "; ".join(filter(None, [f"{asked.item} = 1", seen]))
            return writes(("calc.py", f"{line}\ndef add(a, b):\n    return a + b\n"))
        return reports()

    models.script = script
    models.delay = 0.2
    document = aurea.run_document("run", str(write_spec(tmp_path, repo, item("x"), item("y"))), **key(models))
    assert document["state"] == "succeeded", document
    text = git(repo, "show", f"{document['target']['ref']}:calc.py")
    assert "x = 1" in text
    assert "y = 1" in text
    assert sorted(len(entry["attempts"]) for entry in document["items"]) == [1, 2]


def test_what_merges_cleanly_and_breaks_together_never_lands(aurea, models, repo: Path, git: Git, tmp_path: Path):
    alone = ("tests/alone.sh", "test ! -e one.txt || test ! -e two.txt || grep -q together one.txt two.txt\n")

    def files(name: str, attempt: int) -> list[tuple[str, str]]:
        return [(f"{name}.txt", "together\n" if attempt > 1 else f"{name}\n"), *([alone] if name == "one" else [])]

    models.script = agents(files)
    models.delay = 0.2
    spec = write_spec(tmp_path, repo, item("one", priority=1), item("two"))
    document = aurea.run_document("run", str(spec), **key(models))
    assert document["state"] == "succeeded"
    for sha in git(repo, "rev-list", f"{document['base']['sha']}..{document['target']['sha']}").split():
        copy = tmp_path / sha[:8]
        git(repo, "worktree", "add", "-q", "--detach", str(copy), sha)
        subprocess.run(["sh", "check.sh"], cwd=copy, check=True)


def test_setup_variable_and_subfolder(aurea, models, repo: Path, git: Git, tmp_path: Path):
    (repo / "sub").mkdir()
    (repo / "sub" / "check.sh").write_text('test "$MODE" = strict && test -e ../made/by-setup && test "$KEPT" = yes\n')
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "sub")
    models.script = agents(lambda name, attempt: [(f"{name}.txt", "x\n")])
    spec = write_spec(
        tmp_path, repo, item("a"), setup=[["mkdir", "made"], ["touch", "made/by-setup"]], env={"MODE": "strict"},
        pass_env=["KEPT"], checks=[{"name": "tests", "run": ["sh", "check.sh"], "cwd": "sub"}],
    )  # fmt: skip
    document = aurea.run_document("run", str(spec), KEPT="yes", **key(models))
    assert document["state"] == "succeeded"
    assert git(repo, "ls-tree", "-r", "--name-only", document["target"]["ref"]).split().count("made/by-setup") == 0


def test_a_red_base_is_told_to_the_agent_and_can_be_mended(aurea, models, repo: Path, git: Git, tmp_path: Path):
    (repo / "tests" / "red.sh").write_text("echo 'nothing is green here'; test -e green.txt\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "red")
    models.script = agents(lambda name, attempt: [("green.txt", "x\n")])
    document = aurea.run_document("run", str(write_spec(tmp_path, repo, item("mend"))), **key(models))
    assert document["state"] == "succeeded"
    assert "nothing is green here" in models.asked[0].text
    assert [e["passed"] for e in document["evidence"] if e["kind"] == "baseline"] == [False]


def test_a_check_that_does_not_exist_asks_before_any_money_is_spent(aurea, models, repo: Path, tmp_path: Path):
    spec = write_spec(tmp_path, repo, item("a"), checks=[{"name": "tests", "run": ["no-such-program"]}])
    done = aurea("run", str(spec), "--json", **key(models))
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert document["state"] == "waiting"
    assert document["questions"][0]["kind"] == "blocked"
    assert "no-such-program" in document["questions"][0]["title"]
    assert models.asked == []


@pytest.mark.parametrize("keys", [{}, {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y"}])
def test_no_key_or_two_keys_is_bad_usage(aurea, repo: Path, keys: dict[str, str]):
    done = aurea("run", "--objective", "anything", "--check", "tests=true", cwd=repo, **keys)
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert done.stdout == ""


def test_an_objective_in_the_current_repository(aurea, models, repo: Path, git: Git):
    def script(asked: Any) -> list[tuple[str, dict[str, Any]]]:
        if asked.conversation == "planner-1":
            return [("submit_plan", {"items": [{"id": "sub", "goal": "subtract", "criteria": ["sub() subtracts"]}]})]
        return agents(lambda name, attempt: [("sub.py", "def sub(a, b): return a - b\n")])(asked)

    models.script = script
    words = ("run", "--objective", "subtraction", "--check", "tests=sh check.sh", "--model", "local")
    document = aurea.run_document(*words, cwd=repo, **key(models))
    assert document["state"] == "succeeded"
    assert document["project"] == "project"
    assert "sub.py" in git(repo, "ls-tree", "-r", "--name-only", document["target"]["ref"])


def test_a_refused_key_spends_no_attempt_and_resume_goes_on(aurea, models, repo: Path, tmp_path: Path):
    refused = {"error": {"message": "bad key", "type": "invalid_request_error", "code": "invalid_api_key"}}
    models.status = lambda asked: (401, {}, refused)
    models.script = agents(lambda name, attempt: [(f"{name}.txt", "x\n")])
    done = aurea("run", str(write_spec(tmp_path, repo, item("a"))), "--json", "--run-id", "bad-key", **key(models))
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    assert [q["kind"] for q in document["questions"]] == ["blocked"]
    assert all(attempt["state"] != "failed" for attempt in document["items"][0]["attempts"])
    models.status = lambda asked: None
    again = aurea("resume", "bad-key", "--json", **key(models))
    assert again.returncode == 0, again.stderr
    assert len(json.loads(again.stdout)["items"][0]["attempts"]) == 1


def test_the_budget_is_a_hard_stop_and_can_be_raised(aurea, models, repo: Path, tmp_path: Path):
    models.script = agents(lambda name, attempt: [(f"{name}.txt", "x\n")])
    spec = write_spec(tmp_path, repo, item("a"), model="gpt-5-mini", budget_usd=0.0001)
    done = aurea("run", str(spec), "--json", "--run-id", "small-budget", **key(models))
    assert done.returncode == 3, done.stderr
    assert [q["kind"] for q in json.loads(done.stdout)["questions"]] == ["budget"]
    assert models.asked == []
    again = aurea("resume", "small-budget", "--budget", "1", "--json", **key(models))
    assert again.returncode == 0, again.stderr
    cost = json.loads(again.stdout)["cost"]
    assert cost["priced"] is True
    assert 0 < cost["usd"] < 0.01
