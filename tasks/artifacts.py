"""Pages of a run as Prefect artifacts: texts become markdown, rows become tables."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import PrefectClient

from tasks.flow_run import RUN_TAG

DESCRIPTIONS = {
    "report": "What landed and why, what it cost, and what waits for a person",
    "items": "The work items, their attempts and verdicts",
    "checks": "Every check and review, with the tree it was about",
    "files": "The files that the run added or changed",
    "costs": "Model calls, tokens and money, dearest first",
    "topology": "The plan against what was executed, and this run against the last ones",
    "quality": "What must hold of the run's tables, and whether it does",
}

# What v1 of the UI would read as markdown in a cell of a table, and v2 as it stands: emphasis, links, tags, escapes.
_MARKED = re.compile(r"[\\`*\[\]<>~]|(?<![^\W_])_|_(?![^\W_])")


async def publish(run: str, project: str, headline: str, pages: Mapping[str, str | list[dict[str, Any]]]) -> None:
    """Publish each page under `<page>-<run>`, and the report as this run's version of `latest-<project>`."""
    async with asyncio.TaskGroup() as together:
        for name, page in pages.items():
            together.create_task(_publish(f"{name}-{run}", page, DESCRIPTIONS.get(name, name)))
        if isinstance(text := pages.get("report"), str):
            together.create_task(rewrite(run, f"latest-{key_part(project)}", text, headline))


async def rewrite(run: str, key: str, text: str, description: str, *, known: UUID | None = None) -> UUID:
    """Publish `text` as the one version that `run` has of the artifact `key`, made where it is missing; returns its id.

    `known` is the id from an earlier call, and saves asking for it.
    """
    async with get_client() as client:
        made = known or await _version(client, run, key)
        if made is None:
            return await acreate_markdown_artifact(text, key=key, description=description)
        # Not with the client's own method, which puts the whole text into Prefect's event feed as well.
        body = {"data": text, "description": description}
        await client.request("PATCH", "/artifacts/{id}", path_params={"id": made}, json=body)
        return made


def key_part(text: str) -> str:
    """`text` in the letters that a key may have: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "project"


async def _version(client: PrefectClient, run: str, key: str) -> UUID | None:
    wanted = {
        "artifacts": {"key": {"any_": [key]}},
        "flow_runs": {"tags": {"all_": [f"{RUN_TAG}{run}"]}},
        "sort": "CREATED_DESC",
        "limit": 1,
    }
    found = (await client.request("POST", "/artifacts/filter", json=wanted)).json()
    return UUID(found[0]["id"]) if found else None


async def _publish(key: str, page: str | list[dict[str, Any]], description: str) -> None:
    if isinstance(page, str):
        await acreate_markdown_artifact(page, key=key, description=description)
    else:
        rows = [{name: _cell(value) for name, value in row.items()} for row in page]
        await acreate_table_artifact(rows, key=key, description=description)


def _cell(value: Any) -> Any:
    """A cell that both versions of the UI show as it is: code, where its characters would mean something else."""
    if not isinstance(value, str) or not _MARKED.search(value):
        return value
    fence = "`" * (1 + max((len(found) for found in re.findall("`+", value)), default=0))
    return f"{fence}{value}{fence}" if len(fence) == 1 else f"{fence} {value} {fence}"
