"""Repositories as people have them: the work lands and nothing of the user's is harmed, or a clear no and nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Git = Callable[..., str]

BORROWED = Path(pytest.__file__).parents[1]  # where checks in other environments find pytest
TRUSTING = ("-c", "safe.directory=*")
REPORT = ("submit_report", {"summary": "done", "approach": "the simple one"})


def fingerprint(folder: Path, *ours: str) -> dict[str, object]:
    """Every file below `folder` with its mode, every link with its target; not what lies under `ours`."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")
        if name.startswith(ours) or (path.is_dir() and not path.is_symlink()):
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        found[name] = (mode, hashlib.sha256(data).hexdigest())
    return found


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., Path]:
    def write(repo: Path, **more: Any) -> Path:
        checks = [{"name": "tests", "run": ["test", "-e", "new.txt", "-o", "-e", "readme.md"]}]
        items = [{"id": "new", "goal": "write new.txt", "criteria": ["it is there"]}]
        document = {"project": "odd", "objective": "more", "provider": "openai", "model": "local", "repo": str(repo)}
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({**document, "checks": checks, "items": items, "reviewers": [], **more}))
        return path

    return write


@dataclass(frozen=True)
class Delivered:
    """A run that landed: the branch, what the command said, its document."""

    target: str
    said: str
    document: dict[str, Any]


@pytest.fixture
def lands(aurea, models, spec: Callable[..., Path], git: Git) -> Callable[..., Delivered]:
    """Runs one item that makes `calls` on `repo`, or on its work tree `at`, and sees that all else is as it was."""

    def run(
        repo: Path,
        *calls: tuple[str, dict[str, Any]],
        at: Path | None = None,
        env: dict[str, str] | None = None,
        **more: Any,
    ) -> Delivered:
        turns = [[call] for call in calls or (("write_file", {"path": "new.txt", "content": "new\n"}),)]
        models.script = lambda asked: turns[asked.step - 1] if asked.step <= len(turns) else [REPORT]
        here = at or repo
        trees = {repo, here}
        before = (look(repo), *(work_tree(git, folder) for folder in trees))
        variables = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": models.url, **(env or {})}
        done = aurea("run", str(spec(here, **more)), "--json", cwd=here, **variables)
        assert done.returncode == 0, done.stderr + done.stdout
        assert (look(repo), *(work_tree(git, folder) for folder in trees)) == before
        assert list((aurea.cwd / "workspaces").iterdir()) == []
        git(repo, *TRUSTING, "fsck", "--no-dangling")
        document = json.loads(done.stdout)
        return Delivered(document["target"]["ref"], done.stderr, document)

    return run


def look(repo: Path) -> dict[str, object]:
    """Everything in a repository but the only places in which anything may change."""
    git_dir = "" if (repo / "HEAD").is_file() else ".git/"
    return fingerprint(repo, *(f"{git_dir}{name}" for name in ("objects", "refs/heads/aurea", "refs/aurea")))


def work_tree(git: Git, repo: Path) -> object:
    """The user's files, and what git says of them; this test's git starts nothing and writes nothing either."""
    if (repo / "HEAD").is_file():
        return "bare"
    quiet = ("-c", "core.fsmonitor=false", "-c", "filter.crypt.clean=cat")
    status = git(repo, *TRUSTING, "--no-optional-locks", *quiet, "status", "--porcelain", "--ignored")
    return status, fingerprint(repo, ".git/")


def blob(repo: Path, name: str) -> bytes:
    return subprocess.run(["git", "-C", repo, "cat-file", "blob", name], capture_output=True, check=True).stdout


@pytest.fixture
def user(tmp_path: Path, git: Git) -> Path:
    """A small repository in a folder with spaces and umlauts."""
    folder = tmp_path / "Ein schönes Projekt & mehr"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "readme.md").write_text("read me\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "code.py").write_text("x = 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "begin")
    return folder


def tree(git: Git, repo: Path, name: str) -> dict[str, str]:
    """Mode and blob of every file of a commit."""
    lines = git(repo, "ls-tree", "-r", "-z", name).split("\0")[:-1]
    return {path: " ".join(facts.split()[::2]) for facts, path in (line.split("\t", 1) for line in lines)}


