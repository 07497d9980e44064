"""The budget is a hard stop: for concurrent calls, after failures, and across restarts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurea.domain.caps import RUN as RUN_CAP
from aurea.domain.caps import Cap, caps_of, today
from aurea.domain.errors import Blocked, BudgetReached
from aurea.domain.events import BudgetReserved, BudgetSettled, Draft
from aurea.domain.messages import ModelRef, ModelReply, ModelRequest, Usage
from aurea.domain.spec import ModelPrice
from aurea.ledger.book import Book
from aurea.models.budget import BudgetClient
from aurea.models.day import Day
from aurea.models.faults import Kind, Server, fault
from aurea.models.prices import Prices, estimate_tokens, output_limit
from aurea.models.waiting import Waiting
from aurea.ports import ModelClient
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created, planned, started
from aurea.testing.models import ScriptedModel, asking, say
from aurea.testing.store import MemoryEventStore

RUN = "run-1"
SERVER = Server("openai", "gpt-5-mini", "http://127.0.0.1:1/v1")
PRICES = Prices(lambda _: True)
MTOK = 1_000_000


class Purse:
    """A ledger and a budget over it."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.limits: dict[str, float] = {}
        self.clock = SimulatedClock()
        self.store = MemoryEventStore()
        self.book = Book(self.store, self.clock)
        self.book.append(RUN, [created(), planned("storage"), started(item="storage")])

    def crash(self) -> None:
        self.book.close()
        self.book = Book(self.store, self.clock)

    def client(self, inner: ModelClient, prices: Prices = PRICES) -> BudgetClient:
        return BudgetClient(
            inner,
            ledger=self.book,
            run=RUN,
            prices=prices,
            clock=self.clock,
            waiting=Waiting(),
            limit=lambda cap: self.limit if cap == RUN_CAP else self.limits.get(cap.key),
        )

    def settled(self) -> list[BudgetSettled]:
        return [event.fact for event in self.book.events(RUN) if isinstance(event.fact, BudgetSettled)]

    @property
    def spent(self) -> float:
        return self.book.state(RUN).spent_usd

    @property
    def reserved(self) -> float:
        return self.book.state(RUN).reserved_usd


@pytest.fixture
def purse() -> Iterator[Purse]:
    purse = Purse(5.0)
    yield purse
    purse.book.close()


def paid(output: int, text: str = "x") -> ModelReply:
    """An answer of `output` tokens; a million cost 2 USD with gpt-5-mini."""
    return say(text, usage=Usage(output_tokens=output))


def big(step: int = 1, output: int = MTOK) -> ModelRequest:
    """A call that may cost a little over 2 USD."""
    return asking(item="storage", step=step, max_output_tokens=output)


async def test_what_a_call_may_cost_is_held_back_and_what_it_did_cost_is_settled(purse: Purse) -> None:
    held: list[float] = []

    def answer(_: ModelRequest) -> ModelReply:
        held.append(purse.reserved)
        return paid(500_000)

    await purse.client(ScriptedModel(answer)).complete(big())

    assert held[0] == pytest.approx(2.0, abs=0.001)
    assert (purse.spent, purse.reserved) == (pytest.approx(1.0), 0)


async def test_a_call_that_does_not_fit_is_not_made(purse: Purse) -> None:
    model = ScriptedModel(*[paid(MTOK)] * 3)
    client = purse.client(model)
    await client.complete(big(1))
    await client.complete(big(2))

    with pytest.raises(BudgetReached) as caught:
        await client.complete(big(3))

    assert len(model.requests) == 2
    assert caught.value.limit_usd == 5.0
    assert caught.value.needed_usd == pytest.approx(2.0, abs=0.001)
    assert purse.reserved == 0


async def test_a_raised_budget_counts_at_once(purse: Purse) -> None:
    purse.limit = 1.0
    client = purse.client(ScriptedModel(paid(10)))
    with pytest.raises(BudgetReached):
        await client.complete(big())

    purse.limit = 3.0
    await client.complete(big())


async def test_without_a_limit_costs_are_counted_all_the_same(purse: Purse) -> None:
    purse.limit = None
    await purse.client(ScriptedModel(paid(MTOK))).complete(big(output=50 * MTOK))

    assert purse.spent == pytest.approx(2.0)


async def test_what_was_spent_counts_after_a_restart(purse: Purse) -> None:
    await purse.client(ScriptedModel(paid(MTOK))).complete(big(1))
    await purse.client(ScriptedModel(paid(MTOK))).complete(big(2))
    purse.crash()

    with pytest.raises(BudgetReached):
        await purse.client(ScriptedModel(paid(1))).complete(big(3))


