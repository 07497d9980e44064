"""The process that reads source files: one after the other, as they come on its standard input.

A grammar is a C library, and there are small files on which it takes minutes. Here it can be ended, and takes nobody along.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress

from aurea.adapters.codemap.grammars import grammar_of
from aurea.adapters.codemap.parsing import read_source, readable

MEMORY = 2 * 2**30


def main() -> None:
    """Answer each file, announced by a line `{"path", "size"}`, with one line: its tags, or null where it is not read."""
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):  # not every system has them, or lets them be lowered so far
            resource.setrlimit(limit, (most, most))
    sys.stdout.write('"ready"\n')
    sys.stdout.flush()
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        source = sys.stdin.buffer.read(asked["size"])
        grammar = grammar_of(asked["path"])
        tags = read_source(source, grammar) if grammar is not None and readable(source) else None
        sys.stdout.buffer.write(json.dumps(tags).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
