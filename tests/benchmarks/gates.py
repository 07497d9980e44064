"""What open questions cost: fifty at once, as one run that failed everywhere asks them.

Prints how long it takes until all of them can be answered in Prefect, the memory of the process that waits, the CPU it
and the server take per minute meanwhile, and the seconds from an answer over REST to the next attempt. Run it as

    .venv/bin/python tests/benchmarks/gates.py [--questions 50] [--seconds 60]

It starts the real command on a fresh home in a temporary folder and stops everything it started.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from surfaces.server.place import Place, api_url, ask
from surfaces.server.start import stop_server

AUREA = Path(sys.executable).with_name("aurea")
ANSWERED = 10
CALL = "{{item: {item}, attempt: {attempt}, role: coder, conversation: coder, step: {step}, calls: [{call}]}}"
WRITE = "{{name: write_file, arguments: {{path: {item}.txt, content: text}}}}"
REPORT = "{name: submit_report, arguments: {summary: done, approach: simple}}"


def main() -> None:
    """Measure one run whose every item fails and asks."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--questions", type=int, default=50)
    words.add_argument("--seconds", type=float, default=60)
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="aurea-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder).resolve() / "home"
        env = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "AUREA_HOME": str(home),
            "AUREA_WORKSPACES": str(Path(folder) / "workspaces"),
        }
        # A first run of one item starts the server, so that its start is not measured.
        subprocess.run([AUREA, "run", spec(Path(folder), 1)], env=env, capture_output=True, check=False)
        words_of_run = [AUREA, "run", spec(Path(folder), chosen.questions), "--run-id", "many", "--wait", "3600"]
        with (Path(folder) / "said").open("w+") as said:
            process = subprocess.Popen(words_of_run, env=env, stdout=said, stderr=said, start_new_session=True)
            try:
                measure(home, process, chosen)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                stop_server(home, force=True)
                said.seek(0)
                print("".join(line for line in said if "could not" in line), end="")


def measure(home: Path, process: subprocess.Popen[bytes], chosen: argparse.Namespace) -> None:
    log = home / "runs" / "many" / "events.jsonl"
    first = until(lambda: told(log, "question.asked"))[0]
    shown = until(lambda: len(found := told(log, "question.shown")) >= chosen.questions and found, 300)
    print(f"{len(shown)} questions, all of them answerable {seconds(first, shown[-1]):.1f} s after the first was asked")
    for one in shown[-1:]:
        print(f"memory of the process that waits: {memory(process.pid):.0f} MB ({one['run']})")

    api = api_url(Place(home).read()["port"])
    server = children(int(Place(home).read()["keeper"]))
    time.sleep(5)
    before = cpu(process.pid), sum(map(cpu, server))
    time.sleep(chosen.seconds)
    here, there = cpu(process.pid) - before[0], sum(map(cpu, server)) - before[1]
    minute = 60 / chosen.seconds
    print(f"CPU per minute of waiting: {here * minute:.2f} s here, {there * minute:.2f} s in the server")

    took = []
    for event in shown[:ANSWERED]:
        began = time.monotonic()
        path = f"/flow_runs/{event['payload']['flow_run']}/resume"
        assert ask(api, "POST", path, {"run_input": {"choice": "retry"}})["status"] == "ACCEPT"
        until(
            lambda about=event["item"]: [
                e for e in told(log, "attempt.started") if (e["item"], e["attempt"]) == (about, 2)
            ]
        )
        took.append(time.monotonic() - began)
    print(f"from an answer to the next attempt: {statistics.median(took):.1f} s, at most {max(took):.1f} s")


def spec(folder: Path, items: int) -> Path:
    """A spec of so many items, none of which passes its check, and the cassette that plays it."""
    names = [f"item-{number}" for number in range(items)]
    parts = ["schema: aurea.cassette/1"]
    for item in names:
        for attempt in (1, 2):
            for step, call in enumerate((WRITE.format(item=item), REPORT), start=1):
                parts.append(CALL.format(item=item, attempt=attempt, step=step, call=call))
    cassette = folder / f"cassette-{items}.yaml"
    cassette.write_text("\n---\n".join(parts) + "\n")
    document: dict[str, Any] = {
        "project": "gates", "objective": "questions", "provider": "replay", "cassette": cassette.name,
        "max_attempts": 1, "reviewers": [], "concurrency": 8,
        "checks": [{"name": "never", "run": ["false"], "when": "attempt"}],
        "items": [{"id": name, "goal": f"write {name}", "criteria": ["it is there"]} for name in names],
    }  # fmt: skip
    path = folder / f"spec-{items}.json"
    path.write_text(json.dumps(document))
    return path


def told(log: Path, kind: str) -> list[dict[str, Any]]:
    """The events of one type so far."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    found = [json.loads(line) for line in lines if f'"type": "{kind}"' in line and line.endswith("\n")]
    return [event for event in found if event["type"] == kind]


def until(look: Callable[[], Any], limit: float = 60) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + limit
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit("waited in vain")
        time.sleep(0.05)
    return found


def seconds(first: dict[str, Any], last: dict[str, Any]) -> float:
    """Between two events of the same day."""

    def moment(event: dict[str, Any]) -> float:
        hours, minutes, rest = event["ts"][11:-1].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)

    return moment(last) - moment(first)


def memory(process: int) -> float:
    """Resident MB of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu(process: int) -> float:
    """Seconds of CPU a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(process: int) -> list[int]:
    """Ids of the processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


if __name__ == "__main__":
    main()
