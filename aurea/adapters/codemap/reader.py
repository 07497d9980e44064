"""Reads the code of a tree: files that have a grammar, each content once, within a time for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aurea.adapters.codemap.grammars import VERSION, grammar_of
from aurea.adapters.codemap.kept import KeptTags
from aurea.adapters.codemap.parsing import LARGEST
from aurea.adapters.codemap.process import CannotStart, ReadingProcess
from aurea.ports import Code, Definition, Repository, SourceFile, TreeFile

TREE_S = 20.0  # seconds for the files of a tree that are not known yet
BATCH = 4 * 2**20  # bytes of contents fetched at once
REMEMBERED = 4  # trees whose code is at hand


class TreeSitterReader:
    """Implements `ports.CodeReader`: contents from `repository`, what was read before from `folder`, the rest by `process`."""

    def __init__(
        self, repository: Repository, folder: Path, process: ReadingProcess, *, tree_s: float = TREE_S
    ) -> None:
        self._repository = repository
        self._kept = KeptTags(folder, VERSION)
        self._tree_s = tree_s
        self._process = process
        self._trees: dict[str, Code] = {}
        self._turn = asyncio.Lock()

    async def read(self, tree: str, first: Sequence[str] = ()) -> Code:
        """The code of a tree or commit. One tree is read at a time; others wait, and may find it read."""
        async with self._turn:
            if tree not in self._trees:
                code = await self._read(tree, first)
                if code.unread:  # next time more of it is known
                    return code
                self._trees[tree] = code
                while len(self._trees) > REMEMBERED:
                    del self._trees[next(iter(self._trees))]
            return self._trees[tree]

    async def close(self) -> None:
        """End the reading process."""
        await self._process.close()

    async def _read(self, tree: str, first: Sequence[str]) -> Code:
        files = await self._repository.files(tree)
        wanted = [file for file in files if _may_be_read(file)]
        wanted.sort(key=lambda file: (file.path not in first, file.path.count("/"), file.path))
        tags: dict[str, Any] = {}
        if wanted:
            tags = await asyncio.to_thread(self._kept.get, dict.fromkeys(_key(file) for file in wanted))
            tags |= await self._fresh(tree, [file for file in wanted if _key(file) not in tags])
        read = {file.path: _source(file, tags[_key(file)]) for file in wanted if tags.get(_key(file)) is not None}
        return Code(
            files=tuple(read[path] for path in sorted(read)),
            others=tuple(sorted(file.path for file in files if file.path not in read)),
            unread=sum(_key(file) not in tags for file in wanted),
        )

    async def _fresh(self, tree: str, files: Sequence[TreeFile]) -> dict[str, Any]:
        """The tags of files that were not read before, as many as there is time for."""
        ends = asyncio.get_running_loop().time() + self._tree_s
        found: dict[str, Any] = {}
        try:
            for batch in _batches(list({_key(file): file for file in files}.values())):
                if asyncio.get_running_loop().time() > ends:
                    break
                contents = await self._repository.read_many(tree, [file.path for file in batch])
                there = [(file, source) for file in batch if (source := contents[file.path]) is not None]
                tags = await self._process.read([(file.path, source) for file, source in there], ends)
                found |= {_key(file): one for (file, _), one in zip(there, tags, strict=False)}
        except CannotStart:
            pass
        if found:
            await asyncio.to_thread(self._kept.put, found)
        return found


def _may_be_read(file: TreeFile) -> bool:
    plain = file.mode.startswith("100") and file.path.isprintable()
    return plain and 0 < file.size <= LARGEST and grammar_of(file.path) is not None


def _key(file: TreeFile) -> str:
    grammar = grammar_of(file.path)
    return f"{file.blob}-{grammar.function if grammar else ''}-{grammar.module if grammar else ''}"


def _batches(files: Sequence[TreeFile]) -> list[list[TreeFile]]:
    batches: list[list[TreeFile]] = []
    room = 0
    for file in files:
        if file.size > room:
            batches.append([])
            room = BATCH
        batches[-1].append(file)
        room -= file.size
    return batches


def _source(file: TreeFile, tags: Any) -> SourceFile:
    grammar = grammar_of(file.path)
    assert grammar is not None
    return SourceFile(
        path=file.path,
        family=grammar.family,
        definitions=tuple(Definition(*one) for one in tags["definitions"]),
        references=tags["references"],
        imports=tuple(tags["imports"]),
    )
