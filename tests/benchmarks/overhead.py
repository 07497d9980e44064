"""What a work item costs: 200 independent items against a model that answers after 200 ms.

Each item is implemented with two model calls, judged by two checks and two reviews, and landed through its gate. Prints
the wall time against the bound max(critical path, work / concurrency, CPU / cores), and the CPU per item for Aurea with
everything it starts, and for the Prefect server, apart. Run it as

    .venv/bin/python tests/benchmarks/overhead.py [--items 200] [--concurrency 50] [--latency 0.2]

It starts the real command on a fresh home in a temporary folder and stops everything it started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--items", type=int, default=200)
    words.add_argument("--concurrency", type=int, default=50)
    words.add_argument("--latency", type=float, default=0.2)
    words.add_argument("--profile", help="write a profile of the command to this file (cProfile)")
    words.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    chosen = words.parse_args()
    if chosen.serve:
        asyncio.run(serve(chosen.serve, chosen.latency))
        return
    with tempfile.TemporaryDirectory(prefix="aurea-bench-") as folder:
        measure(Path(folder), chosen)


def measure(folder: Path, chosen: argparse.Namespace) -> None:
    port = 18_000 + os.getpid() % 10_000
    model = subprocess.Popen([sys.executable, __file__, "--serve", str(port), "--latency", str(chosen.latency)])
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AUREA_HOME": str(folder / "home"),
        "AUREA_WORKSPACES": str(folder / "workspaces"),
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
    }
    try:
        repo = repository(folder / "repo")
        # A first run of one item starts the server, so that its start is not measured.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command(spec(folder, repo, 1, 1), "warm-up"), env=env, check=True, **quiet)
        keeper = int(json.loads((folder / "home" / "server.json").read_text())["keeper"])
        server_before = cpu_of_tree(keeper)
        words = command(spec(folder, repo, chosen.items, chosen.concurrency), "bench")
        if chosen.profile:
            words = [sys.executable, "-m", "cProfile", "-o", chosen.profile, *words]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        done = subprocess.run(words, env=env, capture_output=True, check=False)
        wall = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        server = cpu_of_tree(keeper) - server_before
        if not done.stdout:
            sys.exit(done.stderr.decode())
        report(json.loads(done.stdout), chosen, wall, own, server)
        time.sleep(20)
        print(f"the server worked on for another {cpu_of_tree(keeper) - server_before - server:.1f} CPU s within 20 s")
    finally:
        model.send_signal(signal.SIGTERM)
        model.wait()
        stop(folder / "home")


def report(document: dict, chosen: argparse.Namespace, wall: float, own: float, server: float) -> None:
    """Print the figures of one run."""
    items, cores = document["items"], os.cpu_count() or 1
    landed = sum(1 for item in items if item["state"] == "complete")
    seconds = {evidence["id"]: evidence["seconds"] for evidence in document["evidence"]}
    checks = sum(s for name, s in seconds.items() if name) / max(len(items), 1)
    path = 3 * chosen.latency  # two model calls, then both reviews at once
    bound = max(path, chosen.items * path / chosen.concurrency, (own + server) / cores)
    print(
        f"items {len(items)}, landed {landed}, state {document['state']}, concurrency {chosen.concurrency}, cores {cores}"
    )
    print(
        f"wall {wall:.1f} s; bound {bound:.1f} s = max(path {path:.1f}, work/concurrency "
        f"{chosen.items * path / chosen.concurrency:.1f}, CPU/cores {(own + server) / cores:.1f}); ratio {wall / bound:.2f}"
    )
    print(
        f"CPU per item: Aurea and what it starts {own / len(items) * 1000:.0f} ms; "
        f"Prefect server {server / len(items) * 1000:.0f} ms; seconds in evidence per item {checks:.2f}"
    )


def command(path: Path, run: str) -> list[str]:
    return [str(BIN / "aurea"), "run", str(path), "--run-id", run, "--json"]


def repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "README.md").write_text("bench\n")
    git = ["git", "-C", str(folder), "-c", "user.name=b", "-c", "user.email=b@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "begin"], check=True)
    return folder


def spec(folder: Path, repo: Path, count: int, concurrency: int) -> Path:
    path = folder / f"spec-{count}.json"
    items = [{"id": f"i{n}", "goal": f"write file {n}", "criteria": ["it is there"]} for n in range(count)]
    reviewers = [{"role": "reviewer", "focus": focus} for focus in ("correctness", "simplicity")]
    checks = [{"name": name, "run": ["true"]} for name in ("tests", "lint")]
    document = {"project": "bench", "objective": "many files", "repo": str(repo), "provider": "openai", "model": "bench",
                "concurrency": concurrency, "checks": checks, "reviewers": reviewers, "items": items}  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def stop(home: Path) -> None:
    from surfaces.server.start import stop_server

    stop_server(home, force=True)


def cpu_of_tree(root: int) -> float:
    """CPU seconds of a process and its living descendants, with what their ended children used."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def below(process: int) -> bool:
        while process > 1 and process != root:
            process = parents.get(process, 0)
        return process == root

    return sum(seconds for process, seconds in used.items() if below(process))


async def serve(port: int, latency: float) -> None:
    """A model server: the coder writes its file, then reports; reviewers approve."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                del line
                headers = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                await reader.readexactly(int(headers.get("content-length", 0)))
                await asyncio.sleep(latency)
                data = json.dumps(answer(headers)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)
                )
                writer.write(data)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def answer(headers: dict[str, str]) -> dict:
    item, step = headers["x-aurea-item"], int(headers["x-aurea-step"])
    if headers["x-aurea-role"] == "reviewer":
        criteria = [{"criterion": "it is there", "met": "yes", "reason": "see the diff"}]
        call = ("submit_review", {"decision": "approve", "criteria": criteria, "findings": [], "summary": "good"})
    elif step == 1:
        call = ("write_file", {"path": f"{item}.txt", "content": f"{item}\n"})
    else:
        call = ("submit_report", {"summary": "written", "approach": "wrote the file"})
    function = {"name": call[0], "arguments": json.dumps(call[1])}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    usage = {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "bench", "choices": [choice], "usage": usage}


if __name__ == "__main__":
    main()
