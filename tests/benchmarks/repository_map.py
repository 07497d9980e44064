"""What the repository map costs: this repository, and one of 3,000 made files, read anew and read again.

    python tests/benchmarks/repository_map.py [--files 3000]

Prints files, definitions, CPU seconds (of this process, and of the one that reads) and tokens of the map, and how many
times cheaper the second reading is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from aurea.adapters.codemap.process import ReadingProcess
from aurea.adapters.codemap.reader import TreeSitterReader
from aurea.adapters.git.repository import GitRepository
from aurea.agents.codemap.focus import Focus
from aurea.agents.codemap.rank import rank
from aurea.agents.codeparts import Surroundings, map_part
from aurea.agents.parts import Budgets
from aurea.domain.context import BUDGETS

HERE = Path(__file__).parents[2]
GOAL = "search_codebase uses ripgrep where it is on the PATH of commands, and git grep otherwise"
MADE = {
    "py": "from part{p}.m{o} import work_{o}\n\nclass Thing{n}:\n    def act(self, a: int) -> str:\n"
    "        return work_{o}(self.value, a)\n\ndef work_{n}(a, b):\n    return a\n",
    "ts": "import {{ work_{o} }} from '../part{p}/m{o}';\nexport class Thing{n} {{\n"
    "  act(a: number): string {{ return work_{o}(a); }}\n}}\nexport function work_{n}(a: number) {{ return a; }}\n",
    "go": "package part\n\ntype Thing{n} struct {{ a int }}\n\nfunc (t *Thing{n}) Act(a int) int {{ return work_{o}(t.a) }}\n"
    "\nfunc work_{n}(a int) int {{ return a }}\n",
    "c": '#include "../part{p}/m{o}.h"\nstruct thing{n} {{ int a; }};\nint work_{n}(int a) {{ return work_{o}(a); }}\n',
}


def spent() -> tuple[float, float]:
    """CPU seconds of this process, and of its children that have ended."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime, others.ru_utime + others.ru_stime


async def measured(name: str, repository: GitRepository, state: Path) -> float:
    """Read, rank and show once; the CPU seconds of it all."""
    began, before = time.monotonic(), spent()
    commit = await repository.resolve("HEAD")
    assert commit is not None
    reader = TreeSitterReader(repository, state / "tags", ReadingProcess(os.environ), tree_s=600)
    code = await reader.read(commit)
    await reader.close()
    read = spent()
    ranked = await asyncio.to_thread(rank, code, Focus(text=GOAL))
    part = map_part(Surroundings(code=code, ranked=ranked), Budgets(BUDGETS))
    after = spent()
    own, others = after[0] - before[0], after[1] - before[1]
    print(
        f"{name:24} {len(code.files):6} {sum(len(file.definitions) for file in code.files):7} {own:7.2f} {others:7.2f} "
        f"{after[0] - read[0]:8.2f} {part.tokens:7} {time.monotonic() - began:8.2f}"
    )
    return own + others


def make(folder: Path, count: int) -> None:
    """A repository of files that define and use names of one another, in several languages."""
    chance = random.Random(1)
    for number in range(count):
        suffix = list(MADE)[number % len(MADE)]
        other = chance.randrange(count)
        text = MADE[suffix].format(n=number, o=other, p=other % 50) + "\n" * chance.randrange(200)
        path = folder / f"part{number % 50}" / f"m{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text * 4)
    for words in (("init", "-q"), ("add", "."), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "made")):
        subprocess.run(["git", *words], cwd=folder, check=True)


async def main() -> None:
    """Measure both repositories, each twice."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=3000)
    count = parser.parse_args().files
    print(f"{'':24} {'files':>6} {'defs':>7} {'own s':>7} {'read s':>7} {'ranked s':>8} {'tokens':>7} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as made:
        (folder := Path(made, "made")).mkdir()
        make(folder, count)
        for name, path in (("this repository", HERE), (f"{count} made files", folder)):
            state = Path(made, name.replace(" ", "-"))
            repository = await GitRepository.open(path, state / "git")
            cold = await measured(f"{name}, anew", repository, state)
            warm = await measured(f"{name}, again", repository, state)
            print(f"{'':24} again costs {warm / cold:.0%} of anew")


if __name__ == "__main__":
    asyncio.run(main())
