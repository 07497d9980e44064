"""The quality suites of a project: YAML files in its repository, read from the commit that a run starts from."""

from __future__ import annotations

from typing import Any

from aurea.domain.errors import UsageError
from aurea.ports import Repository
from aurea.reporting.quality.suite import FOLDER, Expectation, read_suite

_MOST_BYTES = 256 * 1024


async def own_suites(repository: Repository, commit: str) -> list[Expectation]:
    """What the files in `.aurea/quality/` of `commit` expect, file by file in order of their names.

    Of the base, so no agent can change what it is judged by. `UsageError` names the file that cannot be used.
    """
    there = await repository.files(commit, FOLDER.rstrip("/"))
    files = [file for file in there if file.path.endswith((".yaml", ".yml")) and file.mode != "120000"]
    for file in files:
        if file.size > _MOST_BYTES:
            raise UsageError(f"{file.path}: larger than {_MOST_BYTES} bytes", remedy="split it")
    contents = await repository.read_many(commit, sorted(file.path for file in files)) if files else {}
    return [entry for path, content in contents.items() for entry in read_suite(_parsed(content or b"", path), path)]


def _parsed(content: bytes, path: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(content.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path}: {' '.join(str(fault).split())}", remedy="it has to be YAML in UTF-8") from None
    return document if isinstance(document, dict) else {}
