"""The flow `upkeep`: once a day deadlines are applied, the ledger verified, the home cleaned, and what landed gated again."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from tasks.flow_run import dated_name
from tasks.runner import HomeLoopTaskRunner
from tasks.upkeep import apply_deadlines, clean_home, publish_upkeep, run_gates_again, verify_ledger


@flow(name="upkeep", flow_run_name=dated_name("upkeep"), task_runner=HomeLoopTaskRunner(), persist_result=False)
async def upkeep(
    older_than_days: Annotated[float, Field(ge=0, title="days")] | Annotated[None, Field(title="never")] = None,
    gates: bool = True,
) -> State[Any]:
    """Keep a home true and tidy: fails where the ledger is broken, or where a target is not green any more.

    Args:
        older_than_days: also remove attempt refs and run folders of runs that ended longer ago
        gates: run setup and checks again on the target of each project's newest run that succeeded
    """
    answered = await apply_deadlines()
    problems = await verify_ledger()
    cleaned = await clean_home(older_than_days)
    rows = await run_gates_again() if gates else []
    await publish_upkeep(problems, answered, cleaned, rows)
    red = [f"{row['project']} ({row['run']})" for row in rows if row["result"] == "red"]
    if problems or red:
        found = [f"the ledger is broken: {problems[0]}"] if problems else []
        found += [f"no longer green: {', '.join(red)}"] if red else []
        return Failed(message="; ".join(found))
    return Completed(message=f"sound; {cleaned}")
