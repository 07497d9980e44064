"""The report of a run as Prefect artifacts: texts become markdown, rows become tables."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

DESCRIPTIONS = {
    "report": "What the run did, and what it leaves",
    "items": "The work items, their attempts and verdicts",
    "checks": "Every check, with the tree it ran on",
    "files": "The files that the run added or changed",
    "costs": "Model calls, tokens and money",
    "topology": "The plan against what was executed, and this run against the last ones",
    "quality": "What must hold of the run's tables, and whether it does",
}


async def publish(run: str, project: str, pages: Mapping[str, str | list[dict[str, Any]]]) -> None:
    """Publish each page under `<page>-<run>`, and the report also as the next version of `latest-<project>`."""
    async with asyncio.TaskGroup() as together:
        for name, page in pages.items():
            together.create_task(_publish(f"{name}-{run}", page, DESCRIPTIONS.get(name, name)))
        if (text := pages.get("report")) is not None:
            together.create_task(_publish(f"latest-{key_part(project)}", text, f"The latest run: {run}"))


def key_part(text: str) -> str:
    """`text` in the letters that a key may have: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "project"


async def _publish(key: str, page: str | list[dict[str, Any]], description: str) -> None:
    if isinstance(page, str):
        await acreate_markdown_artifact(page, key=key, description=description)
    else:
        await acreate_table_artifact(page, key=key, description=description)
