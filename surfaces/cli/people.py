"""What people tell runs: answers to questions, cancel, pause, and the emergency halt of a whole home."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from cyclopts import Parameter

from aurea.domain.errors import Permanent, UsageError
from aurea.domain.events import Draft, OrderGiven, QuestionAnswered
from aurea.domain.lifecycle import UNFINISHED
from aurea.home import Home
from surfaces.cli import context, overdue
from surfaces.cli.user import user_name

Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="")]
CANCEL_S = 60.0
POLL_S = 0.1


def inbox(*, run: str | None = None, json: Json = False) -> int:
    """Open questions, oldest first.

    Parameters
    ----------
    run
        Only those of this run.
    json
        A JSON list of questions with the form of each answer.
    """
    from aurea.reporting.document import question_documents
    from surfaces.cli import render

    with Home(context.current().settings) as home:
        names = [home.find(run)] if run else home.ledger.runs()
        found = [question for name in names for question in question_documents(overdue.look(home, name))]
    found.sort(key=lambda question: question["asked_at"])
    if json:
        context.print_json(found)
    else:
        render.print_inbox(found)
    return 0


def decide(
    question: str,
    /,
    *,
    choice: str,
    field: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    reason: str | None = None,
    json: Json = False,
) -> int:
    """Answer an open question. The first valid answer wins; an invalid one changes nothing.

    Parameters
    ----------
    question
        Its id, as `aurea inbox` shows it.
    choice
        One of the choices it offers.
    field
        NAME=VALUE of the chosen answer; the same name again makes a list, and so does a JSON list.
    reason
        Why; also fills a field `reason`.
    json
        What was recorded, as JSON.
    """
    from aurea.delivery.answers import check_answer
    from surfaces.server.gates import answering, close_gate, resume_suspended

    with Home(context.current().settings) as home:
        name = _run_of(home, question)
        state = overdue.look(home, name)
        fields = _fields(field)
        kind = state.questions[question].question.kind if question in state.questions else None
        if reason is not None and kind is not None and "reason" in _form(kind, choice):
            fields.setdefault("reason", reason)
        checked = check_answer(state, question, choice, fields)
        answer = QuestionAnswered(
            question=question, choice=choice, fields=checked, reason=reason, door="cli", authenticated=True
        )
        about = state.asked_questions[question].item
        with answering(home.settings.home, question) as first:
            if not first:
                raise _answered_in_prefect(home, name, question)
            try:
                [event] = home.ledger.append(name, [Draft(fact=answer, actor=user_name(), item=about)])
            except Permanent:
                if given := home.state(name).answers.get(question):
                    close_gate(home.settings.home, question, given.choice)
                check_answer(home.state(name), question, choice, fields)  # says who was first
                raise
        close_gate(home.settings.home, question, choice)
        ended = home.state(name).ended
        waits = ended is not None and ended.state == "waiting"  # one that was paused stays so
        resumed = waits and resume_suspended(home.settings.home, name)
        if json:
            context.print_json(event.document())
        elif resumed:
            print(f"{question}: {choice}; run {name} goes on where its deployment works")
        elif home.alive(name) and not waits:
            print(f"{question}: {choice}; the run at work takes it up")
        else:
            print(f"{question}: {choice}; `aurea resume {name}` goes on with it")
    return 0


def cancel(run: str, /, *, item: str | None = None, reason: str = "") -> int:
    """End a run for good, with every process of it, wherever it works; or one item with what depends on it.

    Parameters
    ----------
    run
        A run id, a unique prefix of one, or `latest`.
    item
        Only this work item; the run goes on without it.
    reason
        Why, for the ledger.
    """
    from surfaces.server.dead import tell_of_the_dead
    from surfaces.server.gates import close_run

    with Home(context.current().settings) as home:
        name = home.find(run)
        state = home.state(name)
        if state.finished:
            raise UsageError(f"run {name!r} has ended already")
        if item is not None and item not in state.items:
            raise UsageError(f"run {name!r} has no work item {item!r}", remedy=f"it has {', '.join(state.items)}")
        if item is not None and (there := state.items[item].state) not in UNFINISHED:
            raise UsageError(f"{item} is {there.value} already")
        order = OrderGiven(order="cancel", reason=reason)
        home.ledger.append(name, [Draft(fact=order, actor=user_name(), item=item)])
        if item is not None:
            after = "is ended" if home.alive(name) else f"is abandoned when `aurea resume {name}` goes on"
            print(f"{item} {after}")
            return 0
        if not _ended(home, name):
            from aurea.bootstrap import end_cancelled

            asyncio.run(end_cancelled(home, name))
            tell_of_the_dead(home.settings.home)
        close_run(home.settings.home, name)
        print(f"run {name} is cancelled; what has landed stays")
    return 0


def pause(run: str, /, *, interrupt: Flag = False, reason: str = "") -> int:
    """Start no new attempts of a run; `aurea resume` goes on.

    Parameters
    ----------
    run
        A run id, a unique prefix of one, or `latest`.
    interrupt
        Interrupt running attempts, too; they go on from where they were.
    reason
        Why, for the ledger.
    """
    with Home(context.current().settings) as home:
        name = home.find(run)
        if not home.alive(name):
            raise UsageError(f"nobody works on run {name!r}, so there is nothing to pause")
        order = OrderGiven(order="pause", interrupt=interrupt, reason=reason)
        home.ledger.append(name, [Draft(fact=order, actor=user_name())])
        print(f"run {name} pauses; `aurea resume {name}` goes on")
    return 0


def halt(*, reason: str = "halted") -> int:
    """Freeze everything of this home, for emergencies: running attempts are interrupted, nothing new starts.

    Parameters
    ----------
    reason
        Why, for the ledgers of the runs.
    """
    with Home(context.current().settings) as home:
        home.halt(f"{reason} (by {user_name()})")
        order = OrderGiven(order="pause", interrupt=True, reason=reason)
        for name in home.ledger.runs():
            if home.alive(name):
                home.ledger.append(name, [Draft(fact=order, actor=user_name())])
                print(f"run {name} is interrupted")
    print("nothing starts in this home until `aurea unhalt`")
    return 0


def unhalt() -> int:
    """End a halt. Interrupted runs go on with `aurea resume`."""
    with Home(context.current().settings) as home:
        if not home.unhalt():
            raise UsageError("this home is not halted")
        for name in home.ledger.runs():
            ended = home.state(name).ended
            if ended is not None and ended.state == "paused":
                print(f"aurea resume {name}")
    return 0


def _answered_in_prefect(home: Home, run: str, question: str) -> UsageError:
    """What a person is told whose answer came after one that Prefect holds and that nobody has taken up yet."""
    taker = "the run at work takes" if home.alive(run) else f"`aurea resume {run}` takes"
    return UsageError(
        f"question {question} was answered in Prefect already",
        remedy=f"{taker} that answer up; if it is refused, the question is open again",
    )


def _run_of(home: Home, question: str) -> str:
    for name in home.ledger.runs():
        if question in home.state(name).asked_questions:
            return name
    raise UsageError(f"there is no question {question!r}", remedy="`aurea inbox` shows the open ones")


def _fields(texts: tuple[str, ...]) -> dict[str, Any]:
    """`NAME=VALUE` words as fields: JSON lists are lists, a repeated name makes one."""
    import json as jsonlib

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--field {text!r} is not NAME=VALUE")
        parsed: Any = value
        if value.lstrip().startswith("["):
            try:
                parsed = jsonlib.loads(value)
            except ValueError:
                raise UsageError(f"--field {name}: {value!r} begins like a JSON list and is none") from None
        if name in found:
            before = found[name] if isinstance(found[name], list) else [found[name]]
            parsed = [*before, *(parsed if isinstance(parsed, list) else [parsed])]
        found[name] = parsed
    return found


def _form(kind: Any, choice: str) -> dict[str, Any]:
    from aurea.domain.forms import form

    properties: dict[str, Any] = form(kind).get(choice, {}).get("properties", {})
    return properties


def _ended(home: Home, run: str) -> bool:
    """Wait until the process at work has ended the run; False where no process works on it."""
    until = time.monotonic() + CANCEL_S
    while home.alive(run) or home.state(run).finished:
        if home.state(run).finished and not home.alive(run):
            return True
        if time.monotonic() > until:
            raise Permanent(
                f"{home.holder(run)} did not end run {run!r} within {CANCEL_S:g} s", remedy="end that process"
            )
        time.sleep(POLL_S)
    return False