async def test_a_call_waits_for_others_to_settle_and_keeps_its_turn(purse: Purse) -> None:
    gate = asyncio.Event()
    order: list[int] = []

    class Slow:
        async def complete(self, request: ModelRequest) -> ModelReply:
            order.append(request.address.step)
            await gate.wait()
            return paid(1000)

    client = purse.client(Slow())
    async with asyncio.TaskGroup() as group:
        for step, output in ((1, MTOK), (2, MTOK), (3, MTOK), (4, 1000)):
            group.create_task(client.complete(big(step, output)))
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert order == [1, 2]  # 4 would fit, but 3 was there before it
        gate.set()

    assert order == [1, 2, 3, 4]
    assert purse.spent == pytest.approx(4 * 0.002)


@settings(max_examples=25, deadline=None)
@given(
    limit=st.floats(0.5, 6.0),
    calls=st.lists(
        st.tuples(
            st.integers(1000, MTOK),
            st.floats(0, 1),
            st.sampled_from(["ok", "server", "timeout", "cancel"]),
            st.integers(0, 3),
        ),
        min_size=50,
        max_size=50,
    ),
)
async def test_fifty_concurrent_calls_never_go_over_the_limit(
    limit: float, calls: list[tuple[int, float, str, int]]
) -> None:
    purse = Purse(limit)
    under_way: dict[int, float] = {}
    most = 0.0

    class Uneven:
        async def complete(self, request: ModelRequest) -> ModelReply:
            nonlocal most
            step = request.address.step
            output, share, how, turns = calls[step - 1]
            under_way[step] = output * 2 / MTOK
            most = max(most, purse.spent + sum(under_way.values()))
            for _ in range(turns):
                await asyncio.sleep(0)
            del under_way[step]
            if how == "cancel":
                raise asyncio.CancelledError
            if how != "ok":
                raise fault("timeout" if how == "timeout" else "server", SERVER)
            return paid(int(output * share))

    client = purse.client(Uneven())
    ended = await asyncio.gather(
        *(client.complete(big(step, output)) for step, (output, *_) in enumerate(calls, 1)), return_exceptions=True
    )
    assert len(ended) == 50
    assert purse.spent <= limit + 1e-9
    assert most <= limit + 1e-9
    assert purse.reserved == 0
    reserved = [e.fact for e in purse.book.events(RUN) if isinstance(e.fact, BudgetReserved)]
    assert len(reserved) == len(purse.settled())
    purse.book.close()


@pytest.mark.parametrize(
    ("kind", "counts"),
    [("rate_limit", False), ("server", False), ("connection", False), ("timeout", True), ("malformed", True)],
)
async def test_a_failed_call_counts_only_where_it_may_have_been_billed(purse: Purse, kind: Kind, counts: bool) -> None:
    with pytest.raises(Exception, match="gpt-5-mini"):
        await purse.client(ScriptedModel(fault(kind, SERVER))).complete(big())

    (settled,) = purse.settled()
    assert settled.in_doubt == counts
    assert purse.spent == pytest.approx(settled.reserved if counts else 0.0)


async def test_a_call_that_was_never_made_costs_nothing(purse: Purse) -> None:
    with pytest.raises(Blocked):
        await purse.client(ScriptedModel()).complete(big())

    assert (purse.spent, purse.reserved) == (0, 0)


async def test_a_cancelled_call_counts_in_doubt(purse: Purse) -> None:
    class Endless:
        async def complete(self, request: ModelRequest) -> ModelReply:
            await asyncio.Event().wait()
            raise AssertionError

    client = purse.client(Endless())
    task = asyncio.create_task(client.complete(big()))
    while not purse.reserved:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.close()

    assert [one.in_doubt for one in purse.settled()] == [True]
    assert (purse.spent, purse.reserved) == (pytest.approx(2.0, abs=0.001), 0)


async def test_a_reservation_that_a_dead_process_left_is_settled_in_doubt_before_anything_is_asked(
    purse: Purse,
) -> None:
    left = asking(item="storage").address
    fact = BudgetReserved(conversation=left.conversation, step=left.step, usd=2.5)
    purse.book.append(RUN, [Draft(fact=fact, item="storage", attempt=1)])
    purse.crash()

    spent: list[float] = []

    def answer(_: ModelRequest) -> ModelReply:
        spent.append(purse.spent)
        return paid(MTOK)

    client = purse.client(ScriptedModel(answer, answer))
    await client.complete(big(1))
    assert spent == [2.5]
    assert [(one.usd, one.in_doubt) for one in purse.settled()] == [(2.5, True), (pytest.approx(2.0), False)]
    with pytest.raises(BudgetReached):
        await client.complete(big(2))


async def test_free_calls_write_nothing(purse: Purse) -> None:
    before = purse.book.state(RUN).last_seq
    purse.limit = 0.0
    for model in ("replay:cassette", "ollama:qwen3:8b", "mlx:any", "openai:home-made-7b"):
        await purse.client(ScriptedModel(paid(MTOK))).complete(asking(model=model))

    assert purse.book.state(RUN).last_seq == before


