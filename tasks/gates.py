"""The questions of a run as paused flow runs: opened, adopted after a crash, looked at together, closed at the end.

Gates live on a thread of their own, whose end is the process's: a process that leaves while a question is open leaves
the gate *Paused*, exactly as one that was killed does, and the next process adopts it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.flow_engine import run_flow_async
from prefect.states import Pending

from aurea.delivery.answers import pending
from aurea.delivery.context import Run
from aurea.domain.evidence import Question
from tasks.flow_run import RUN_TAG, run_tags
from tasks.gate import Gate, closing, record_answer, stored_answer
from tasks.pick_up import LEFT, left_gates

QUESTION_TAG = "question:"
LOOK_S = 1.0
RETRY_S = 5.0
SHOWN_S, SHOWN_EACH_S = 10.0, 0.5
ENDED = (StateType.COMPLETED, StateType.CANCELLED)  # as a person, or an answer, ends a gate

_log = logging.getLogger(__name__)
_of_run: dict[str, Gates] = {}


async def wait_for_decision(run: str, question: str) -> State[Any]:
    """The body of `human_gate`: returns how the question was closed, whenever that is."""
    return await _of_run[run].gate(question).decide()


class Gates:
    """The gates of one run in this process, to be used `async with`. `flow` is the flow `human_gate`."""

    def __init__(self, run: Run, flow: Flow[..., Any]) -> None:
        self._run = run
        self._flow = flow
        self._flow_id = ""
        self._gates: dict[str, Gate] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        # One at a time: a server on SQLite refuses the creation of a flow run beside other writes, and each refusal costs
        # seconds, where the opening of a gate takes a sixth of one.
        self._opening = asyncio.Lock()
        self._left = False

    async def __aenter__(self) -> Gates:
        _of_run[self._run.id] = self
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._left = True

    def gate(self, question: str) -> Gate:
        """The gate of a question that was opened here."""
        return self._gates[question]

    def open(self, question: str) -> None:
        """Show a question as a paused run from now on; returns at once, and does nothing where it is shown already."""
        if question in self._gates:
            return
        gate = self._gates[question] = Gate(self._run, question)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="gates", daemon=True).start()
            asyncio.run_coroutine_threadsafe(self._look(), self._loop)
        asyncio.run_coroutine_threadsafe(self._show(gate), self._loop)

    async def collect(self) -> None:
        """Bring to the ledger what was answered while nobody worked on the run, and to Prefect what was closed elsewhere."""
        async with get_client() as client:
            for flow_run in await left_gates(client, self._run.id):
                await client.update_flow_run(flow_run.id, name=flow_run.name.removesuffix(LEFT))
            for flow_run in await self._unfinished(client):
                name = question_of(flow_run)
                if name in self._run.state.questions and not _paused(flow_run):
                    values = await stored_answer(client, flow_run)
                    if values is not None and (refused := await record_answer(self._run, name, values)):
                        _log.warning("the answer to %s was refused: %s", name, refused)
                if name in self._run.state.asked_questions and name not in self._run.state.questions:
                    await client.set_flow_run_state(flow_run.id, closing(self._run.state, name), force=True)

    async def shown(self) -> None:
        """Wait until every open question can be answered in Prefect, and every other one is closed there."""
        for name in self._run.state.questions:
            self.open(name)
        if self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._wake_closed)
        for _ in range(round((SHOWN_S + SHOWN_EACH_S * len(self._gates)) / 0.1)):
            if all(gate.at_rest for gate in self._gates.values()):
                return
            await asyncio.sleep(0.1)
        _log.warning("not every question stands in Prefect as it should; `aurea inbox` has them all")

    async def leave(self, state: State[Any]) -> State[Any]:
        """Leave a deployed run's questions to whoever answers them: from here on an answer starts the flow run again.

        An answer that came too late for this process and too early for that is picked up at once. Returns `state`.
        """
        ended = self._run.state.ended
        suspended = state.state_details.pause_reschedule and ended is not None and ended.state == "waiting"
        if not suspended or self._loop is None:
            return state
        try:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._mark_left(), self._loop))
            await self.shown()
            await asyncio.to_thread(self._run.ledger.refresh, self._run.id)
            if pending(self._run):
                await self._pick_up()
        except (httpx.HTTPError, ObjectNotFound) as fault:
            _log.warning("an answer will not start the run again, but `aurea resume` does: %s", fault)
        return state

    async def _mark_left(self) -> None:
        async with get_client() as client:
            for gate in self._gates.values():
                if gate.is_open and gate.flow_run:
                    await client.update_flow_run(UUID(gate.flow_run), name=gate_name(gate.question) + LEFT)
            await self._wake_resumed(client)

    async def _pick_up(self) -> None:
        async with get_client() as client:
            for gate in self._gates.values():
                if gate.flow_run:
                    await client.update_flow_run(UUID(gate.flow_run), name=gate_name(gate.question) + LEFT)
            deployment = await client.read_deployment_by_name("pick_up/pick_up")
            await client.create_flow_run_from_deployment(deployment.id)

    async def _look(self) -> None:
        """Once a second, with one small request for all gates, wake those that are not what they were."""
        async with get_client() as client:
            while not self._left:
                await asyncio.sleep(LOOK_S)
                self._wake_closed()
                if any(gate.paused for gate in self._gates.values()):
                    try:
                        await self._wake_resumed(client)
                    except httpx.HTTPError as fault:  # a server that is away for a moment has no news
                        _log.debug("the open questions could not be looked at: %s", fault)

    def _wake_closed(self) -> None:
        for gate in self._gates.values():
            if not gate.is_open:
                gate.wake()

    async def _wake_resumed(self, client: PrefectClient) -> None:
        waiting = {gate.flow_run: gate for gate in self._gates.values() if gate.paused}
        not_paused = {"id": {"any_": list(waiting)}, "state": {"type": {"not_any_": ["PAUSED"]}}}
        answer = await client.request("POST", "/flow_runs/filter", json={"flow_runs": not_paused})
        for flow_run in answer.json():
            waiting[flow_run["id"]].wake()

    async def _show(self, gate: Gate) -> None:
        """Carry the gate's flow run out, again after an error, until the question is closed."""
        while gate.is_open and not self._left:
            try:
                async with self._opening, get_client() as client:
                    flow_run = await self._flow_run(client, gate)
                    adopted = await gate.adopt(client, flow_run)
                if adopted:
                    await gate.resumed()
                    async with get_client() as client:
                        flow_run = await client.read_flow_run(flow_run.id)
                if flow_run.state_type in ENDED:
                    break
                async with self._opening:
                    carried_out = asyncio.ensure_future(
                        run_flow_async(
                            self._flow, flow_run=flow_run, parameters=flow_run.parameters, return_type="state"
                        )
                    )
                    await gate.opened(carried_out)
                ended = await carried_out
                assert ended is not None
                if ended.type in ENDED:
                    break
                _log.warning("question %s could not be shown in Prefect: %s", gate.question.id, ended.message)
            except Exception:  # it stands in the ledger and can be answered there; only this door to it is missing
                _log.warning("question %s could not be shown in Prefect", gate.question.id, exc_info=True)
            await asyncio.sleep(RETRY_S)
        if gate.is_open and not self._left:
            _log.warning("question %s was closed in Prefect; `aurea inbox` has it still", gate.question.id)
        if not (gate.is_open or gate.flow_run):
            await self._close(gate)
        gate.over = True

    async def _close(self, gate: Gate) -> None:
        """End the flow run in which a former process showed a question that was closed before it was shown here."""
        try:
            async with get_client() as client:
                for flow_run in await self._unfinished(client):
                    if (name := question_of(flow_run)) == gate.question.id:
                        await client.set_flow_run_state(flow_run.id, closing(self._run.state, name), force=True)
        except httpx.HTTPError as fault:
            _log.warning("question %s is closed, but still open in Prefect: %s", gate.question.id, fault)

    async def _flow_run(self, client: PrefectClient, gate: Gate) -> FlowRun:
        """The one flow run of a question: the server finds it by its key, or makes it. One that crashed begins again."""
        question = gate.question
        self._flow_id = self._flow_id or str(await client.create_flow(self._flow))
        body = {
            "flow_id": self._flow_id,
            "name": gate_name(question),
            "parameters": {"run": self._run.id, "question": question.id},
            "tags": [
                *run_tags(self._run.id, self._run.spec.project),
                f"{QUESTION_TAG}{question.id}",
                f"kind:{question.kind}",
            ],
            "idempotency_key": f"gate/{self._run.id}/{question.id}",
            "state": {"type": "PENDING"},
        }
        answer = await client.request("POST", "/flow_runs/", json=body)
        flow_run = await client.read_flow_run(answer.json()["id"])
        if flow_run.state_type in (StateType.CRASHED, StateType.FAILED):
            await client.set_flow_run_state(flow_run.id, Pending(message="asked again"), force=True)
            flow_run = await client.read_flow_run(flow_run.id)
        return flow_run

    async def _unfinished(self, client: PrefectClient) -> list[FlowRun]:
        """The gates of this run that neither an answer nor a person has ended."""
        return await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[self._flow.name])),
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=[f"{RUN_TAG}{self._run.id}"]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=list(ENDED))),
            ),
        )


def gate_name(question: Question) -> str:
    """How the flow run of a question is called while a process is at work."""
    return f"{question.kind}: {question.title}"[:200]


def question_of(flow_run: FlowRun) -> str:
    """The question that a gate asks."""
    return next((tag.removeprefix(QUESTION_TAG) for tag in flow_run.tags if tag.startswith(QUESTION_TAG)), "")


def _paused(flow_run: FlowRun) -> bool:
    return flow_run.state_type is StateType.PAUSED