def test_much_that_is_odd_in_one_repository(lands, user: Path, git: Git, tmp_path: Path):
    """Line ends, links, modes, names, a submodule, filters, hooks, a stash and uncommitted work: nothing of it matters."""
    fired = tmp_path / "fired"
    (user / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    (user / "unix.txt").write_bytes(b"one\ntwo\n")
    (user / "-x").write_text("named like an option\n")
    (user / "--help me").write_text("and another\n")
    (user / "tool.sh").write_text("#!/bin/sh\nexit 0\n")
    (user / "tool.sh").chmod(0o755)
    (user / "link").symlink_to("sub/code.py")
    (user / "dangling").symlink_to("nowhere/at all")
    (user / ".gitattributes").write_text(
        "*.bin filter=lfs diff=lfs merge=lfs -text\n*.secret filter=crypt\n*.dat text eol=crlf\n"
    )
    (user / "kept.secret").write_text("stored as it is\n")
    (user / "eol.dat").write_bytes(b"one\r\ntwo\r\n")
    (user / ".gitignore").write_text("*.log\n")
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    git(library, "commit", "-q", "--allow-empty", "-m", "library")
    git(user, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    git(user, "add", "-A")
    git(user, "commit", "-q", "-m", "odd things")
    git(user, "submodule", "--quiet", "deinit", "-f", "library")
    (user / "readme.md").write_text("stashed\n")
    git(user, "stash", "-q")
    git(user, "config", "core.autocrlf", "true")
    for name in ("readme.md", "unix.txt"):
        (user / name).unlink()
    git(user, "checkout", "-q", "--", ".")
    assert (user / "unix.txt").read_bytes() == b"one\r\ntwo\r\n"
    (user / "sub" / "code.py").write_text("the user is at work\n")
    (user / "staged.py").write_text("staged\n")
    git(user, "add", "staged.py")
    (user / "new.txt").write_text("a file of the user's that is not tracked\n")
    (user / "noise.log").write_text("ignored\n")
    hook = f"#!/bin/sh\necho \"$0\" >> '{fired}'\nexit 1\n"
    for name in (
        "pre-commit",
        "commit-msg",
        "reference-transaction",
        "post-checkout",
        "post-index-change",
        "pre-auto-gc",
    ):
        (user / ".git/hooks" / name).write_text(hook)
        (user / ".git/hooks" / name).chmod(0o755)
    git(user, "config", "core.fsmonitor", str(user / ".git/hooks/pre-commit"))
    git(user, "config", "filter.crypt.clean", f"touch '{fired}'; cat")
    git(user, "config", "filter.crypt.smudge", f"touch '{fired}'; cat")
    global_config = (
        f"[core]\n\thooksPath = {user}/.git/hooks\n[commit]\n\tgpgsign = true\n[user]\n\tname = Somebody Else\n"
    )
    (tmp_path / "user" / ".gitconfig").write_text(global_config)
    fired.unlink(missing_ok=True)

    run = lands(
        user,
        ("edit_file", {"path": "dos.txt", "old": "two\n", "new": "three\n"}),
        ("edit_file", {"path": "unix.txt", "old": "two\n", "new": "three\n"}),
        ("edit_file", {"path": "eol.dat", "old": "two\n", "new": "three\n"}),
        ("edit_file", {"path": "tool.sh", "old": "exit 0", "new": "exit 1"}),
        ("edit_file", {"path": "-x", "old": "option", "new": "flag"}),
        ("edit_file", {"path": "kept.secret", "old": "stored", "new": "kept"}),
        ("write_file", {"path": "new.txt", "content": "new\n"}),
        ("write_file", {"path": "-rf", "content": "new\n"}),
    )  # fmt: skip
    assert not fired.exists()
    old, new = tree(git, user, "main"), tree(git, user, run.target)
    changed = {"dos.txt", "unix.txt", "eol.dat", "tool.sh", "-x", "kept.secret"}
    assert new.keys() - old.keys() == {"new.txt", "-rf"}
    assert {name for name in old if new[name] != old[name]} == changed
    assert all(new[name].split()[0] == old[name].split()[0] for name in old), "modes, links and the submodule stay"
    assert old["library"].startswith("160000")
    assert old["tool.sh"].startswith("100755")
    stored = {name: blob(user, f"{run.target}:{name}") for name in changed}
    assert stored["dos.txt"] == b"one\r\nthree\r\n"
    assert stored["unix.txt"] == stored["eol.dat"] == b"one\nthree\n"
    assert stored["-x"] == b"named like an flag\n"
    assert "uncommitted changes are not used" in run.said
    assert "filter=crypt" in run.said
    assert "submodules" in run.said


@pytest.mark.long
def test_a_linked_worktree_of_a_detached_head_while_a_merge_is_under_way(lands, user: Path, git: Git, tmp_path: Path):
    """And from inside a git hook, whose environment names another repository."""
    git(user, "checkout", "-q", "-b", "other")
    (user / "readme.md").write_text("other\n")
    git(user, "commit", "-q", "-a", "-m", "other")
    git(user, "checkout", "-q", "main")
    (user / "readme.md").write_text("mine\n")
    git(user, "commit", "-q", "-a", "-m", "mine")
    with pytest.raises(subprocess.CalledProcessError):
        git(user, "merge", "-q", "other")
    git(user, "pack-refs", "--all")
    linked = tmp_path / "linked tree"
    git(user, "worktree", "add", "-q", "--detach", str(linked), "HEAD~1")
    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "init", "-q", str(elsewhere))
    hook = {"GIT_DIR": str(elsewhere / ".git"), "GIT_INDEX_FILE": str(elsewhere / ".git/index"), "GIT_PREFIX": "x/"}
    was = fingerprint(elsewhere)

    run = lands(user, at=linked, env=hook)
    assert fingerprint(elsewhere) == was
    assert run.document["base"]["sha"] == git(user, "rev-parse", "main~1").strip()
    assert git(user, "rev-parse", f"{run.target}~1").strip() == run.document["base"]["sha"]
    assert tree(git, user, run.target).keys() == {"readme.md", "sub/code.py", "new.txt"}
    assert "no branch is checked out" in run.said


def test_a_shallow_clone_with_names_that_are_not_utf8(lands, user: Path, git: Git, tmp_path: Path):
    odd = os.fsdecode("caf\u00e9".encode("latin-1"))
    (user / odd).write_text("coffee\n")
    (user / f"{odd} folder").mkdir()
    (user / f"{odd} folder" / 'with "quotes"\tand\na line').write_text("tea\n")
    git(user, "add", "-A")
    git(user, "commit", "-q", "-m", "names")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{user}", str(clone))
    git(clone, "remote", "set-url", "origin", "ssh://nobody@unreachable.invalid/x")
    (clone / f"{odd} of the user's own").touch()
    looks = [
        ("list_directory", {}),
        ("search_codebase", {"pattern": "coffee|tea"}),
        ("git_status", {}),
        ("git_diff", {}),
    ]
    run = lands(
        clone, *looks, ("run_shell", {"command": "ls; cat *"}), ("write_file", {"path": "new.txt", "content": "new"})
    )
    names = subprocess.run(
        ["git", "-C", clone, "ls-tree", "-r", "-z", "--name-only", run.target], capture_output=True, check=True
    )
    assert names.stdout.split(b"\0")[:-1] == [
        b"caf\xe9", b'caf\xe9 folder/with "quotes"\tand\na line', b"new.txt", b"readme.md", b"sub/code.py",
    ]  # fmt: skip
    assert "shallow" in run.said


@pytest.mark.long
def test_a_bare_repository_with_a_read_only_pack(lands, user: Path, git: Git, tmp_path: Path):
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(user), str(bare))
    git(bare, "gc", "-q")
    run = lands(bare)
    assert tree(git, bare, run.target).keys() == {"readme.md", "sub/code.py", "new.txt"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_of_another_user_is_worked_on_where_git_would(lands, user: Path, tmp_path: Path):
    chown(user)
    (tmp_path / "user" / ".gitconfig").write_text(f'[safe]\n\tdirectory = "{user}"\n')
    assert lands(user).document["state"] == "succeeded"


def chown(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)


def no_commits(user: Path, git: Git) -> str:
    git(user, "checkout", "-q", "--orphan", "fresh")
    return "'fresh' has no commit yet"


def branch_aurea(user: Path, git: Git) -> str:
    git(user, "branch", "aurea")
    git(user, "pack-refs", "--all")
    return "git branch -m aurea"


def kept_in_lfs(user: Path, git: Git) -> str:
    (user / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (user / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    git(user, "-c", "filter.lfs.required=false", "add", "-A")
    git(user, "commit", "-q", "-m", "pointers")
    return "Git LFS"


def partial(user: Path, git: Git) -> str:
    git(user, "config", "remote.origin.url", "ssh://nobody@unreachable.invalid/x")
    git(user, "config", "remote.origin.promisor", "true")
    return "partial clone"


def no_repository(user: Path, git: Git) -> str:
    (user / ".git").rename(user.parent / "moved.git")
    return "is no git repository"


def damaged(user: Path, git: Git) -> str:
    (user / ".git" / "HEAD").write_text("nonsense\n")
    return "not in a git repository"


def of_another_user(user: Path, git: Git) -> str:
    chown(user)
    return "safe.directory"


REFUSED = [no_commits, branch_aurea, kept_in_lfs, partial, no_repository, damaged]


@pytest.mark.parametrize(
    "trait", [*REFUSED, *([of_another_user] if os.geteuid() == 0 else [])], ids=lambda trait: trait.__name__
)
def test_what_cannot_work_is_said_and_nothing_is_written(
    trait: Callable[[Path, Git], str],
    aurea,
    shared_home: Path,
    spec: Callable[..., Path],
    user: Path,
    git: Git,
    tmp_path: Path,
):
    said = trait(user, git)
    before = (fingerprint(tmp_path, "spec.json"), sorted(shared_home.rglob("runs/*")))
    done = aurea(
        "run", str(spec(user)), "--json", cwd=tmp_path, OPENAI_API_KEY="test", OPENAI_BASE_URL="http://127.0.0.1:9/v1"
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert said in done.stderr
    assert (fingerprint(tmp_path, "spec.json"), sorted(shared_home.rglob("runs/*"))) == before


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment of the user's, with the pytest of these tests in it."""
    folder = tmp_path / "envs" / "mine"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site(folder).joinpath("borrowed.pth").write_text(f"{BORROWED}\n")
    return folder


def site(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


@pytest.mark.long
def test_checks_find_pytest_in_what_setup_made_and_in_the_active_environment(
    lands, user: Path, git: Git, environment: Path
):
    (user / "sub" / "test_where.py").write_text(
        "import os, sys\n\ndef test_where():\n    assert os.path.basename(sys.prefix) == os.environ['EXPECTED']\n"
    )
    git(user, "add", "-A")
    git(user, "commit", "-q", "-m", "a test")
    borrow = f"echo {BORROWED} > $(echo .venv/lib/python3*/site-packages)/borrowed.pth"
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = lands(
        user,
        env={"VIRTUAL_ENV": str(environment), "PATH": f"{environment}/bin{os.pathsep}{os.environ['PATH']}"},
        setup=[["python", "-m", "venv", "--without-pip", ".venv"], ["bash", "-c", borrow]],
        checks=[
            {"name": "made", "run": [".venv/bin/python", *words], "env": {"EXPECTED": ".venv"}},
            {"name": "active", "run": ["python", *words], "env": {"EXPECTED": "mine"}},
        ],
    )
    assert {entry["name"]: entry["passed"] for entry in run.document["evidence"]} == {"made": True, "active": True}
    assert tree(git, user, run.target).keys() == {"readme.md", "sub/code.py", "sub/test_where.py", "new.txt"}


def test_an_editable_install_of_the_repository_is_refused_with_the_remedy(
    aurea, shared_home: Path, spec: Callable[..., Path], user: Path, environment: Path, tmp_path: Path
):
    site(environment).joinpath("__editable__.odd-1.0.pth").write_text(f"{user / 'sub'}\n")
    before = fingerprint(tmp_path, "spec.json")
    path = f"{environment}/bin{os.pathsep}{os.environ['PATH']}"
    key = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    done = aurea("run", str(spec(user)), "--json", PATH=path, VIRTUAL_ENV=str(environment), **key)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert str(user / "sub") in done.stderr
    assert "setup" in done.stderr
    assert fingerprint(tmp_path, "spec.json") == before
