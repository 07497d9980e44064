"""What the tests of the command line share: the command in this process and as a process, and runs to look at."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aurea.bootstrap import create_run, take_up
from aurea.delivery.conduct import conduct
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.settings import Settings
from aurea.testing.line import plain_phases
from surfaces.cli.app import serve

AUREA = Path(sys.executable).with_name("aurea")


@dataclass(frozen=True)
class Told:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of standard error."""
        return self.err.splitlines()


@dataclass
class Shell:
    """`aurea` with an environment of its own: called in this process (quick), or started as the installed command."""

    cwd: Path
    env: dict[str, str]
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = Path(self.env["AUREA_HOME"])

    def __call__(self, *words: str | Path, **env: str) -> Told:
        """Serve one command line in this process."""
        with self.patch.context() as patch:
            for name in set(os.environ) - {"PATH"}:
                patch.delenv(name)
            for name, value in {**self.env, **env}.items():
                patch.setenv(name, value)
            patch.chdir(self.cwd)
            self.capture.readouterr()
            try:
                code = serve([str(word) for word in words])
            except SystemExit as end:
                code = int(end.code or 0)
        told = self.capture.readouterr()
        return Told(code, told.out, told.err)

    def process(self, *words: str | Path, stdin: str | None = None, **env: str) -> Told:
        """Run the installed command."""
        done = subprocess.run(
            [AUREA, *map(str, words)], cwd=self.cwd, env={**self.env, **env}, input=stdin or "", text=True,
            capture_output=True, timeout=60,
        )  # fmt: skip
        return Told(done.returncode, done.stdout, done.stderr)

    def on(self, home: Path) -> Shell:
        """The same on another home."""
        return Shell(self.cwd, {**self.env, "AUREA_HOME": str(home)}, self.capture, self.patch)


def environment(folder: Path, **more: str) -> Mapping[str, str]:
    """An environment with nothing of the caller's but PATH, everything else under `folder`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "user"),
        "AUREA_HOME": str(folder / "home"),
        "AUREA_WORKSPACES": str(folder / "workspaces"),
        "AUREA_QUALITY_WAIT_S": "0",
        **more,
    }


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command in an empty folder, on a home that does not exist yet, with a key for one provider."""
    work = tmp_path / "work"
    work.mkdir()
    return Shell(work, dict(environment(tmp_path, OPENAI_API_KEY="k")), capsys, monkeypatch)


CHECK = "checks: [{name: sound, run: [sh, -c, 'test ! -e bad.txt']}]\n"
SPECS = {
    "alpha-made": CHECK + "items:\n"
    "  - {id: first, title: The first, goal: write first.txt, criteria: [first.txt is there]}\n"
    "  - {id: second, goal: write second.txt, criteria: [second.txt is there], depends_on: [first]}\n",
    "alpha-waits": CHECK + "repo: repo\nmax_attempts: 1\nitems:\n"
    "  - {id: good, goal: write good.txt, criteria: [good.txt is there]}\n"
    "  - {id: bad, goal: write bad.txt, criteria: [bad.txt is there]}\n"
    "  - {id: later, goal: write later.txt, criteria: [later.txt is there], depends_on: [bad]}\n",
    "loose-1": "checks: []\nunproven: true\nitems: [{id: only, goal: write only.txt, criteria: [only.txt is there]}]\n",
}
MENDED = ("second",)  # items whose first attempt does not pass


def answers(item: str) -> Iterator[str]:
    """A cassette's answers for one item: its coder writes one file and reports, its reviewer approves."""
    wrong = ["bad.txt"] if item in (*MENDED, "bad") else []
    for attempt, files in enumerate([wrong, [f"{item}.txt"]] if item in MENDED else [wrong or [f"{item}.txt"]], 1):
        calls = [{"name": "write_file", "arguments": {"path": path, "content": f"{item}\n"}} for path in files]
        report = {"name": "submit_report", "arguments": {"summary": f"wrote {files[0]}", "approach": "plainly"}}
        review = {
            "name": "submit_review",
            "arguments": {"decision": "approve", "criteria": [], "findings": [], "summary": ""},
        }
        place = f"item: {item}\nattempt: {attempt}\n"
        usage = "usage: {input_tokens: 100, output_tokens: 20}\n"
        yield f"{place}role: coder\nconversation: coder\nstep: 1\n{usage}calls: {json.dumps(calls)}\n"
        yield f"{place}role: coder\nconversation: coder\nstep: 2\n{usage}calls: {json.dumps([report])}\n"
        yield f"{place}role: reviewer\nconversation: reviewer-1\nstep: 1\n{usage}calls: {json.dumps([review])}\n"


def make_repository(folder: Path) -> None:
    """A user's repository with one commit."""
    folder.mkdir()
    (folder / "README.md").write_text("# Mine\n")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "begin")):
        user = ("-c", "user.name=User", "-c", "user.email=user@example.org")
        subprocess.run(["git", "-C", folder, *user, *words], check=True, capture_output=True)


async def deliver_plainly(folder: Path, env: Mapping[str, str]) -> None:
    """Carry out every run of `SPECS` in the real core, with Prefect left out."""
    settings = Settings.read(env)
    with Home(settings) as home:
        for name, text in SPECS.items():
            items = re.findall(r"\bid: (\w+)", text)
            cassette = folder / f"{name}.cassette.yaml"
            cassette.write_text(
                "---\n".join(["schema: aurea.cassette/1\n", *(a for item in items for a in answers(item))])
            )
            spec = folder / f"{name}.yaml"
            head = (
                f"project: {name.split('-')[0]}\nobjective: Some files.\nprovider: replay\ncassette: {cassette.name}\n"
            )
            spec.write_text(head + text)
            resolved = resolve(spec, Flags(), cwd=folder, settings=settings)
            await create_run(home, resolved, name, say=lambda line: None)
            async with take_up(home, name) as run:
                await conduct(run, plain_phases(run))


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home, the repository `repo` and runs that are over; `used` brings it back to how it was."""
    folder = tmp_path_factory.mktemp("delivered")
    make_repository(folder / "repo")
    asyncio.run(deliver_plainly(folder, environment(folder)))
    shutil.copytree(folder, folder.with_name("pristine"), symlinks=True)
    return folder


@pytest.fixture
def used(delivered: Path, shell: Shell) -> Shell:
    """The command on a home that may be changed, at the very place where its runs were made."""
    shutil.rmtree(delivered)
    shutil.copytree(delivered.with_name("pristine"), delivered, symlinks=True)
    env = {**shell.env, **environment(delivered)}
    return Shell(shell.cwd, env, shell.capture, shell.patch)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three runs that are over: to be looked at; whoever changes it takes a copy."""
    folder = tmp_path_factory.mktemp("finished")
    make_repository(folder / "repo")
    asyncio.run(deliver_plainly(folder, environment(folder)))
    return folder / "home"
