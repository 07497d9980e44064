"""Limits: what the runs of a machine may ask of a provider together, whatever happens, and how they take refusals."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurea.domain.errors import Blocked
from aurea.domain.messages import ModelReply, ModelRequest, Usage
from aurea.domain.spec import ProviderLimits
from aurea.models.faults import ModelFault, Server, fault
from aurea.models.limits import LimitsClient
from aurea.models.traffic import GRAINS, LEASE_S, LONGEST_PAUSE_S, Traffic
from aurea.models.waiting import Waiting
from aurea.ports import ModelClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.models import ScriptedModel, asking, say

SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1")
BUSY = fault("rate_limit", SERVER)


class Machine:
    """Processes that share a folder and a clock."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.clock = SimulatedClock()
        self.waiting = Waiting()
        self.asked: list[float] = []

    def client(self, inner: ModelClient, seed: int = 1, **limits: int) -> LimitsClient:
        return LimitsClient(
            inner,
            clock=self.clock,
            waiting=self.waiting,
            limits={"openai": ProviderLimits(**limits)},
            address=lambda provider: None if provider == "replay" else "http://127.0.0.1:1/v1",
            folder=self.folder,
            margin_s=0.0,
            dice=random.Random(seed),
        )

    def answer(self, _: ModelRequest) -> ModelReply:
        self.asked.append(self.clock.monotonic())
        return say("ok")

    def model(self, seconds: float = 0.0) -> ScriptedModel:
        return ScriptedModel(*[self.answer] * 200, clock=self.clock, seconds=seconds)

    def traffic(self) -> Traffic:
        assert self.folder is not None
        (file,) = self.folder.iterdir()
        return Traffic.read(file.read_text())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "limits")


def most_in(times: list[float], window: float) -> int:
    return max((sum(t <= other < t + window for other in times) for t in times), default=0)


async def ask(client: LimitsClient, steps: range, **more: Any) -> list[ModelReply | BaseException]:
    calls = (client.complete(asking(step=step, **more)) for step in steps)
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_requests_a_minute_hold_for_two_processes_together(machine: Machine) -> None:
    one, two = (machine.client(machine.model(), requests_per_minute=10) for _ in range(2))
    await asyncio.gather(ask(one, range(25)), ask(two, range(25, 50)))

    assert len(machine.asked) == 50
    assert most_in(machine.asked, 60.0) == 10
    assert machine.clock.monotonic() == 240.0  # and no slower than that


