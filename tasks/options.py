"""What all phases have in common as Prefect tasks: retries for transient errors only, a time limit, names and tags."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff

from aurea.domain.errors import Transient

P = ParamSpec("P")
R = TypeVar("R")

RETRIES = 3
# A backstop against a phase that hangs. The limits that users set (attempts, checks, model calls) are kept by the core.
LONGEST = timedelta(days=1)


async def is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task run is worth the same try again. Async on purpose: Prefect never retries on a sync one."""
    try:
        await state.aresult()
    except Transient:
        return True
    except Exception:
        return False
    return False


def phase(
    name: str, label: str, *, limit: timedelta = LONGEST
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Make a Prefect task of a phase: `name` in the UI, `label` for its task runs, with `{parameter}` in braces.

    Nothing is cached or persisted: results live in the ledger, and a repeated phase finds there what is done already.
    """
    return task(
        name=name,
        task_run_name=label,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=2),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_transient,
        timeout_seconds=limit.total_seconds(),
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def tag(*tags: str) -> None:
    """Tag the task run that is going on.

    Not tags of the task: Prefect asks the server for a concurrency slot per tag before each task run, which puts the
    server's latency into every phase, and they could not name the item. These reach the server with the next state.
    """
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags.extend(tag for tag in tags if tag not in context.task_run.tags)
