"""A whole run with Ollama: the provider is found by its address alone, and a role's options are in every request of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aurea.bootstrap import create_run, take_up
from aurea.delivery.conduct import conduct
from aurea.home import Home
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.settings import Settings
from aurea.testing.line import plain_phases
from ollama_server import ollama_server

OPTIONS = {"num_ctx": 16384, "num_thread": 2, "num_predict": 4096, "temperature": 0.1}
SPEC = f"""
project: notes
objective: A file.
output_dir: out
checks: [{{name: sound, run: [sh, -c, 'test -e first.txt']}}]
roles: {{coder: {{options: {OPTIONS}}}, reviewer: {{options: {OPTIONS}}}}}
items: [{{id: first, goal: write first.txt, criteria: [first.txt is there]}}]
"""


def call(name: str, **arguments: Any) -> list[dict[str, Any]]:
    return [{"id": "c", "function": {"name": name, "arguments": arguments}}]


def script(headers: dict[str, str]) -> list[dict[str, Any]]:
    if headers["x-aurea-conversation"] == "reviewer-1":
        return call("submit_review", decision="approve", criteria=[], findings=[], summary="")
    if headers["x-aurea-step"] == "1":
        return call("write_file", path="first.txt", content="one")
    return call("submit_report", summary="wrote it", approach="plainly")


async def test_a_role_s_options_work_through_a_whole_run(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    async with ollama_server() as server:
        server.script = script
        env = {"HOME": str(tmp_path), "AUREA_HOME": str(tmp_path / "home"), "AUREA_WORKSPACES": str(tmp_path / "ws")}
        env["AUREA_QUALITY_WAIT_S"] = "0"
        settings = Settings.read({"PATH": "/usr/bin:/bin", "OLLAMA_HOST": server.url[7:], "MODEL": "tiny:1b", **env})
        resolved = resolve(tmp_path / "spec.yaml", Flags(), cwd=tmp_path, settings=settings)
        with Home(settings) as home:
            await create_run(home, resolved, "run-1", say=lambda line: None)
            async with take_up(home, "run-1") as run:
                await conduct(run, plain_phases(run))
            state = home.state("run-1")

    assert state.ended is not None
    assert (resolved.provider, state.ended.state) == ("ollama", "succeeded")
    assert (state.cost.usd, state.cost.priced, state.cost.input_tokens) == (0.0, True, 63)
    assert [body["options"] for body in server.bodies()] == [OPTIONS] * 3
    assert len(server.bodies("/api/generate")) == 1  # the same for both roles: loaded once
    assert all(body["truncate"] is False and body["shift"] is False for body in server.bodies())
    assert {body["model"] for body in server.bodies()} == {"tiny:1b"}