@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(1, 6),
    calls=st.lists(st.tuples(st.booleans(), st.floats(0, 90), st.sampled_from([0.0, 3.0, 61.0])), max_size=25),
    stale=st.floats(0, 1e6),
)
async def test_no_window_ever_holds_more_requests_than_allowed(
    limit: int, calls: list[tuple[bool, float, float]], stale: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(tmp_path_factory.mktemp("limits"))
    machine.clock.advance(stale)
    sent: list[float] = []

    class Server:
        async def complete(self, request: ModelRequest) -> ModelReply:
            sent.append(machine.clock.monotonic())
            await machine.clock.sleep(calls[request.address.step][2])
            return say("ok")

    clients = [machine.client(Server(), requests_per_minute=limit) for _ in range(2)]

    async def call(step: int) -> None:
        second, later, _ = calls[step]
        await machine.clock.sleep(later)
        await clients[second].complete(asking(step=step))

    await asyncio.gather(*(call(step) for step in range(len(calls))))

    assert len(sent) == len(calls)
    assert most_in(sent, 59.999) <= limit


async def test_tokens_a_minute_count_the_longest_answer_until_the_real_one_is_known(machine: Machine) -> None:
    def answer(request: ModelRequest) -> ModelReply:
        machine.asked.append(machine.clock.monotonic())
        return say("ok", usage=Usage(input_tokens=50, output_tokens=50))

    model = ScriptedModel(*[answer] * 9, clock=machine.clock, seconds=5.0)
    client = machine.client(model, tokens_per_minute=1500)
    await ask(client, range(6), max_output_tokens=900)

    # 900 and a little for the prompt at first, 100 once it is answered: so the next one fits, but never two at once.
    assert machine.asked == pytest.approx([5.0, 10.0, 15.0, 20.0, 25.0, 30.0], abs=2.0)
    assert model.most_at_once == 1


async def test_a_call_larger_than_the_limit_goes_alone(machine: Machine) -> None:
    client = machine.client(machine.model(), tokens_per_minute=100)
    await ask(client, range(2), max_output_tokens=5000)
    assert machine.asked == pytest.approx([0.0, 0.0], abs=1.0)  # answered with next to none: there is room again
    await client.complete(asking(step=3, max_output_tokens=5000))


async def test_calls_at_once_are_limited_over_processes(machine: Machine) -> None:
    model = machine.model(seconds=4.0)
    one, two = (machine.client(model, concurrency=3) for _ in range(2))
    await asyncio.gather(ask(one, range(9)), ask(two, range(9, 18)))
    assert model.most_at_once == 3
    assert len(machine.asked) == 18


async def test_without_limits_nobody_waits(machine: Machine) -> None:
    model = machine.model(seconds=4.0)
    await ask(machine.client(model), range(40))
    assert (model.most_at_once, machine.clock.monotonic()) == (40, 4.0)


async def test_other_providers_and_replays_have_a_traffic_of_their_own(machine: Machine) -> None:
    client = machine.client(machine.model(), requests_per_minute=1)
    await client.complete(asking(step=1))
    await client.complete(asking(step=2, model="anthropic:claude"))
    await ask(client, range(3, 9), model="replay:cassette")
    assert machine.clock.monotonic() == 0.0
    assert machine.folder is not None
    assert sorted(file.name.partition("-")[0] for file in machine.folder.iterdir()) == ["anthropic", "openai"]


async def test_waiting_is_not_the_calls_own_time(machine: Machine) -> None:
    client = machine.client(machine.model(), requests_per_minute=1)
    await client.complete(asking(step=1))
    await client.complete(asking(step=2))
    assert machine.waiting.of(asking(step=2).address.key) == 60.0


async def test_what_a_server_asks_for_is_waited_for_by_everybody(machine: Machine) -> None:
    one = machine.client(ScriptedModel(fault("rate_limit", SERVER, retry_after=20.0)))
    two = machine.client(machine.model(), seed=2)
    with pytest.raises(ModelFault):
        await one.complete(asking())
    await ask(two, range(3))
    assert all(20.0 <= when <= 25.0 for when in machine.asked)


async def test_a_server_that_asks_for_an_hour_holds_nobody_else_up(machine: Machine) -> None:
    with pytest.raises(ModelFault):
        await machine.client(ScriptedModel(fault("rate_limit", SERVER, retry_after=3600.0))).complete(asking())
    await ask(machine.client(machine.model()), range(1, 2))
    assert machine.asked == [0.0]


async def test_a_refusal_halves_what_may_be_under_way_once_for_all_that_were_refused_together(machine: Machine) -> None:
    model = ScriptedModel(*[BUSY] * 16, *[machine.answer] * 99, clock=machine.clock, seconds=2.0)
    client = machine.client(model)
    refused = await ask(client, range(16))
    assert all(isinstance(one, ModelFault) for one in refused)
    assert machine.traffic().width == 8.0

    model.most_at_once = 0
    await ask(client, range(16, 46))

    assert 8 <= model.most_at_once <= 11  # it grows again, slowly
    width = machine.traffic().width
    assert width is not None and 10.0 <= width <= 14.0


async def test_while_everybody_is_refused_the_pauses_grow(machine: Machine) -> None:
    client = machine.client(ScriptedModel(*[BUSY] * 12))
    times = []
    for step in range(12):
        with pytest.raises(ModelFault):
            await client.complete(asking(step=step))
        times.append(machine.clock.monotonic())
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert gaps[:4] == [0.0] * 4
    assert all(0.5 <= gap <= 45.0 for gap in gaps[4:])
    assert sum(gaps[-3:]) > 45.0
    assert client.storm_s("openai") == times[-1]


async def test_in_a_storm_one_call_asks_and_its_answer_lets_the_others_go_on(machine: Machine) -> None:
    model = ScriptedModel(*[BUSY] * 16, *[machine.answer] * 20, clock=machine.clock, seconds=2.0)
    client = machine.client(model)
    await ask(client, range(16))
    await ask(client, range(16, 24))
    assert len(machine.asked) == 8
    assert machine.asked[1] >= machine.asked[0] + 2.0
    assert machine.asked[-1] <= machine.asked[0] + 3.0


async def test_refusals_of_long_ago_are_forgotten(machine: Machine) -> None:
    client = machine.client(ScriptedModel(*[BUSY] * 8, *[machine.answer] * 9))
    await ask(client, range(8))
    machine.clock.advance(1000.0)
    await ask(client, range(8, 16))
    assert machine.traffic().width is None
    assert client.storm_s("openai") == 0.0


async def test_a_call_that_is_cut_off_or_crashed_holds_no_place(machine: Machine) -> None:
    client = machine.client(machine.model(seconds=100.0), concurrency=1)
    cut = asyncio.create_task(client.complete(asking(step=1)))
    for _ in range(5):
        await asyncio.sleep(0)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    assert not machine.traffic().running

    assert machine.folder is not None
    (file,) = machine.folder.iterdir()
    dead = Traffic()
    dead.enter("dead", 2**22 + 1, 0.0, 10)  # no process has this number
    dead.enter("old", os.getpid(), 0.0, 10)
    file.write_text(dead.write())
    machine.clock.advance(LEASE_S + 1)
    await client.complete(asking(step=2))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"past": 3}', '{"surprise": 1}', "\0\0\0"])
