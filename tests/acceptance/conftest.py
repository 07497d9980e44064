"""What the acceptance tests share: the real command as a subprocess, a home of its own, a scripted model server, git."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

AUREA = Path(sys.executable).with_name("aurea")


@dataclass
class Asked:
    """One request as it reached the model server."""

    headers: dict[str, str]
    body: dict[str, Any]
    began: float = 0.0
    ended: float = 0.0

    @property
    def item(self) -> str:
        return self.headers.get("x-aurea-item", "-")

    @property
    def attempt(self) -> int:
        return int(self.headers.get("x-aurea-attempt", "0"))

    @property
    def conversation(self) -> str:
        return self.headers.get("x-aurea-conversation", "")

    @property
    def step(self) -> int:
        return int(self.headers.get("x-aurea-step", "0"))

    @property
    def place(self) -> tuple[str, int, str, int]:
        return (self.item, self.attempt, self.conversation, self.step)

    @property
    def text(self) -> str:
        """Everything that was said to the model, as one text."""
        return "\n".join(str(message.get("content") or "") for message in self.body["messages"])


# A call's arguments may be given as the raw text that a confused model would send.
Call = tuple[str, dict[str, Any] | str]
Script = Callable[[Asked], list[Call] | str]


@dataclass
class ModelServer:
    """Speaks chat completions; `script` says which tools, or which text, each call is answered with, after `delay` s."""

    script: Script = lambda asked: []
    delay: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    status: Callable[[Asked], tuple[int, dict[str, str], dict[str, Any]] | None] = lambda asked: None
    tokens: Callable[[Asked], tuple[int, int]] = lambda asked: (100, 10)
    url: str = ""

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], dict[str, Any]]:
        if (refused := self.status(asked)) is not None:
            return refused
        time.sleep(self.delay)
        said = self.script(asked)
        message: dict[str, Any] = {"role": "assistant", "content": said if isinstance(said, str) else None}
        if not isinstance(said, str):
            message["tool_calls"] = [
                {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": _raw(arguments)}}
                for number, (name, arguments) in enumerate(said)
            ]
        choice = {"index": 0, "message": message, "finish_reason": "stop" if isinstance(said, str) else "tool_calls"}
        prompt, completion = self.tokens(asked)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        document = {"id": "x", "object": "chat.completion", "created": 1, "model": asked.body["model"]}
        return 200, {}, {**document, "choices": [choice], "usage": usage}


def _raw(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


@pytest.fixture
def models() -> Iterator[ModelServer]:
    """A scripted model server on a free loopback port."""
    served = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = Asked({name.lower(): value for name, value in self.headers.items()}, body, began=time.monotonic())
            served.asked.append(asked)
            status, headers, document = served.answer(asked)
            asked.ended = time.monotonic()
            data = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the client was killed, which some tests are about
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Command:
    """The installed `aurea` with an environment that holds nothing of the caller's but PATH."""

    env: dict[str, str]
    cwd: Path

    def __call__(
        self, *words: str, cwd: Path | None = None, timeout: float = 100, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AUREA, *words], cwd=cwd or self.cwd, env={**self.env, **env}, text=True, capture_output=True, timeout=timeout,
            input=stdin,
        )  # fmt: skip

    def start(self, *words: str, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [AUREA, *words], cwd=cwd or self.cwd, env={**self.env, **env}, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run_document(self, *words: str, **options: Any) -> dict[str, Any]:
        done = self(*words, "--json", **options)
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory, prepare_server: Callable[[Path], Path]) -> Iterator[Path]:
    """One AUREA_HOME with one local Prefect server for the session, stopped at its end."""
    from surfaces.server.start import stop_server

    home = prepare_server(tmp_path_factory.mktemp("home"))
    yield home
    stop_server(home, force=True)


@pytest.fixture
def aurea(shared_home: Path, tmp_path: Path) -> Command:
    """The command on the session's home, without any provider key."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "user"),
        "AUREA_HOME": str(shared_home),
        "AUREA_WORKSPACES": str(tmp_path / "workspaces"),
        "AUREA_SERVER_IDLE_S": "120",
        "AUREA_QUALITY_WAIT_S": "0",  # the gate's own process is for the tests of the gate
    }
    (tmp_path / "user").mkdir()
    return Command(env, tmp_path)


@pytest.fixture
def git() -> Callable[..., str]:
    """git in a folder, with a user's configuration that Aurea must not depend on."""

    def run(folder: Path, *words: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
        user = ("-c", "user.name=User", "-c", "user.email=user@example.org")
        done = subprocess.run(["git", "-C", folder, *user, *words], env=env, text=True, capture_output=True, check=True)
        return done.stdout

    return run


@pytest.fixture
def repo(tmp_path: Path, git: Callable[..., str]) -> Path:
    """A user's repository with one module, one test and uncommitted work of the user's."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    (folder / "check.sh").write_text('set -e\nfor test in tests/*.sh; do sh "$test"; done\n')
    (folder / "tests").mkdir()
    (folder / "tests" / "add.sh").write_text("grep -q 'return a + b' calc.py\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "begin")
    return folder


@pytest.fixture
def offspring() -> Callable[[int], set[int]]:
    """The living processes that a process has started, and those that they have started."""

    def of(process: int) -> set[int]:
        found: set[int] = set()
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found |= {child, *of(child)}
        return found

    return of
