"""The local Prefect server of a home, as real processes: found, started once, restarted, kept while needed, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aurea.domain.errors import Permanent, UsageError
from surfaces.server import idle
from surfaces.server.locate import named_server
from surfaces.server.place import HOST, Place, ask, choose_port
from surfaces.server.start import ServerInfo, ensure_server, running_server, stop_server

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc"),
    pytest.mark.xdist_group("server"),  # they share a home
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose first start, which takes the longest, is shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("served").resolve()
    yield folder
    stop_server(folder, force=True)


def start(home: Path, idle_s: float = 900) -> ServerInfo:
    return ensure_server(home, idle_s=idle_s, environ={"HOME": str(home)}, folder=home)


def processes(home: Path) -> dict[str, int]:
    """Process ids of keeper and server of a home, as the system lists them."""
    found: dict[str, int] = {}
    port = str(Place(home).read().get("port"))
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if str(home) in words:
                found["keeper"] = int(entry.name)
            elif "prefect" in words and port in words:
                found["server"] = int(entry.name)
    return found


def eventually(true: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def open_run(api: str, state: str, *tags: str) -> str:
    flow = ask(api, "POST", "/flows/", {"name": "some"})["id"]
    run = ask(api, "POST", "/flow_runs/", {"flow_id": flow, "tags": list(tags), "name": "some run"})["id"]
    ask(api, "POST", f"/flow_runs/{run}/set_state", {"state": {"type": state}, "force": True})
    return str(run)


def delete(api: str, run: str) -> None:
    with contextlib.suppress(ValueError):  # the answer is empty
        ask(api, "DELETE", f"/flow_runs/{run}")


def test_two_cold_starts_at_once_make_one_server(home: Path) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(2) as both:
        infos = list(
            both.map(lambda _: ensure_server(home, environ={"HOME": str(home)}, folder=home, say=said.append), range(2))
        )
    assert infos[0] == infos[1]
    assert infos[0].local
    assert "starting the local Prefect server" in said
    assert infos[0].env["PREFECT_API_URL"] == infos[0].api_url
    assert sorted(processes(home)) == ["keeper", "server"]


def test_a_running_server_is_found_at_once_and_without_prefect(home: Path) -> None:
    start(home)
    program = (
        "import sys, time; from pathlib import Path; from surfaces.server.start import ensure_server\n"
        "home = Path(sys.argv[1]); began = time.perf_counter()\n"
        "ensure_server(home, environ={'HOME': sys.argv[1]}, folder=home)\n"
        "assert time.perf_counter() - began < 0.5; assert 'prefect' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, home], check=True, timeout=60)


@pytest.mark.long
def test_a_killed_server_comes_back_at_the_same_port(home: Path) -> None:
    before = start(home)
    os.kill(processes(home)["server"], signal.SIGKILL)
    assert start(home).api_url == before.api_url


def test_a_killed_keeper_takes_the_server_with_it_and_the_next_one_starts_it_again(home: Path) -> None:
    before = start(home)
    os.kill(processes(home)["keeper"], signal.SIGKILL)
    eventually(lambda: not processes(home))
    assert running_server(home) is None
    assert start(home).api_url == before.api_url


def test_the_server_holds_no_terminal_and_knows_no_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_server(home, force=True)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "user:word")
    start(home)
    for process in processes(home).values():
        assert os.getsid(process) != os.getsid(0)
        assert b"sk-secret" not in Path(f"/proc/{process}/environ").read_bytes()
        outputs = {str(Path(f"/proc/{process}/fd/{number}").readlink()) for number in (1, 2)}
        assert outputs == {str(home / "server.log")}


def test_a_run_at_work_keeps_the_server_and_a_dead_one_does_not(home: Path) -> None:
    api = start(home).api_url
    run = open_run(api, "RUNNING", "run:some-run")
    try:
        with pytest.raises(UsageError, match="run some-run is at work"):
            stop_server(home)
        lock = home / "runs" / "some-run" / "lock"
        lock.parent.mkdir(parents=True)
        lock.touch()  # nobody holds it: the process was killed
        assert idle.at_work(api, home) == []
    finally:
        delete(api, run)


@pytest.mark.long
def test_an_idle_server_stops_but_not_while_a_person_is_asked(home: Path) -> None:
    stop_server(home, force=True)
    api = start(home, idle_s=2).api_url
    run = open_run(api, "PAUSED")
    time.sleep(4)
    assert idle.reasons(api, home) == ["run some run waits for a person"]
    assert running_server(home) is not None
    delete(api, run)
    eventually(lambda: not processes(home))
    assert start(home).api_url == api  # the port is kept


def test_stopping_what_does_not_run_says_so(tmp_path: Path) -> None:
    assert stop_server(tmp_path) is False


def test_a_taken_port_is_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path.resolve())
    first = choose_port(place)
    place.write(first, None)
    assert choose_port(place) == first
    with socket.socket() as taken:
        taken.bind((HOST, first))
        taken.listen()
        assert choose_port(place) != first


URL = "http://127.0.0.1:9/api"
PROFILES = f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{URL}"\n[profiles.other]\n'
NAMED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "environment": ({"PREFECT_API_URL": URL}, {}),
    "environment first": ({"PREFECT_API_URL": URL}, {"prefect.toml": '[api]\nurl = "http://127.0.0.1:8/api"\n'}),
    "dotenv": ({}, {".env": f"PREFECT_API_URL={URL}\n"}),
    "prefect.toml": ({}, {"prefect.toml": f'[api]\nurl = "{URL}"\n'}),
    "pyproject.toml": ({}, {"pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n'}),
    "profile": ({}, {".prefect/profiles.toml": PROFILES}),
    "profile by name": ({"PREFECT_PROFILE": "other"}, {".prefect/profiles.toml": PROFILES}),
    "home of profiles": ({"PREFECT_HOME": "{folder}/ph"}, {"ph/profiles.toml": PROFILES}),
    "path of profiles": ({"PREFECT_PROFILES_PATH": "{folder}/p.toml"}, {"p.toml": PROFILES}),
    "nothing": ({}, {".prefect/profiles.toml": "[profiles.mine]\n"}),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_server_is_found_where_prefect_finds_it(case: str, tmp_path: Path) -> None:
    variables, files = NAMED[case]
    env: dict[str, Any] = {name: value.format(folder=tmp_path) for name, value in variables.items()}
    env |= {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    program = "from prefect.settings import get_current_settings; print(get_current_settings().api.url)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, text=True, capture_output=True)
    named = named_server(env, tmp_path)
    assert str(named.api_url if named else None) == done.stdout.strip(), done.stderr


def test_a_named_server_that_is_not_there_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text(f'[api]\nurl = "{URL}"\n')
    with pytest.raises(Permanent, match=r"named by .*prefect.toml, does not answer"):
        ensure_server(tmp_path / "home", environ={"HOME": str(tmp_path)}, folder=tmp_path)
    assert not (tmp_path / "home").exists()


def test_a_file_that_prefect_cannot_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text("[api\n")
    with pytest.raises(UsageError, match=r"prefect.toml"):
        named_server({}, tmp_path)