async def test_a_damaged_file_is_begun_anew(machine: Machine, text: str) -> None:
    client = machine.client(machine.model())
    await client.complete(asking())
    assert machine.folder is not None
    (file,) = machine.folder.iterdir()
    file.write_text(text)
    await client.complete(asking(step=2))
    assert [past.requests for past in machine.traffic().past] == [1]


async def test_what_another_boot_of_the_machine_left_holds_nobody_up_for_long(machine: Machine) -> None:
    client = machine.client(machine.model(), requests_per_minute=1)
    left = Traffic(quiet_until=1e6, refusals=3, refused_since=9e5, refused_at=9.5e5, cut_at=9e5, width=1.0)
    left.enter("before", os.getpid(), 9e5, 10)
    left.answered("before")
    await client.complete(asking())
    assert machine.folder is not None
    (file,) = machine.folder.iterdir()
    file.write_text(left.write())
    await client.complete(asking(step=2))
    assert machine.asked[-1] <= LONGEST_PAUSE_S


def test_many_requests_are_counted_in_few_entries_and_none_goes_too_soon() -> None:
    limits, traffic, now, times = ProviderLimits(requests_per_minute=500, tokens_per_minute=4000), Traffic(), 0.0, []
    for number in range(1500):
        traffic.tidy(now, 60.0, lambda _: True)
        while (wait := traffic.wait(now, 8, limits, 60.0)) > 0:
            now += wait
            traffic.tidy(now, 60.0, lambda _: True)
        traffic.enter(str(number), 1, now, 8)
        times.append(now)
        now += 0.01
        traffic.answered(str(number), 8)
        assert len(traffic.past) <= GRAINS + 2
    assert most_in(times, 60.0) == 500
    alone = 2 * 60.0 + 500 * 0.01  # when the last would go if each were counted by itself
    assert alone - 0.1 < times[-1] < alone + 2 * 60.0 / GRAINS
    assert Traffic.read(traffic.write()) == traffic


def test_the_file_reads_as_it_was_written_with_anything_behind_it() -> None:
    traffic = Traffic(width=2.5, refusals=2, refused_since=1.0, refused_at=2.0, quiet_until=3.0)
    traffic.enter("a", 7, 1.5, 100)
    assert Traffic.read(traffic.write() + "left over}") == traffic
    assert Traffic.read(Traffic().write()) == Traffic()


async def test_a_disk_that_takes_nothing_asks_a_person_and_loses_no_answer(machine: Machine, monkeypatch: Any) -> None:
    def full(*words: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def answer(request: ModelRequest) -> ModelReply:
        monkeypatch.setattr(os, "pwrite", full)
        return machine.answer(request)

    client = machine.client(ScriptedModel(answer, answer))
    assert (await client.complete(asking())).text == "ok"
    with pytest.raises(Blocked, match="cannot be written"):
        await client.complete(asking(step=2))