async def test_an_unknown_price_elsewhere_blocks_a_run_with_a_budget(purse: Purse) -> None:
    client = purse.client(ScriptedModel(say("x")), Prices(lambda _: False))
    with pytest.raises(Blocked, match="budget_usd: none"):
        await client.complete(asking(model="openai:home-made-7b"))

    purse.limit = None
    await client.complete(asking(model="openai:home-made-7b"))


def test_cached_tokens_cost_less() -> None:
    price = PRICES.of(asking().model)
    assert price is not None
    plain = price.cost(Usage(input_tokens=MTOK))
    cached = price.cost(Usage(input_tokens=MTOK, cached_tokens=MTOK))
    assert (plain, cached) == (pytest.approx(0.25), pytest.approx(0.025))


@pytest.mark.parametrize(
    ("option", "usd"), [({}, 2.0), ({"max_output_tokens": 1000}, 0.002), ({"max_tokens": 1000}, 0.002)]
)
def test_the_options_own_limit_is_what_is_held_back(option: dict[str, int], usd: float) -> None:
    request = asking(max_output_tokens=MTOK, options=option)

    assert PRICES.estimate(request, limited=True) == pytest.approx(usd, abs=0.0001)


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, 1500),
        ({"max_tokens": 64_000}, 1500),
        ({"max_tokens": 900}, 900),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, 9500),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}, "max_tokens": 64_000}, 9500),
        ({"thinking": {"type": "adaptive"}, "max_tokens": 64_000}, 1500),
    ],
)
def test_a_last_answer_is_short(options: dict[str, Any], tokens: int) -> None:
    assert output_limit(asking(max_output_tokens=1500, last=True, options=options)) == tokens


def test_tokens_are_rather_overestimated() -> None:
    english = "The quick brown fox jumps over the lazy dog. " * 100  # 1,000 tokens and a few
    chinese = "今天天气很好我们去公园散步" * 100  # 1,300 characters, about as many tokens
    assert estimate_tokens(asking(english).messages) >= 1000
    assert estimate_tokens(asking(chinese).messages) >= 1000


class Gate:
    """A layer in which calls wait until it is opened."""

    def __init__(self, inner: ModelClient) -> None:
        self.inner = inner
        self.open = asyncio.Event()
        self.arrived = asyncio.Event()

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.arrived.set()
        await self.open.wait()
        return await self.inner.complete(request)


def gated(
    purse: Purse, model: ModelClient, limits: Mapping[str, float] = MappingProxyType({})
) -> tuple[BudgetClient, Gate]:
    gates: list[Gate] = []

    def between(inner: ModelClient) -> ModelClient:
        gates.append(Gate(inner))
        return gates[0]

    client = BudgetClient(
        model,
        ledger=purse.book,
        run=RUN,
        prices=PRICES,
        clock=purse.clock,
        waiting=Waiting(),
        limit=lambda cap: purse.limit if cap == RUN_CAP else limits.get(cap.key),
        between=between,
    )
    return client, gates[0]


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_call_that_waits_to_go_out_holds_its_money_but_is_not_in_doubt_after_a_crash(purse: Purse) -> None:
    client, gate = gated(purse, ScriptedModel(*[paid(500_000)] * 3))
    calls = [asyncio.create_task(client.complete(big(step))) for step in (1, 2, 3)]
    await turns()
    assert purse.reserved == 0
    assert not any(call.done() for call in calls)

    gate.open.set()
    await asyncio.gather(*calls)

    assert len(purse.settled()) == 3
    assert purse.spent == pytest.approx(3.0)


async def test_a_call_that_is_cut_off_while_it_waits_to_go_out_costs_nothing(purse: Purse) -> None:
    client, gate = gated(purse, ScriptedModel(paid(10)))
    cut = asyncio.create_task(client.complete(big(1, output=2 * MTOK)))
    await turns()
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    assert purse.settled() == []

    gate.open.set()
    await client.complete(big(2, output=2 * MTOK))  # the money is free again


async def test_a_price_of_the_spec_lets_an_unknown_model_work_under_a_budget(purse: Purse) -> None:
    own = Prices(lambda _: False, {"openai:home-made": ModelPrice(input=1.0, output=4.0, cached_input=0.5)})
    client = purse.client(ScriptedModel(say("x", usage=Usage(input_tokens=MTOK, cached_tokens=MTOK // 2))), own)

    await client.complete(asking(model="openai:home-made", item="storage", max_output_tokens=MTOK))

    assert purse.spent == pytest.approx(0.75)
    with pytest.raises(BudgetReached):
        await client.complete(asking(model="openai:home-made", item="storage", step=2, max_output_tokens=2 * MTOK))


def test_a_price_of_the_spec_goes_before_the_list_and_may_be_nothing() -> None:
    own = Prices(lambda _: False, {"openai:gpt-5-mini": ModelPrice(input=0.0, output=0.0)})
    price = own.of(ModelRef(provider="openai", name="gpt-5-mini"))
    assert price is not None and price.free
    assert own.of(ModelRef(provider="openai", name="gpt-5")) != price


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
