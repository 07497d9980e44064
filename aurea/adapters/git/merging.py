"""Merges two commits in memory and puts a conflict into words that a person or a model can work with."""

from __future__ import annotations

import os
import re

from aurea.adapters.git.process import Git, GitFailed
from aurea.ports import Merge

DETAILS = 20_000
HUNK = 4_000
CONFLICT = re.compile(r"^<{7} .*?^>{7} .*?$", re.MULTILINE | re.DOTALL)


async def merge(git: Git, ours: str, theirs: str) -> Merge:
    """Merge commit `theirs` into `ours`; the base is the nearest common ancestor. Writes objects only."""
    said = await git(
        "-c",
        "merge.conflictStyle=diff3",
        "merge-tree",
        "--write-tree",
        "-z",
        "--name-only",
        "--messages",
        ours,
        theirs,
        accept=(0, 1),
    )
    fields = said.fields
    if not fields:
        raise GitFailed(f"`git merge-tree {ours} {theirs}` ended with {said.code}: {said.stderr or 'it said nothing'}")
    tree = fields[0]
    if said.code == 0:
        return Merge(tree=tree)
    end = fields.index("", 1)
    names = tuple(dict.fromkeys(fields[1:end]))
    return Merge(
        tree=None, conflicts=names, details=await _details(git, tree, names, _messages(fields[end + 1 :]), ours, theirs)
    )


def _messages(fields: list[str]) -> list[str]:
    """What git says of each conflict: records of a count, that many paths, a kind and a sentence."""
    said: list[str] = []
    while fields:
        count = int(fields[0])
        kind, sentence = fields[count + 1], fields[count + 2]
        if kind.startswith("CONFLICT"):
            said.append(sentence.strip())
        fields = fields[count + 3 :]
    return said


async def _details(git: Git, tree: str, names: tuple[str, ...], messages: list[str], ours: str, theirs: str) -> str:
    """What git says, then each conflicting place with both sides and what was there before, at most `DETAILS` long."""
    parts = ["\n".join(messages)]
    contents = await read_blobs(git, [f"{tree}:{name}" for name in names])
    for name, content in zip(names, contents, strict=True):
        if content is None or b"\0" in content[:8000]:
            continue
        hunks = [match.group() for match in CONFLICT.finditer(content.decode("utf-8", "replace"))]
        if hunks:
            shown = "\n...\n".join(hunk if len(hunk) <= HUNK else f"{hunk[:HUNK]}\n... (cut)" for hunk in hunks)
            parts.append(f"--- {name}\n{shown}")
    text = "\n\n".join(part for part in parts if part)
    text = text.replace(f"<<<<<<< {ours}", "<<<<<<< landed meanwhile").replace(
        f">>>>>>> {theirs}", ">>>>>>> this change"
    )
    text = re.sub(r"^\|{7} [0-9a-f]{7,64}$", "||||||| before both", text, flags=re.MULTILINE)
    return text if len(text) <= DETAILS else f"{text[:DETAILS]}\n... (cut at {DETAILS} characters of {len(text)})"


async def read_blobs(git: Git, names: list[str]) -> list[bytes | None]:
    """The contents that `names` (`TREE:PATH` or ids) stand for, in order; None where there is no such file."""
    stdin = b"".join(os.fsencode(name) + b"\0" for name in names)
    out = (await git("cat-file", "--batch", "-z", stdin=stdin)).stdout
    contents: list[bytes | None] = []
    at = 0
    for name in names:
        raw = os.fsencode(name)
        if out.startswith(b" missing\n", at + len(raw)) and out.startswith(raw, at):
            contents.append(None)
            at += len(raw) + len(b" missing\n")
            continue
        line_end = out.index(b"\n", at)
        kind, size = out[at:line_end].split(b" ")[1:3]
        start, stop = line_end + 1, line_end + 1 + int(size)
        contents.append(out[start:stop] if kind == b"blob" else None)
        at = stop + 1
    return contents
