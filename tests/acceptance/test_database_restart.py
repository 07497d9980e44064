"""A database server of its own, killed and stopped in the middle of runs: they wait, go on, or end as interrupted."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from aurea.adapters.sql.dialects import open_engine
from aurea.domain.errors import AureaError
from surfaces.server.place import Place, api_url, ask

pytestmark = [pytest.mark.long, pytest.mark.timeout(300), pytest.mark.xdist_group("restart")]  # tests share a server

PASSWORD = "open-sesame"
START_S = 60.0
AWAY_S = 1.2


@dataclass
class Server:
    """A database server that this test alone uses, started from the binaries of this machine."""

    kind: str
    folder: Path
    port: int
    owner: dict[str, Any]  # as whom it runs
    process: subprocess.Popen[bytes] | None = None
    timers: list[threading.Timer] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.kind}://aurea:{PASSWORD}@127.0.0.1:{self.port}/aurea"

    @property
    def place(self) -> str:
        """How messages name it."""
        return self.url.replace(f":{PASSWORD}", "")

    @property
    def clean(self) -> signal.Signals:
        """What ends it without waiting for its clients."""
        return signal.SIGINT if self.kind == "postgresql" else signal.SIGTERM

    def make(self) -> None:
        data = self.folder / "data"
        if self.kind == "postgresql":
            words = ["-U", "aurea", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
            self._run(_binary("initdb"), "-D", str(data), *words)
            single = [_binary("postgres"), "--single", "-D", str(data), "postgres"]
            subprocess.run(single, input=b"CREATE DATABASE aurea\n", check=True, capture_output=True, **self.owner)
        else:
            self._run(_binary("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db")
            statements = (
                f"CREATE USER IF NOT EXISTS aurea@127.0.0.1 IDENTIFIED BY '{PASSWORD}'",
                "GRANT ALL ON *.* TO aurea@127.0.0.1",
                "CREATE DATABASE IF NOT EXISTS aurea",
            )
            (self.folder / "init.sql").write_text("".join(f"{statement};\n" for statement in statements))

    def start(self) -> None:
        """Start it, and return once it answers."""
        until = time.monotonic() + START_S
        while not self._answers():
            assert time.monotonic() < until, (self.folder / "log").read_text()
            # PostgreSQL refuses to start as long as a process of the one that was killed is still there.
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, **self.owner)
            time.sleep(0.05)

    def stop(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_S)

    def restart(self, how: signal.Signals, then: Callable[[], object]) -> None:
        """Stop it now; call `then` and start it `AWAY_S` later, on a thread."""
        self.stop(how)

        def back() -> None:
            then()
            self.start()

        self.timers.append(threading.Timer(AWAY_S, back))
        self.timers[-1].start()

    def close(self) -> None:
        for timer in self.timers:
            timer.join()
        self.stop(signal.SIGKILL)

    def _command(self) -> list[str]:
        data = self.folder / "data"
        if self.kind == "postgresql":
            address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
            return [_binary("postgres"), "-D", str(data), *address]
        words = {"datadir": data, "bind-address": "127.0.0.1", "port": self.port, "socket": self.folder / "socket"}
        words |= {"init-file": self.folder / "init.sql", "pid-file": self.folder / "pid"}
        options = [f"--{name}={value}" for name, value in words.items()]
        return [_binary("mariadbd"), "--no-defaults", "--skip-name-resolve", *options]

    def _answers(self) -> bool:
        try:
            engine = open_engine(self.url)
            engine.connect().close()
            engine.dispose()
        except (AureaError, sa.exc.DBAPIError):
            return False
        return True

    def _run(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, **self.owner)
        assert done.returncode == 0, done.stdout + done.stderr


def _binary(name: str) -> str:
    versions = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*versions, os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        pytest.skip(f"no {name!r} on this machine to start a database server with")
    return found


def _owner(*users: str) -> dict[str, Any]:
    """How `subprocess` is told to be a user who may run a database server: as root neither server starts."""
    if os.getuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in (*users, "nobody") if name in known)
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that answers. Not under `tmp_path`, into which no other user can look."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="aurea-db-", ignore_cleanup_errors=True) as place:
        made = Server(
            request.param, Path(place), port, _owner("postgres" if request.param == "postgresql" else "mysql")
        )
        if made.owner:
            shutil.chown(place, made.owner["user"])
        try:
            made.make()
            made.start()
            yield made
        finally:
            made.close()


APPROVE = ("submit_review", {"decision": "approve", "criteria": [], "findings": [], "summary": "good"})
REPORT = ("submit_report", {"summary": "done", "approach": "the simple one"})


def agents(asked: Any) -> list[tuple[str, dict[str, Any]]]:
    if asked.conversation.startswith("reviewer"):
        return [APPROVE]
    return [("write_file", {"path": f"{asked.item}.txt", "content": "good\n"}) if asked.step == 1 else REPORT]


@dataclass
class Runs:
    """Runs of two items, one after the other, with their ledger on the server."""

    aurea: Any
    models: Any
    repo: Path
    git: Any
    server: Server
    home: Path
    spec: Path

    @property
    def env(self) -> dict[str, str]:
        return {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": self.models.url, "AUREA_LEDGER_URL": self.server.url}

    def start(self, name: str, **env: str) -> Any:
        return self.aurea("run", str(self.spec), "--run-id", name, "--new", "--json", **self.env, **env)

    @property
    def targets(self) -> str:
        return self.git(self.repo, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/aurea")

    def called(self) -> list[tuple[str, int, str, int]]:
        return [asked.place for asked in self.models.asked]

    def sound(self, name: str) -> None:
        verified = self.aurea("verify", name, **self.env)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert landed_in(self.server.url, name) == ["a", "b"]


@pytest.fixture
def runs(server: Server, aurea: Any, models: Any, repo: Path, git: Any, shared_home: Path, tmp_path: Path) -> Runs:
    items = [{"id": name, "goal": f"write {name}", "criteria": [f"{name} is there"]} for name in "ab"]
    items[1]["depends_on"] = ["a"]  # type: ignore[assignment]
    spec = {"project": "calc", "objective": "two files", "provider": "openai", "model": "local", "repo": str(repo)}
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({**spec, "items": items, "checks": [{"name": "there", "run": ["test", "-f", "a.txt"]}]}))
    return Runs(aurea, models, repo, git, server, shared_home, path)


def test_a_run_waits_for_a_database_that_restarts(runs: Runs, server: Server) -> None:
    name, seen = f"waits-{server.kind}", []

    def look() -> None:
        seen.append((runs.targets, runs.called()))

    def restarting(asked: Any) -> Any:
        how = {("a", 1, "coder", 2): signal.SIGKILL, ("b", 1, "reviewer-1", 1): server.clean}.get(asked.place)
        if how is not None:
            server.restart(how, look)
            look()
        return agents(asked)

    runs.models.script = restarting
    done = runs.start(name)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "succeeded"), done.stderr
    assert done.stderr.count("nothing goes on without the ledger; waiting up to 300 s for it") == 2, done.stderr
    assert done.stderr.count("the ledger answers again") == 2, done.stderr
    assert len(seen) == 4 and seen[0] == seen[1] and seen[2] == seen[3], "without it nothing lands, no model is asked"
    assert not seen[0][0] and name in seen[2][0], "the second time the first item had landed"
    assert len(runs.called()) == len(set(runs.called())) == 6, "no call is paid for twice"
    told = warnings_in_prefect(runs.home, f"deliver {name}")
    assert sum("nothing goes on without the ledger" in line for line in told) == 2, told
    runs.sound(name)


def test_a_database_that_stays_away_interrupts_the_run(runs: Runs, server: Server) -> None:
    name = f"stays-{server.kind}"

    def stopping(asked: Any) -> Any:
        if asked.place == ("a", 1, "reviewer-1", 1):
            server.stop(signal.SIGKILL)
        return agents(asked)

    runs.models.script = stopping
    lost = runs.start(name, AUREA_LEDGER_WAIT_S="1")
    assert (lost.returncode, json.loads(lost.stdout)["state"]) == (5, "interrupted"), lost.stderr
    assert "the ledger stayed away and is given up; when it is back, `aurea resume` goes on" in lost.stderr
    assert prefect_run(runs.home, f"deliver {name}")["state_type"] == "CRASHED"
    assert name not in runs.targets

    refused = ((("show", name), 1), (("doctor",), 1), (("resume", name), 5), (("run", str(runs.spec)), 1))
    for process, code in [(runs.aurea.start(*words, **runs.env), code) for words, code in refused]:
        said = "".join(process.communicate(timeout=60))
        assert process.returncode == code, said
        assert server.place in said and "systemctl start" in said and PASSWORD not in said

    before = runs.called()
    runs.models.script = agents
    server.start()
    back = runs.aurea("resume", name, "--json", **runs.env)
    assert (back.returncode, json.loads(back.stdout)["state"]) == (0, "succeeded"), back.stderr
    again = [place for place in runs.called()[len(before) :] if place in before]
    assert again in ([], [("a", 1, "reviewer-1", 1)]), "only a call whose answer could not be recorded is made again"
    runs.sound(name)


def landed_in(url: str, run: str) -> list[str]:
    """The items that landed in a run, in order, as the ledger has them."""
    engine = open_engine(url)
    query = sa.text("SELECT item FROM ledger_events WHERE run = :run AND type = 'landing.landed' ORDER BY seq")
    with engine.connect() as connection:
        items = list(connection.scalars(query, {"run": run}))
    engine.dispose()
    return items


def prefect_run(home: Path, name: str) -> dict[str, Any]:
    """The flow run of this name on the server of the home."""
    (found,) = ask_prefect(home, "flow_runs", {"flow_runs": {"name": {"any_": [name]}}})
    return found


def warnings_in_prefect(home: Path, name: str) -> list[str]:
    """The warnings in the log of a flow run."""
    number = prefect_run(home, name)["id"]
    wanted = {"logs": {"flow_run_id": {"any_": [number]}, "level": {"ge_": 30}}}
    return [line["message"] for line in ask_prefect(home, "logs", wanted)]


def ask_prefect(home: Path, what: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    api = api_url(Place(home.resolve()).read()["port"])
    found: list[dict[str, Any]] = ask(api, "POST", f"/{what}/filter", wanted)
    return found
