"""The budget is a hard stop: for concurrent calls, after failures, and across restarts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurea.domain.errors import Blocked, BudgetReached
from aurea.domain.events import BudgetReserved, Draft
from aurea.domain.messages import ModelRef, ModelReply, ModelRequest, Usage
from aurea.domain.spec import ModelPrice
from aurea.models.faults import Kind, fault
from aurea.models.prices import Prices, estimate_tokens, output_limit
from aurea.testing.models import ScriptedModel, asking, say
from purses import MTOK, PRICES, RUN, SERVER, Purse, big, gated, paid


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
