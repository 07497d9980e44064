"""What weak models get wrong: how many of the ways are understood at once, without asking the model again.

Prints each way, whether it was understood by reading arguments leniently alone (a fence, last commas, JSON within JSON),
and whether it is with the mending of `aurea/agents/repair.py`; then the time that mending takes. Run it as

    .venv/bin/python tests/benchmarks/weak_models.py
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from aurea.agents.repair import Known, known_tools, repaired
from aurea.agents.roles import role_of
from aurea.agents.tools.toolbox import tools_for
from aurea.domain.messages import ModelReply
from aurea.ports import Assignment
from aurea.testing.agents import FolderWorkspace
from aurea.testing.clock import SimulatedClock
from aurea.testing.commands import ScriptedRunner
from weak_replies import SHAPES, Weak

FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


def main() -> None:
    """Go through all of them."""
    with tempfile.TemporaryDirectory() as folder:
        tools = coder_tools(Path(folder))
        meant = [weak for weak in SHAPES if weak.meant is not None]
        before = [weak.shape for weak in meant if made(weak.reply, tools) == weak.meant]
        after = [weak.shape for weak in meant if made(repaired(weak.reply, tools)[0], tools) == weak.meant]
        for weak in SHAPES:
            marks = (
                "must be asked again"
                if weak.meant is None
                else f"{weak.shape in before!s:5}  {weak.shape in after!s:5}"
            )
            print(f"{weak.shape:42} {marks}")
        guessed = [weak.shape for weak in SHAPES if weak.meant is None and repaired(weak.reply, tools)[1]]
        print(
            f"\nunderstood without a second call: {len(before)} of {len(meant)} before, {len(after)} of {len(meant)} after"
        )
        print(f"guessed at although nobody can know: {len(guessed)} of {len(SHAPES) - len(meant)}")
        print(f"CPU per reply: {seconds_each(SHAPES, tools) * 1e6:.0f} microseconds")


def coder_tools(folder: Path) -> dict[str, Known]:
    """The tools of a coder."""
    assignment = Assignment("i", 1, "coder", "coder", "", "", 900.0, workspace=FolderWorkspace(folder))
    tools = tools_for("coder", assignment, ScriptedRunner(lambda _: None), SimulatedClock(), lambda: 900.0)
    return known_tools(tools, role_of("coder").result)


def made(reply: ModelReply, tools: dict[str, Known]) -> list[tuple[str, Any]] | None:
    """The calls of a reply that can be made; None where one of them cannot."""
    calls: list[tuple[str, Any]] = []
    for call in reply.calls:
        arguments = call.arguments if isinstance(call.arguments, dict) else lenient(call.arguments)
        if call.name not in tools or arguments is None or not tools[call.name].valid(arguments):
            return None
        calls.append((call.name, arguments))
    return calls or None


def lenient(text: str) -> dict[str, Any] | None:
    """Arguments as they were read before there was any mending."""
    for _ in range(2):
        fenced = FENCE.match(text)
        try:
            value = json.loads(re.sub(r",(?=\s*[}\]])", "", fenced[1] if fenced else text), strict=False)
        except ValueError:
            return None
        if not isinstance(value, str):
            return value if isinstance(value, dict) else None
        text = value
    return None


def seconds_each(shapes: list[Weak], tools: dict[str, Known]) -> float:
    """CPU seconds for one reply, best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for weak in shapes:
            repaired(weak.reply, tools)
        best = min(best, (time.process_time() - began) / len(shapes))
    return best


if __name__ == "__main__":
    main()
