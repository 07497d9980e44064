"""Every cap on money is a hard stop: of the run, its items, its roles and a day, also for several processes."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurea.domain.caps import RUN as RUN_CAP
from aurea.domain.caps import Cap, caps_of, today
from aurea.domain.errors import BudgetReached
from aurea.domain.events import BudgetReserved, BudgetSettled, Draft
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.ledger.book import Book
from aurea.models.budget import BudgetClient
from aurea.models.day import Day
from aurea.models.faults import fault
from aurea.models.waiting import Waiting
from aurea.ports import ModelClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import ScriptedModel, asking
from aurea.testing.store import MemoryEventStore
from purses import MTOK, PRICES, RUN, SERVER, Purse, big, gated, paid

ROLES = ("coder", "tester", "docs")
ITEMS = ("storage", "api", "notes")


class Wallets:
    """What a call of an item and a role is paid from, and everything that the server was asked for out of each."""

    def __init__(self, limits: dict[Cap, float]) -> None:
        self.limits = limits
        self.book = Book(MemoryEventStore(), SimulatedClock())
        self.book.append(RUN, [created(), planned(*ITEMS), *(started(item=item) for item in ITEMS)])
        self.under_way: dict[int, tuple[tuple[Cap, ...], float]] = {}
        self.billed: dict[Cap, float] = {}
        self.most: dict[Cap, float] = {}
        self.last: dict[Cap, float] = {}

    def client(self, model: ModelClient) -> BudgetClient:
        return BudgetClient(
            model,
            ledger=self.book,
            run=RUN,
            prices=PRICES,
            clock=SimulatedClock(),
            waiting=Waiting(),
            limit=self.limits.get,
        )

    def begin(self, number: int, request: ModelRequest) -> None:
        """A call reaches the server, which may take all that was asked for."""
        caps = caps_of(request.address.item, request.address.role, today(SimulatedClock().now()))
        usd = PRICES.estimate(request, limited=True)
        self.under_way[number] = (caps, usd)
        for cap in caps:
            held = sum(usd for others, usd in self.under_way.values() if cap in others)
            self.most[cap] = max(self.most.get(cap, 0.0), self.billed.get(cap, 0.0) + held)
            if request.last:
                self.last[cap] = max(self.last.get(cap, 0.0), usd)

    def end(self, number: int, usd: float) -> None:
        caps, _ = self.under_way.pop(number)
        for cap in caps:
            self.billed[cap] = self.billed.get(cap, 0.0) + usd


CALL = st.tuples(
    st.sampled_from(ITEMS),
    st.sampled_from(ROLES),
    st.integers(1000, MTOK),  # tokens that it may answer
    st.floats(0, 1),  # the share of them that it does answer
    st.sampled_from(["ok", "ok", "server", "timeout", "cancel"]),
    st.integers(0, 3),  # turns of the loop that it takes
    st.booleans(),  # whether it is a last one
)


@settings(max_examples=40, deadline=None)
@given(
    run=st.floats(0.5, 6.0),
    item=st.floats(0.2, 3.0),
    role=st.floats(0.2, 3.0),
    day=st.floats(0.5, 6.0),
    calls=st.lists(CALL, min_size=30, max_size=30),
    crash=st.integers(0, 30),
)
async def test_no_interleaving_passes_a_cap_by_more_than_one_last_call(
    run: float, item: float, role: float, day: float, calls: list[tuple[Any, ...]], crash: int
) -> None:
    today_is = today(SimulatedClock().now())
    limits = {
        RUN_CAP: run,
        Cap(scope="day", name=today_is): day,
        **{Cap(scope="item", name=name): item for name in ITEMS},
        **{Cap(scope="role", name=name): role for name in ROLES},
    }
    wallets = Wallets(limits)

    class Server:
        async def complete(self, request: ModelRequest) -> ModelReply:
            number = request.address.step
            _, _, output, share, how, turns, _ = calls[number - 1]
            wallets.begin(number, request)
            for _ in range(turns):
                await asyncio.sleep(0)
            asked = PRICES.estimate(request, limited=True)
            if how == "ok":
                reply = paid(int(output * share))
                price = PRICES.of(request.model)
                assert price is not None
                wallets.end(number, price.cost(reply.usage))
                return reply
            wallets.end(number, 0.0 if how == "server" else asked)
            if how == "cancel":
                raise asyncio.CancelledError
            raise fault("timeout" if how == "timeout" else "server", SERVER)

    def asked(number: int) -> ModelRequest:
        name, by, output, _, _, _, last = calls[number - 1]
        made = asking(item=name, step=number, max_output_tokens=output)
        return made.model_copy(update={"address": made.address.model_copy(update={"role": by}), "last": last})

    for numbers in (range(1, crash + 1), range(crash + 1, len(calls) + 1)):  # a new process for the second part
        client = wallets.client(Server())
        await asyncio.gather(*(client.complete(asked(number)) for number in numbers), return_exceptions=True)
        await client.close()

    passed = [event.fact.over for event in wallets.book.events(RUN) if isinstance(event.fact, BudgetReserved)]
    over = [entry.cap for entries in passed for entry in entries]
    assert len(over) == len(set(over)), "each cap is passed once"
    assert all(cap.scope != "day" for cap in over)
    for cap, limit in limits.items():
        allowed = limit + (wallets.last.get(cap, 0.0) if cap in over else 0.0)
        assert wallets.most.get(cap, 0.0) <= allowed + 1e-9, f"{cap} at {limit}"
    state = wallets.book.state(RUN)
    assert {cap: state.spent_on.get(cap, 0.0) for cap in limits if cap.scope != "run"} == pytest.approx(
        {cap: wallets.billed.get(cap, 0.0) for cap in limits if cap.scope != "run"}
    )
    assert state.reserved == {}
    wallets.book.close()


async def test_the_one_last_call_over_a_cap_is_known_after_a_restart_and_new_with_a_new_limit(purse: Purse) -> None:
    purse.limit = 1.0
    await purse.client(ScriptedModel(paid(450_000))).complete(big(1, 450_000))
    last = big(2, 400_000).model_copy(update={"last": True})

    with pytest.raises(BudgetReached):
        await purse.client(ScriptedModel(paid(1))).complete(big(2, 400_000))
    await purse.client(ScriptedModel(paid(400_000))).complete(last)
    assert purse.spent == pytest.approx(1.7)

    purse.crash()
    again = last.model_copy(update={"address": last.address.model_copy(update={"step": 3})})
    with pytest.raises(BudgetReached):
        await purse.client(ScriptedModel(paid(1))).complete(again)
    purse.limit = 2.0
    await purse.client(ScriptedModel(paid(1))).complete(again)


async def test_a_last_call_over_a_cap_that_a_crash_left_in_doubt_was_the_one(purse: Purse) -> None:
    purse.limit = 1.0
    await purse.client(ScriptedModel(paid(450_000))).complete(big(1, 450_000))

    class Dies:
        async def complete(self, request: ModelRequest) -> ModelReply:
            purse.book.close()  # nothing is recorded from here on
            raise KeyboardInterrupt

    last = big(2, 400_000).model_copy(update={"last": True})
    with pytest.raises((KeyboardInterrupt, Exception)):
        await purse.client(Dies()).complete(last)
    purse.crash()
    assert purse.reserved == pytest.approx(0.8, abs=0.001)

    model = ScriptedModel(paid(1))
    with pytest.raises(BudgetReached):
        await purse.client(model).complete(last)
    assert model.requests == []
    assert [one.in_doubt for one in purse.settled()] == [False, True]
    assert purse.spent == pytest.approx(1.7, abs=0.001)


async def test_a_call_names_the_cap_that_it_does_not_fit_under(purse: Purse) -> None:
    for key, words in (
        ("budgets.items.storage", "the budget of item storage is used up: 0.0000 of 1 USD are spent"),
        ("budgets.roles.coder", "the budget of role coder is used up"),
        ("budgets.day_usd", r"the budget of the day 20\d\d-\d\d-\d\d \(UTC\) is used up"),
    ):
        purse.limits = {key: 1.0}
        with pytest.raises(BudgetReached, match=words) as caught:
            await purse.client(ScriptedModel(paid(1))).complete(big())
        assert caught.value.cap is not None and caught.value.cap.key == key
        assert f"--set {key}=USD" in caught.value.remedy


async def test_calls_of_another_item_do_not_wait_for_the_money_of_one(purse: Purse) -> None:
    gate, order = asyncio.Event(), []

    class Slow:
        async def complete(self, request: ModelRequest) -> ModelReply:
            order.append((request.address.item, request.address.step))
            await gate.wait()
            return paid(1000)

    purse.limit, purse.limits = 50.0, {"budgets.items.storage": 3.0}
    purse.book.append(RUN, [planned("storage", "api"), started(item="api")])
    client = purse.client(Slow())
    async with asyncio.TaskGroup() as group:
        for item, step in (("storage", 1), ("storage", 2), ("api", 3)):
            group.create_task(client.complete(asking(item=item, step=step, max_output_tokens=MTOK)))
            await asyncio.sleep(0)
        while len(order) < 2:
            await asyncio.sleep(0.001)
        assert order == [("storage", 1), ("api", 3)]
        gate.set()


def another(purse: Purse, run: str, usd: float, *, settled: bool) -> None:
    """What another run of the ledger spends, or holds back."""
    if run not in purse.book.runs():
        purse.book.append(run, [created(), planned("storage"), started(item="storage")])
    place = {"conversation": "coder", "step": 1}
    facts: list[Any] = [BudgetReserved(**place, usd=usd)]
    if settled:
        facts.append(BudgetSettled(**place, usd=usd, reserved=usd))
    purse.book.append(run, [Draft(fact=fact, item="storage", attempt=1) for fact in facts])


async def test_a_day_is_paid_by_all_runs_together(purse: Purse) -> None:
    purse.limits = {"budgets.day_usd": 5.0}
    client = purse.client(ScriptedModel(*[paid(MTOK)] * 2))
    await client.complete(big(1))
    another(purse, "run-2", 2.5, settled=True)
    with pytest.raises(BudgetReached, match=r"4\.5000 of 5 USD are spent"):
        await client.complete(big(2))

    purse.clock.advance(86_400)
    await client.complete(big(3))  # the next day has money of its own
    assert purse.spent == pytest.approx(4.0)


async def test_what_others_hold_back_is_waited_for_and_counts_as_spent_when_nobody_settles_it(purse: Purse) -> None:
    purse.limits = {"budgets.day_usd": 3.0}
    another(purse, "run-2", 2.5, settled=False)
    client = purse.client(ScriptedModel(paid(MTOK)))
    call = asyncio.create_task(client.complete(big(1)))
    with pytest.raises(BudgetReached):  # the clock of the test runs on while it waits
        await call
    assert purse.clock.monotonic() >= 300

    place = {"conversation": "coder", "step": 1}
    late = BudgetSettled(**place, usd=0.1, reserved=2.5)
    purse.book.append("run-2", [Draft(fact=late, item="storage", attempt=1)])
    await client.complete(big(2))


async def test_of_two_processes_that_were_as_fast_one_takes_its_reservation_back(purse: Purse) -> None:
    purse.limits = {"budgets.day_usd": 3.0}
    model = ScriptedModel(paid(MTOK))
    client, gate = gated(purse, model, purse.limits)
    call = asyncio.create_task(client.complete(big(1)))
    await gate.arrived.wait()
    another(purse, "run-2", 2.5, settled=False)  # between the look and the reservation
    gate.open.set()
    with pytest.raises(BudgetReached, match=r"2\.5000 of 3 USD"):  # nobody settled it
        await call
    assert (model.requests, purse.spent, purse.reserved) == ([], 0, 0)

    place = {"conversation": "coder", "step": 1}
    back = BudgetSettled(**place, usd=0.1, reserved=2.5)
    purse.book.append("run-2", [Draft(fact=back, item="storage", attempt=1)])
    await client.complete(big(1))
    assert [one.usd for one in purse.settled()] == [0.0, pytest.approx(2.0)]


async def test_what_is_read_while_a_day_ends_is_no_money_of_the_next(
    purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedClock(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    purse.book.close()
    purse.book = Book(purse.store, clock)
    another(purse, "run-2", 2.5, settled=True)
    across, reading, go_on = purse.book.across, threading.Event(), threading.Event()

    def slowly(*words: Any) -> list[Any]:
        found = across(*words)
        if not reading.is_set():
            reading.set()
            go_on.wait(30)
        return found

    monkeypatch.setattr(purse.book, "across", slowly)
    day = Day(purse.book, RUN, clock)
    look = asyncio.create_task(day.look())
    await asyncio.to_thread(reading.wait, 30)
    clock.advance(2.0)
    await day.look()
    go_on.set()
    await look

    assert (day.name, day.spent) == ("2026-03-02", 0.0)
