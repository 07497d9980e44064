"""The guardian's model: asked how a conversation goes, where the spec names one. Its answer nudges, it never ends anything."""

from __future__ import annotations

from collections.abc import Sequence

from aurea.agents.arguments import as_object
from aurea.agents.briefs import untrusted
from aurea.agents.compact import recent
from aurea.agents.guardian import Look
from aurea.agents.repair import known_tools, repaired
from aurea.agents.results import JUDGEMENT
from aurea.agents.roles import prompt
from aurea.agents.transcript import Looks
from aurea.domain.errors import Blocked, Permanent, ToolRefused, Transient
from aurea.domain.messages import Address, Message, ModelRef, ModelReply, ModelRequest, SystemMessage, UserMessage
from aurea.ports import ModelClient

TASK = 8_000
TURNS = 12
CALLS = 8_000
TIME_S = 60.0
ANSWER_TOKENS = 4_096  # some models think before they answer


async def judge(
    client: ModelClient,
    model: ModelRef,
    at: Address,
    task: str,
    messages: Sequence[Message],
    look: Look,
    number: int,
    log: Looks,
) -> tuple[int, str, str] | None:
    """Alignment, trajectory and advice of look `number`; None where there was no usable answer, which holds nobody up.

    `Blocked` is the caller's: a key that is missing is to be told of. Where there is no money for it, none is asked.
    """
    counted = "; ".join(look.signals) or "nothing speaks against it"
    shown = (
        f"## The task\n{untrusted('the task of the agent', task, TASK)}\n\n"
        f"## What was counted\nScore {look.score} of 100: {counted}.\n\n"
        f"## Its last calls\n{untrusted('calls and answers', recent(messages, TURNS), CALLS)}\n"
    )
    request = ModelRequest(
        address=at,
        model=model,
        messages=(SystemMessage(text=prompt("guardian")), UserMessage(text=shown)),
        tools=(JUDGEMENT.spec,),
        max_output_tokens=ANSWER_TOKENS,
        timeout_s=TIME_S,
    )
    try:
        reply = await client.complete(request)
    except Blocked:
        raise
    except (Transient, Permanent) as fault:
        log.add(number, *request.messages, note=f"No answer: {fault.message}")
        return None
    judged = _judgement(reply)
    log.add(number, *request.messages, reply.message, note="" if judged else "This is no judgement.")
    return judged


def _judgement(reply: ModelReply) -> tuple[int, str, str] | None:
    mended, _ = repaired(reply, known_tools({}, JUDGEMENT))
    for call in mended.calls:
        if call.name == JUDGEMENT.name:
            try:
                said = JUDGEMENT.result(as_object(call.arguments))
            except ToolRefused:
                return None
            return said["alignment"], said["trajectory"], said["advice"]
    return None
