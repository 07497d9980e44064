"""Looking at runs: show, list, tail, verify, schema. Reads the ledger and run folders; needs neither Prefect nor pandas."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter, validators

from aurea.domain.errors import UsageError
from aurea.domain.events import AnyFact, Event
from aurea.domain.state import RunState
from aurea.home import Home
from aurea.reporting.schemas import RunStatus
from surfaces.cli import context, overdue

Json = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]
POLL_S = 0.3


def show(
    run: str = "latest", /, *, item: str | None = None, events: Flag = False, files: Flag = False, diff: Flag = False,
    prompt: Flag = False, attempt: int | None = None, json: Json = False,
) -> int:  # fmt: skip
    """The state of a run; ends with the commands to inspect, merge and discard it.

    Parameters
    ----------
    run
        A run id, a unique prefix of one, or `latest`.
    item
        Only this work item, with its attempts, where their logs are, and what its agents said and did.
    events
        Its events, too.
    files
        The files that the run added or changed, with their hashes.
    diff
        What landed, as a unified diff; with `--item` only what that work item landed.
    prompt
        Instead of all that, what the agents of the item were told, part by part; without `--item` the planner.
    attempt
        With `--item` or `--prompt` only this attempt, or planning round; of prompts else the latest.
    json
        The run document (schema `aurea.run/1`).
    """
    from aurea.reporting.document import run_document
    from surfaces.cli import equipment, render, talk, telling
    from surfaces.cli.changes import landed_diff, print_diff

    with Home(context.current().settings) as home:
        name = home.find(run)
        state, folder = overdue.look(home, name), home.folder(name)
        if item is not None:
            _require_item(state, item)
        document = run_document(state, alive=home.alive(name), folder=folder, now=home.clock.now())
        said = talk.conversations(folder, document, item, attempt) if item is not None else []
        if item is not None:
            said += telling.under_way(state, home.ledger, item, attempt, alive=home.alive(name))
        began = equipment.equipment(state, home.ledger, item, attempt) if item is not None else []
        shown = talk.prompts(state, home.ledger, item, attempt) if prompt else []
        landed = _read(folder / "manifest.json").get("files", []) if files else None
        told = [event for event in home.ledger.events(name) if item in (None, event.item)] if events else []
        changed = landed_diff(state, item) if diff else ""
        _tell_of(home, [document])
        if json:
            document |= {"files": landed} if files else {}
            document |= {"events": [event.document() for event in told]} if events else {}
            document |= {"diff": changed} if diff else {}
            document |= {"conversations": said, "equipment": began} if item is not None else {}
            document |= {"prompts": shown} if prompt else {}
            context.print_json(document)
            return 0
        if prompt:
            talk.print_prompts(shown)
            return 0
        if item is not None:
            talk.print_conversations(said)
            equipment.print_equipment(began)
            talk.print_notes(document, item)
            print()
        render.print_run(document, item=item, files=landed)
        for event in told:
            print(render.event_line(event))
        if diff:
            print_diff(changed)
    return 0


def list_runs(
    *, limit: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 20, state: RunStatus | None = None,
    since: str | None = None, json: Json = False,
) -> int:  # fmt: skip
    """Runs, newest first.

    Parameters
    ----------
    limit
        At most so many; 20 where nothing is said.
    state
        Only runs in this state.
    since
        Only runs begun since then: a date, a time (ISO 8601), or an age like 12h or 7d.
    json
        A JSON list of run documents without their details.
    """
    from aurea.reporting.document import run_row
    from surfaces.cli import render

    earliest = _moment(since) if since is not None else None
    rows: list[dict[str, Any]] = []
    with Home(context.current().settings) as home:
        for name in home.ledger.runs():
            if len(rows) >= limit:
                break
            run = overdue.look(home, name)
            if earliest and run.started and run.started < earliest:
                break
            row = run_row(run, alive=home.alive(name), folder=home.folder(name), now=home.clock.now())
            if state is None or row["state"] == state:
                rows.append(row)
        _tell_of(home, rows)
    if json:
        context.print_json(rows)
    else:
        render.print_runs(rows, chosen=bool(state or since or limit == 0))
    return 0


def tail(
    run: str = "latest", /, *, item: str | None = None, type: str | None = None,  # noqa: A002
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False, json: Json = False,
) -> int:  # fmt: skip
    """Events as they come.

    Parameters
    ----------
    run
        A run id, a unique prefix of one, or `latest`.
    item
        Only events of this work item, with what its agents say, word for word as it comes, and what tools answer.
    type
        Only events of this type (`check.ended`), or of all that begin so (`model`).
    follow
        Wait for more until the run ends.
    json
        JSON Lines (schema `aurea.event/1`).
    """
    from surfaces.cli import telling

    if type is not None:
        _require_type(type)
    with Home(context.current().settings) as home:
        name, last = home.find(run), 0
        if item is not None and ((state := home.state(name)).plan is not None or not follow):
            _require_item(state, item)
        teller = telling.Teller(home.ledger, words=item is not None)
        while True:
            news: list[Event] = []
            for event in home.ledger.events(name, after=last):
                last = event.seq
                if (item is None or event.item == item) and (type is None or event.type.startswith(type)):
                    if json:
                        print(_line(event.document()), flush=True)
                    else:
                        news.append(event)
            for text in teller.text(news):
                print(text, end="", flush=True)
            if not follow or (home.state(name).ended is not None and not home.alive(name)):
                print(teller.end(), end="", flush=True)
                return 0
            time.sleep(POLL_S)


def verify(run: str | None = None, /, *, json: Json = False) -> int:
    """Recompute the ledger's chain and compare it with run folders and manifests; 0 sound, 1 broken.

    Parameters
    ----------
    run
        Compare the folder of this run only; the chain is always recomputed whole.
    json
        The result as JSON.
    """
    from aurea.bootstrap import landed_hashes
    from aurea.ledger.verify import verify as recompute
    from surfaces.cli import render

    with Home(context.current().settings) as home:
        name = home.find(run) if run else None
        own = home.settings.ledger_url is None
        found = recompute(home.store, home.settings.home, name, landed_hashes(home), own=own, where=home.where)
    if json:
        context.print_json({"schema": "aurea.verify/1", **found.document()})
    else:
        render.print_verification(found)
    return 0 if found.ok else 1


def schema(what: Literal["spec", "template", "run", "event", "manifest", "question"] = "spec", /) -> int:
    """JSON schema of what Aurea reads and writes.

    Parameters
    ----------
    what
        spec, template, run, event, manifest or question.
    """
    if what == "spec":
        from aurea.intake.schema import spec_schema

        context.print_json(spec_schema())
    elif what == "template":
        from aurea.intake.schema import template_schema

        context.print_json(template_schema())
    else:
        from aurea.reporting.schemas import schema_of

        context.print_json(schema_of(what))
    return 0


def _tell_of(home: Home, documents: Sequence[Mapping[str, Any]]) -> None:
    """Let Prefect show as Crashed what these run documents show as interrupted, since its process is gone."""
    if any(document["state"] == "interrupted" and document["reason_code"] is None for document in documents):
        from surfaces.server.dead import tell_of_the_dead

        tell_of_the_dead(home.settings.home)


def _require_item(state: RunState, item: str) -> None:
    if item not in state.items:
        known = f"its items are {', '.join(state.items)}" if state.items else "it has no plan yet"
        raise UsageError(f"run {state.id!r} has no work item {item!r}", remedy=known)


def _require_type(prefix: str) -> None:
    types = [fact.model_fields["type"].default for fact in get_args(get_args(AnyFact)[0])]
    if not any(known.startswith(prefix) for known in types):
        raise UsageError(f"no event is of the type {prefix!r}", remedy=f"the types are {', '.join(sorted(types))}")


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def _read(path: Any) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _moment(text: str) -> datetime:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if text[:-1].isdecimal() and text[-1] in units:
            return datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since: {text!r} is no date, time or age", remedy="for example 2030-01-31, 12h or 7d"
        ) from None
    return moment if moment.tzinfo else moment.astimezone()
