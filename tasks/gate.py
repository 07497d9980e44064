"""One question as a flow run: it pauses with the form, takes the answer or says why not, until the question is closed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_runs import apause_flow_run
from prefect.input.actions import acreate_flow_run_input, adelete_flow_run_input
from prefect.states import Cancelled, Completed
from prefect.utilities.urls import url_for

from aurea.delivery.answers import check_answer
from aurea.delivery.context import Run
from aurea.domain.errors import AureaError
from aurea.domain.events import QuestionAnswered, QuestionShown
from aurea.domain.state import RunState
from tasks.decision import decision_form, describe, given_fields
from tasks.logs import log_of_flow_runs, of_this_flow_run

T = TypeVar("T")
YEAR_S = 365 * 86_400

_log = logging.getLogger(__name__)


class Gate:
    """The flow run of one question in this process. Lives on the loop of the gates; hops to the run's to record."""

    def __init__(self, run: Run, question: str) -> None:
        self.question = run.state.asked_questions[question]
        self.flow_run: str = ""
        self.paused = False
        self.over = False
        self._run = run
        self._news = asyncio.Event()
        self._first_pause = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether nobody has answered yet."""
        return self.question.id in self._run.state.questions

    @property
    def at_rest(self) -> bool:
        """Whether Prefect shows what the ledger says: a pause that can be answered, or the end."""
        return self.over or (self.paused and self.is_open)

    def wake(self) -> None:
        """Let it look again: its flow run was resumed or cancelled, or its question was closed elsewhere."""
        self._news.set()

    async def opened(self, carried_out: asyncio.Future[Any]) -> None:
        """Wait until it can be answered, or was carried out without coming to that."""
        paused = asyncio.ensure_future(self._first_pause.wait())
        await asyncio.wait({paused, carried_out}, return_when=asyncio.FIRST_COMPLETED)
        paused.cancel()

    async def adopt(self, client: PrefectClient, flow_run: FlowRun) -> bool:
        """Keep the pause that a former process left, to be `resumed`; False where there is none that can be answered.

        To carry the flow run out would end the pause and begin another: an answer at that moment would be refused.
        """
        keys = flow_run.state.state_details.run_input_keyset if flow_run.state and self.is_open else None
        if flow_run.state_type is not StateType.PAUSED or not keys:
            return False
        if await _input(client, flow_run, keys["schema"]) is None:  # it was killed before it had stored the form
            return False
        text = await self._at_home(self._described(""))
        if await _input(client, flow_run, keys["description"]) != text:  # as a new deadline changes it
            await adelete_flow_run_input(keys["description"], flow_run.id)
            await acreate_flow_run_input(keys["description"], text, flow_run.id)
        self.flow_run = str(flow_run.id)
        self._news.clear()
        await self._at_home(self._shown(flow_run))
        self.paused = True
        return True

    async def resumed(self) -> None:
        """Wait until something comes of a pause that was kept."""
        try:
            await self._news.wait()
        finally:
            self.paused = False

    async def decide(self) -> State[Any]:
        """The body of `human_gate`: pause until the question is closed, from here or through another door."""
        context = FlowRunContext.get()
        assert context is not None and context.flow_run is not None
        self.flow_run, note = str(context.flow_run.id), ""
        async with get_client() as client:
            while self.is_open:
                flow_run = await client.read_flow_run(context.flow_run.id)
                if flow_run.state is not None and (flow_run.state.is_final() or flow_run.state.is_cancelling()):
                    break
                if (values := await stored_answer(client, flow_run)) is not None:
                    note = await self._at_home(record_answer(self._run, self.question.id, values))
                if self.is_open:
                    await self._pause(flow_run, note)
        return closing(self._run.state, self.question.id)

    async def _pause(self, flow_run: FlowRun, note: str) -> None:
        """One pause, real and without a time limit; what wakes it is looked for by one request for all gates together."""
        key = f"a{len(flow_run.empirical_policy.pause_keys or ()) + 1:04}"  # a key works once
        self._news.clear()
        stored = asyncio.Event()
        text = await self._at_home(self._described(note))
        if note or not flow_run.empirical_policy.pause_keys:  # else it stands in the log already
            said = await self._at_home(self._described(note, plain=True))
            log_of_flow_runs().info("%s", said, extra=of_this_flow_run("human_gate"))
        form = decision_form(self.question, text, stored.set)
        pause = asyncio.ensure_future(
            apause_flow_run(wait_for_input=form, timeout=YEAR_S, poll_interval=YEAR_S, key=key)
        )
        answerable, news = asyncio.ensure_future(stored.wait()), asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({pause, answerable}, return_when=asyncio.FIRST_COMPLETED)
            if stored.is_set():
                await self._at_home(self._shown(flow_run))
                self.paused = True
                self._first_pause.set()
                await asyncio.wait({pause, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.paused = False
            for one in (pause, answerable, news):
                one.cancel()
            [refused, *_] = await asyncio.gather(pause, answerable, news, return_exceptions=True)
        if isinstance(refused, Exception):
            _log.debug("question %s could not pause: %s", self.question.id, refused)
            await asyncio.sleep(1)

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._run.loop))

    async def _described(self, note: str, *, plain: bool = False) -> str:
        return describe(self._run.state, self.question, note, plain=plain)

    async def _shown(self, flow_run: FlowRun) -> None:
        """Record where the question can be answered, once."""
        asked = self._run.state.questions.get(self.question.id)
        if asked is not None and (asked.shown is None or asked.shown.flow_run != str(flow_run.id)):
            shown = QuestionShown(question=self.question.id, flow_run=str(flow_run.id), ui_url=url_for(flow_run))
            await self._run.record(shown, item=self.question.item)


async def stored_answer(client: PrefectClient, flow_run: FlowRun) -> dict[str, Any] | None:
    """The newest answer that the server holds for a gate; None where nobody has answered."""
    for key in sorted(flow_run.empirical_policy.pause_keys or (), reverse=True):
        value = await _input(client, flow_run, f"paused-{key}-response")
        if value is not None:
            values: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
            return values
    return None


async def _input(client: PrefectClient, flow_run: FlowRun, key: str) -> Any:
    place = {"id": flow_run.id, "key": key}
    try:
        return (await client.request("GET", "/flow_runs/{id}/input/{key}", path_params=place)).json()
    except PrefectHTTPStatusError as fault:
        if fault.response.status_code == 404:
            return None
        raise


async def record_answer(run: Run, name: str, values: dict[str, Any]) -> str:
    """Record an answer that came through Prefect; returns why it was refused, nothing where the question is closed now."""
    question = run.state.asked_questions[name]
    choice = str(values.get("choice"))
    try:
        checked = check_answer(run.state, name, choice, given_fields(question, choice, values))
        reason = values.get("reason") or None
        answer = QuestionAnswered(question=name, choice=choice, fields=checked, reason=reason, door="ui")
        await run.record(answer, actor="unknown", item=question.item)
    except AureaError as refused:
        why = f"{refused.message} ({refused.remedy})" if refused.remedy else refused.message
        return why if name in run.state.questions else ""
    return ""


def closing(state: RunState, question: str) -> State[Any]:
    """The state in which the flow run of a question that is not open any more ends."""
    if (answer := state.answers.get(question)) is not None:
        return Completed(message=f"answered through {answer.door}: {answer.choice}")
    if question in state.withdrawn:
        return Cancelled(message=state.withdrawn[question])
    return Cancelled(message=f"closed here without an answer; `aurea decide {question}` answers it")
