"""A model server that nobody here wrote, in every format of the wires: `npm ci` in `tests/contracts/wire` installs it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aurea.models.providers import PROVIDERS, Endpoint
from aurea.models.wires import Wire, wire_at

WIRE = Path(__file__).parent / "contracts" / "wire"
KEY = "sk-test"
# Which provider speaks the format, where the server has it, and with which options of a role.
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("openai", "/v1", {}),
    "responses": ("openai", "/v1", {"api": "responses"}),
    "anthropic": ("anthropic", "", {}),
    "google": ("google", "", {}),
    "openrouter": ("openrouter", "/api/v1", {}),
    "ollama": ("ollama", "", {}),
}
STREAMED = "streamed "
# The formats, and those of them once more that are asked for a stream only where that is said.
WAYS = [*FORMATS, *(STREAMED + name for name in FORMATS if name != "ollama")]


def missing() -> str:
    """Why there can be no server; nothing where there can be one."""
    if shutil.which("node") is None:
        return "node is not installed: the wires were not held against aimock"
    return "" if _program().exists() else "aimock is not installed: run `npm ci` in tests/contracts/wire"


def _program() -> Path:
    return WIRE / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server with our fixtures; `folder` is for what is made of them."""
    fixtures = json.loads((WIRE / "fixtures" / "chat.json").read_text())["fixtures"]
    # The server counts what it has answered for each fixture, so each format has its own of those that count.
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": [own for f in fixtures for own in _for_each(f)]}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = ["node", str(_program()), "-p", port, "-f", str(folder), "--log-level", "warn"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _until_it_listens(server, int(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=10)


def _for_each(fixture: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match = fixture["match"]
    if "sequenceIndex" not in match:
        yield fixture
        return
    for name in WAYS:
        yield {**fixture, "match": {**match, "userMessage": f"{match['userMessage']} {name}"}}


def _until_it_listens(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(f"aimock ended at once: {server.communicate()[0].decode()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("aimock does not listen")


def base(way: str) -> str:
    """The format of a way."""
    return way.removeprefix(STREAMED)


def wire(way: str, address: str) -> Wire:
    """A client of a server in one format, or way."""
    provider, path, _ = FORMATS[base(way)]
    return wire_at(Endpoint(PROVIDERS[provider], address + path, KEY), stream=way.startswith(STREAMED))


def named(way: str) -> dict[str, Any]:
    """Model and options of a request in one format, or way."""
    provider, _, options = FORMATS[base(way)]
    return {"model": f"{provider}:model-1", "options": options}


def journal(address: str, text: str) -> list[dict[str, Any]]:
    """What a server was asked with `text` in it."""
    with urllib.request.urlopen(f"{address}/__aimock/journal") as answer:
        return [entry for entry in json.load(answer) if text in json.dumps(entry["body"])]
