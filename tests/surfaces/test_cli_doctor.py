"""`aurea doctor`: what works here, and of each provider whether it is set up, answers, and has its model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aurea.models.providers import PROVIDERS

NOBODY = "http://127.0.0.1:9"
KEY = "sk-very-secret-0123456789"
LIBRARIES = ("openai", "anthropic", "ollama", "google", "pydantic_ai", "genai_prices", "httpx", "prefect")


class Vendors:
    """Servers of all kinds at one address. `status`, `delay_s` and `answer` change what each path says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.delay_s = 0.0
        self.answer: Any = None
        self.lists: dict[str, Any] = {
            "/v1/models": {"data": [{"id": "small"}, {"id": "gpt-5-mini"}, {"id": "a\x1b[2Jb"}, {"name": 3}, "x"]},
            "/api/tags": {"models": [{"name": "qwen3:8b"}, {"name": "llama3:latest"}]},
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                time.sleep(outer.delay_s)
                found = outer.answer or outer.lists.get(self.path.partition("?")[0])
                data = found if isinstance(found, bytes) else json.dumps(found or {"error": f"no {KEY}"}).encode()
                self.send_response(outer.status if found else 404)
                self.send_header("Location", f"{NOBODY}/stolen")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def vendors() -> Iterator[Vendors]:
    vendors = Vendors()
    thread = threading.Thread(target=vendors.server.serve_forever)
    thread.start()
    yield vendors
    vendors.server.shutdown()
    thread.join()
    vendors.server.server_close()


def findings(told: Any) -> dict[str, dict[str, Any]]:
    assert KEY not in told.out + told.err
    document = json.loads(told.out)
    assert (document["schema"], told.err) == ("aurea.doctor/1", "")
    return {finding["name"]: finding for finding in document["findings"]}


def test_doctor(shell: Any, finished: Path) -> None:
    looking = shell.on(finished)
    told = looking("doctor", "--json", OPENAI_BASE_URL=NOBODY, OLLAMA_HOST=NOBODY)
    found = findings(told)
    assert (told.code, json.loads(told.out)["ok"]) == (0, True)
    assert {"python", "git", "prefect", "ledger", "openai", "replay", "sandbox", "home", "workspaces"} <= set(found)
    assert "3 runs" in found["ledger"]["found"]
    blocked = shell("doctor", "--home", "/dev/null/x", "--json", OPENAI_API_KEY="", OLLAMA_HOST=NOBODY)
    assert blocked.code == 1
    assert json.loads(blocked.out)["ok"] is False


def test_it_says_who_would_search_the_web(shell: Any) -> None:
    bare = {"OPENAI_API_KEY": "", "OLLAMA_HOST": NOBODY}
    assert findings(shell("doctor", "--json", **bare))["web search"]["found"].startswith("ddgs, ")
    found = findings(shell("doctor", "--json", **bare, TAVILY_API_KEY=KEY))["web search"]
    assert (found["ok"], found["found"]) == (True, "tavily, where a spec says `web_search: true`")


def test_a_provider_that_answers(shell: Any, vendors: Vendors) -> None:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{vendors.url}/v1", "OLLAMA_HOST": vendors.url}
    found = findings(shell("doctor", "--json", **env))

    openai, ollama = found["openai"], found["ollama"]
    assert openai == {
        "name": "openai",
        "ok": True,
        "needed": False,
        "found": f"{vendors.url}/v1 answers, 3 models: gpt-5-mini, a?[2Jb, small; default model gpt-5-mini",
        "remedy": "",
        "configured": True,
        "address": f"{vendors.url}/v1",
        "answers": True,
        "key_accepted": True,
        "models": ["a?[2Jb", "gpt-5-mini", "small"],
        "default_model": "gpt-5-mini",
        "default_model_there": True,
    }
    assert (ollama["ok"], ollama["models"], ollama["key_accepted"]) == (True, ["llama3:latest", "qwen3:8b"], None)
    assert dict(vendors.asked)["/v1/models"]["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in dict(vendors.asked)["/api/tags"]
    told = shell("doctor", **env).out
    assert f"ok    openai       {vendors.url}/v1 answers, 3 models" in told
    assert KEY not in told


def test_a_model_that_is_not_there(shell: Any, vendors: Vendors) -> None:
    env = {"OPENAI_BASE_URL": f"{vendors.url}/v1", "OLLAMA_HOST": vendors.url, "PROVIDER": "ollama"}
    vendors.lists["/v1/models"] = {"data": [{"id": "mine"}]}
    found = findings(shell("doctor", "--json", **env, MODEL="qwen3:32b"))

    openai, ollama = found["openai"], found["ollama"]
    assert (openai["ok"], openai["default_model_there"]) == (True, False)
    assert openai["found"].endswith("1 model: mine; default model gpt-5-mini is not there")
    assert openai["remedy"] == "name one that it has: --model mine"
    assert (ollama["default_model"], ollama["default_model_there"]) == ("qwen3:32b", False)
    assert ollama["remedy"] == "`ollama pull qwen3:32b`, or name one that it has: --model llama3:latest"
    assert findings(shell("doctor", "--json", **env, MODEL="llama3"))["ollama"]["default_model_there"] is True


def test_each_vendor_is_asked_in_its_own_way(shell: Any, vendors: Vendors) -> None:
    vendors.lists |= {
        "/v1beta/models": {"models": [{"name": "models/gemini-3.5-flash"}]},
        "/models": {"data": [{"id": "glm-4.6"}]},
    }
    vendors.lists["/v1/models"]["data"] += [{"id": "claude-sonnet-4-6-20260101"}]
    bases = ("ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "ZAI_BASE_URL", "OLLAMA_HOST")
    keys = {name: f"{KEY}-{name}" for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "ZAI_API_KEY")}
    env = {**dict.fromkeys(bases, vendors.url), **keys, "OPENAI_API_KEY": "", "MLX_BASE_URL": f"{vendors.url}/v1"}
    found = findings(shell("doctor", "--json", **env))

    for name in ("anthropic", "google", "glm", "ollama"):
        assert (found[name]["ok"], found[name]["default_model_there"]) == (True, True), name
    assert (found["mlx"]["ok"], found["mlx"]["default_model_there"]) == (True, False)
    asked = {(path.partition("?")[0], headers.get("x-api-key")): headers for path, headers in vendors.asked}
    assert asked["/v1/models", f"{KEY}-ANTHROPIC_API_KEY"]["anthropic-version"]
    assert asked["/v1beta/models", None]["x-goog-api-key"] == f"{KEY}-GEMINI_API_KEY"
    assert asked["/models", None]["authorization"] == f"Bearer {KEY}-ZAI_API_KEY"
    assert "authorization" not in asked["/v1/models", None]  # mlx


def test_an_ollama_on_this_machine_needs_no_setting_up(
    shell: Any, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "ollama", replace(PROVIDERS["ollama"], url=vendors.url))
    ollama = findings(shell("doctor", "--json", OPENAI_API_KEY=""))["ollama"]

    assert ollama["found"].startswith(f"not set up, but {vendors.url} answers, 2 models: qwen3:8b")
    assert ollama["remedy"] == "it can be used; name it with --provider ollama"


@pytest.mark.parametrize(
    ("status", "answer", "ok", "said", "remedy"),
    [
        (401, b"{}", False, "does not accept the key", "check OPENAI_API_KEY"),
        (500, b"oh", False, "answers with HTTP 500", "start it, or correct OPENAI_BASE_URL"),
        (302, b"oh", False, "answers with HTTP 302", "start it, or correct OPENAI_BASE_URL"),
        (404, b"{}", True, "answers, without a list of models; default model gpt-5-mini", ""),
        (200, b"<html>", False, "answers, but with no list of models", "start it, or correct OPENAI_BASE_URL"),
        (200, b'{"data": []}', True, "answers, 0 models; default model gpt-5-mini is not there", "name a model"),
    ],
)
def test_what_else_servers_answer(
    status: int, answer: bytes, ok: bool, said: str, remedy: str, shell: Any, vendors: Vendors
) -> None:
    vendors.status, vendors.answer = status, answer
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{vendors.url}/v1", "OLLAMA_HOST": NOBODY}
    openai = findings(shell("doctor", "--json", **env))["openai"]

    assert (openai["ok"], openai["found"]) == (ok, f"{vendors.url}/v1 {said}")
    assert openai["remedy"].startswith(remedy)
    assert bool(openai["remedy"]) == bool(remedy)
    assert len(vendors.asked) == 1  # a key goes nowhere else


def test_what_does_not_answer_and_what_is_not_set_up(shell: Any) -> None:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://me:word@{NOBODY[7:]}/v1", "OLLAMA_HOST": "gpu:port"}
    told = shell("doctor", "--json", **env)
    found = findings(told)

    assert found["openai"]["found"] == f"{NOBODY}/v1 does not answer: nothing listens there"
    assert found["ollama"]["found"] == "OLLAMA_HOST='gpu:port' is no address"
    assert found["ollama"]["remedy"] == "write it as in 127.0.0.1:11434"
    assert "word" not in told.out
    broken = shell("doctor", "--json", OPENAI_API_KEY=f"{KEY}\nx", OPENAI_BASE_URL=NOBODY, OLLAMA_HOST=NOBODY)
    assert findings(broken)["openai"]["found"] == f"{NOBODY} OPENAI_API_KEY holds what cannot be sent"
    bare = findings(shell("doctor", "--json", OPENAI_API_KEY="", OLLAMA_HOST=NOBODY))["openai"]
    assert (bare["ok"], bare["configured"], bare["answers"], bare["remedy"]) == (
        False,
        False,
        None,
        "set OPENAI_API_KEY",
    )
    assert "-     openai" in shell("doctor", OPENAI_API_KEY="", OLLAMA_HOST=NOBODY).out


def test_all_are_asked_at_once_and_none_for_long(shell: Any, vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    vendors.delay_s = 1.0
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{vendors.url}/v1", "OLLAMA_HOST": vendors.url}
    both = findings(shell("doctor", "--json", **env))
    assert (both["openai"]["ok"], both["ollama"]["ok"]) == (True, True)
    monkeypatch.setattr("aurea.models.look.IN_ALL_S", 0.2)
    began = time.monotonic()
    late = findings(shell("doctor", "--json", **env))
    assert time.monotonic() - began < 3
    assert late["openai"]["found"].endswith("does not answer within 0.2 s")


def test_no_library_of_a_vendor_is_loaded(shell: Any, vendors: Vendors) -> None:
    code = "import sys; from surfaces.cli.app import serve; serve(['doctor', '--json'])\n"
    code += "print(' '.join({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    env = {**shell.env, "OPENAI_BASE_URL": f"{vendors.url}/v1", "OLLAMA_HOST": vendors.url}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=shell.cwd, text=True, capture_output=True)

    assert json.loads(done.stdout)["ok"] is True
    assert set(done.stderr.split()).isdisjoint(LIBRARIES)
