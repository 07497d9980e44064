"""Telling people that a question opened or a run ended, through the block `aurea-notification`. Best effort."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aurea.delivery.context import Run
from aurea.domain.events import Event, QuestionAsked, QuestionShown, RunEnded
from aurea.domain.evidence import Question
from aurea.reporting.document import question_documents, run_row
from aurea.reporting.text import money
from blocks.kept import kept
from blocks.notification import AureaNotification
from tasks.logs import LOGGER, of_this_flow_run

SHOWN_S = 20.0  # how long a question waits for its link
FOLLOW_S = 0.01
SEND_S = 8.0  # longer than our own webhook takes to give up; any other block may hang for ever
LEAVE_S = 5.0  # how long the end of the flow run waits for what is being sent


@asynccontextmanager
async def notices(run: Run) -> AsyncIterator[None]:
    """Tell of questions and of the end for as long as the block lasts. Nothing that goes wrong here reaches the run."""
    notifier = _Notifier(run)
    leave = run.ledger.subscribe(notifier.hear)
    notifier.begin()
    try:
        yield
    finally:
        leave()
        await notifier.finish()


class _Notifier:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._log = logging.LoggerAdapter(logging.getLogger(LOGGER), of_this_flow_run())
        self._block = asyncio.ensure_future(self._read())
        self._shown: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._heard: list[Event] = []
        self._sending: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Tell of what a process that died had asked and not shown yet."""
        for asked in self._run.state.questions.values():
            if asked.shown is None:
                self._start(self._tell_question(asked.question, self._shown[asked.question.id]))

    def hear(self, events: Sequence[Event]) -> None:
        """Listen to the ledger, on its thread."""
        for event in events:
            if event.run == self._run.id and isinstance(event.fact, QuestionAsked | QuestionShown | RunEnded):
                self._run.loop.call_soon_threadsafe(self._take, event)

    async def finish(self) -> None:
        """Let what is being sent end, for a while."""
        self._catch_up()
        for shown in self._shown.values():
            shown.set()
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=LEAVE_S)
            for task in late:
                task.cancel()
            if late:
                self._log.warning("%-12s  left while people were being notified", "run")
        self._block.cancel()

    def _take(self, event: Event) -> None:
        self._heard.append(event)
        self._catch_up()

    def _catch_up(self) -> None:
        """Act on what was heard of as soon as the state follows it, which is a moment later."""
        known = self._run.state.last_seq
        ready = [event for event in self._heard if event.seq <= known]
        self._heard = [event for event in self._heard if event.seq > known]
        for event in ready:
            self._act(event)
        if self._heard:
            self._run.loop.call_later(FOLLOW_S, self._catch_up)

    def _act(self, event: Event) -> None:
        match event.fact:
            case QuestionShown() as fact:
                self._shown[fact.question].set()
            case QuestionAsked() as fact:
                self._start(self._tell_question(fact.question, self._shown[fact.question.id]))
            case RunEnded() as fact:
                self._start(self._tell_end(fact))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _read(self) -> AureaNotification | None:
        try:
            return await kept(AureaNotification, self._run.spec.blocks.notification)
        except Exception as fault:
            self._log.warning("%-12s  nobody is notified: %s", "run", fault)
            return None

    async def _tell_question(self, question: Question, shown: asyncio.Event) -> None:
        block, name = await asyncio.shield(self._block), question.id
        if block is None or question.kind not in block.questions:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(shown.wait(), SHOWN_S)
        document = next((one for one in question_documents(self._run.state) if one["question"] == name), None)
        if document is None:
            return  # it is closed already
        where = document["ui_url"] or f"aurea decide {name} --choice CHOICE"
        lines = [
            document["why"],
            f"Choices: {', '.join(document['choices'])}",
            f"Cost so far: {money(self._run.state.cost.usd)}",
            f"Answer: {where}",
        ]
        await self._send(block, "question.asked", document["title"], lines, {"question": document})

    async def _tell_end(self, ended: RunEnded) -> None:
        block = await asyncio.shield(self._block)
        if block is None or ended.state not in block.ends:
            return
        state = self._run.state
        row = run_row(state, alive=False, folder=self._run.folder, now=self._run.clock.now())
        landed = sum(item["state"] == "complete" for item in row["items"])
        lines = [
            ended.reason or f"{landed} of {len(row['items'])} items landed",
            f"Cost: {money(state.cost.usd)}",
            f"Look: {state.link.ui_url if state.link and state.link.ui_url else f'aurea show {state.id}'}",
        ]
        await self._send(block, "run.ended", f"the run {ended.state}", lines, {"end": row})

    async def _send(
        self, block: AureaNotification, kind: str, title: str, lines: Sequence[str], more: Mapping[str, Any]
    ) -> None:
        project = self._run.spec.project
        document = {"schema": "aurea.notice/1", "type": kind, "run": self._run.id, "project": project, "title": title}
        try:
            send = partial(block.send, f"{project}: {title}", "\n".join(lines), {**document, **more})
            await asyncio.wait_for(_apart(send), SEND_S)
        except TimeoutError:
            self._log.warning("%-12s  not notified of %s (%s): no answer in time", "run", kind, title)
        except Exception as fault:
            words = " ".join(str(fault).split()) or type(fault).__name__
            self._log.warning("%-12s  not notified of %s (%s): %s", "run", kind, title, words)


async def _apart(work: Callable[[], None]) -> None:
    """Do it in a thread of its own that nobody waits for at the end, neither the loop nor the process, if it hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(fault: Exception | None) -> None:
        if done.done():  # nobody waits any more
            return
        if fault is None:
            done.set_result(None)
        else:
            done.set_exception(fault)

    def body() -> None:
        fault: Exception | None = None
        try:
            work()
        except Exception as raised:
            fault = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, fault)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(body,), name="notice", daemon=True).start()
    await done
