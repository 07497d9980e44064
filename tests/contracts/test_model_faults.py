"""What only a server can do: to refuse, to be busy, slow or gone, in every format; and what the wires make of it."""

from __future__ import annotations

import asyncio
import random

import pytest

from aimock import KEY, WAYS, base, journal, named, wire
from aurea.domain.errors import Transient
from aurea.domain.messages import ModelRequest
from aurea.ledger.book import Book
from aurea.models.faults import ModelFault
from aurea.models.retry import RetryClient
from aurea.models.waiting import Waiting
from aurea.testing.clock import SimulatedClock
from aurea.testing.drafts import created
from aurea.testing.models import asking
from aurea.testing.store import MemoryEventStore

pytestmark = pytest.mark.parametrize("format_", WAYS)


def ask(format_: str, text: str, **more: float) -> ModelRequest:
    return asking(text, **named(format_), **more)  # type: ignore[arg-type]


class Retried:
    """A wire with tries, and what it waited for."""

    def __init__(self, format_: str, address: str) -> None:
        self.clock = SimulatedClock()
        self.book = Book(MemoryEventStore(), self.clock)
        self.book.append("run-1", [created()])
        self.wire = wire(format_, address)
        self.client = RetryClient(
            self.wire, ledger=self.book, run="run-1", clock=self.clock, waiting=Waiting(), dice=random.Random(1)
        )

    async def close(self) -> None:
        await self.wire.close()
        self.book.close()


async def test_the_wait_that_a_server_asks_for_is_obeyed(aimock: str, format_: str) -> None:
    retried = Retried(format_, aimock)

    assert (await retried.client.complete(ask(format_, f"fault rate {format_}"))).text == "now"
    assert len(retried.clock.slept) == 1
    assert 7.0 <= retried.clock.slept[0] <= 7.7
    await retried.close()


async def test_a_busy_server_is_tried_three_times_and_sees_each_of_them(aimock: str, format_: str) -> None:
    retried = Retried(format_, aimock)

    assert (await retried.client.complete(ask(format_, f"fault busy {format_}", step=5))).text == "now"
    seen = journal(aimock, f"fault busy {format_}")
    assert [entry["headers"]["x-aurea-try"] for entry in seen] == ["1", "2", "3"]
    assert {entry["headers"]["x-aurea-step"] for entry in seen} == {"5"}
    assert {entry["headers"].get("x-stainless-retry-count", "0") for entry in seen} == {"0"}
    await retried.close()


@pytest.mark.parametrize(
    ("text", "kind", "retryable"),
    [
        ("fault context", "context_too_long", False),
        ("fault key", "authentication", False),
        ("fault quota", "quota", False),
        ("fault model", "not_found", False),
        ("fault garbage", "malformed", True),
        ("fault hangup", "connection", True),
        ("fault slow", "timeout", True),
    ],
)
async def test_faults(aimock: str, format_: str, text: str, kind: str, retryable: bool) -> None:
    if kind == "quota" and base(format_) in ("anthropic", "google", "openrouter"):
        pytest.skip("aimock tells these a limit of the rate; what they really say is in test_models_errors.py")
    client = wire(format_, aimock)
    with pytest.raises(ModelFault) as caught:
        await client.complete(ask(format_, text, timeout_s=0.4))

    assert caught.value.kind == kind
    assert isinstance(caught.value, Transient) == retryable
    assert KEY not in str(caught.value)
    await client.close()


async def test_a_call_that_is_cancelled_in_the_middle_harms_no_other(aimock: str, format_: str) -> None:
    client = wire(format_, aimock)
    task = asyncio.create_task(client.complete(ask(format_, "fault slow")))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await client.complete(ask(format_, "case text"))).text == "Four notes."
    await client.close()
