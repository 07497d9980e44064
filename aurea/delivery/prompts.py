"""What agents are shown: made once for a conversation, kept in the ledger, and told in the same words ever after."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aurea.agents import roles
from aurea.agents.briefs import RULES, Known
from aurea.agents.parts import Part, Prompt
from aurea.delivery.context import Run
from aurea.domain.events import DecisionLogged, InsightPosted, PromptGiven
from aurea.domain.lifecycle import Actor
from aurea.ledger.chain import digest
from aurea.ports import Ledger


async def told(
    run: Run,
    role: str,
    conversation: str,
    item: str | None,
    attempt: int,
    make: Callable[[], Awaitable[tuple[Part, ...]]],
) -> Prompt:
    """The prompt of a conversation: as it was told before, else made now and recorded before anybody is told it."""
    kept = run.state.prompts.get((item, attempt, conversation))
    if kept is not None:
        return read(run.ledger, kept, role)
    body, text = sealed(role, await make())
    given = PromptGiven(conversation=conversation, role=role, body=body)
    await run.record(given, actor=Actor.MANAGER, item=item, attempt=attempt, bodies={body: text})
    return read(run.ledger, body, role)


def sealed(role: str, parts: tuple[Part, ...]) -> tuple[str, str]:
    """A prompt for `role` as a body of the ledger: its digest and its text."""
    text = Prompt(system=roles.prompt(role), parts=parts).model_dump_json()
    return digest(text), text


def read(ledger: Ledger, body: str, role: str) -> Prompt:
    """The prompt for `role` that is kept in `body`."""
    return Prompt.stored(ledger.body(body), roles.prompt(role))


async def known(run: Run) -> Known:
    """What everybody who begins now is shown: the project's rules, and what agents have handed in."""
    insights = [(n.fact.text, n.author) for n in run.state.insights if isinstance(n.fact, InsightPosted)]
    decisions = [
        (f"{n.fact.title}: {n.fact.text}", n.author) for n in run.state.decisions if isinstance(n.fact, DecisionLogged)
    ]
    if run.rules is None:  # the base does not change
        run.rules = await rules(run)
    return Known(run.rules, tuple(reversed(insights)), tuple(decisions), run.spec.context)


async def rules(run: Run) -> str:
    """The rules of the repository as the base has them, whatever agents make of the file; empty where it has none."""
    assert run.state.created is not None
    base = run.state.created.base.sha
    text = await run.repository.read(base, RULES)
    if text is not None and re.fullmatch(rb"(?:\./)?[\w-][\w./-]{0,200}", text) and b".." not in text:
        text = await run.repository.read(base, text.decode().removeprefix("./")) or text  # a link to another file
    return "" if text is None or b"\0" in text else text.decode("utf-8", "replace")
