"""Composes the model client of a run: recording, the layers, and the provider that each request names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from aurea.domain.caps import Cap, limit_of
from aurea.domain.errors import UsageError
from aurea.domain.messages import ModelReply, ModelRequest
from aurea.domain.spec import Spec
from aurea.models.asked import PartsOf
from aurea.models.budget import BudgetClient
from aurea.models.cassette import Cassette, read_cassette
from aurea.models.layers import Around, Desk, layered
from aurea.models.prices import Prices
from aurea.models.providers import endpoint
from aurea.models.record import RecordingClient
from aurea.models.replay import ReplayClient
from aurea.models.switch import ProviderSwitch
from aurea.models.tape import Tape, find_secrets
from aurea.models.waiting import Notices, Waiting
from aurea.models.wires import Wire, open_wire
from aurea.ports import Clock, Ledger, ModelClient


class RunModels:
    """The model client of one run, with everything it holds."""

    def __init__(
        self, client: ModelClient, budget: BudgetClient, switch: ProviderSwitch, recording: RecordingClient | None
    ) -> None:
        self._client = recording or client
        self._budget = budget
        self._switch = switch
        self._recording = recording

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer, journalled, paid for and tried again where that helps."""
        return await self._client.complete(request)

    async def close(self) -> None:
        """Settle what is open and let go of all connections."""
        try:
            await self._budget.close()
            await self._switch.close()
        finally:
            if self._recording is not None:
                self._recording.close()


def build_client(
    *,
    run: str,
    ledger: Ledger,
    clock: Clock,
    spec: Spec,
    environ: Mapping[str, str],
    limit: Callable[[Cap], float | None] | None = None,
    record: Path | None = None,
    make: Callable[[str], Wire] | None = None,
    around: Around | None = None,
    parts: PartsOf = lambda conversation: None,
) -> RunModels:
    """The model client of `run`.

    `environ` holds the vendors' variables. `limit` is asked at every call for the limit of a cap that is in force
    (default: the spec's). `record` is a cassette to write. `make` replaces how a provider's own client is made, `around`
    is what this run shares with others (default: nothing). `parts` knows the parts of a conversation's task, for
    recordings and their replays. `UsageError` where the cassette to play or to write cannot be used.
    """
    prices = Prices(lambda provider: endpoint(provider, environ).local, spec.prices)
    waiting = Waiting(Notices(ledger, run, clock))
    switch = ProviderSwitch(
        make or wires(spec, environ, lambda cassette: ReplayClient(cassette, clock, run, ledger, parts)),
        lambda provider: endpoint(provider, environ).shown or "no address",
        run=run,
        ledger=ledger,
        clock=clock,
        waiting=waiting,
    )

    def address(provider: str) -> str | None:
        return None if provider == "replay" else endpoint(provider, environ).shown

    desk = Desk(run, ledger, clock, waiting, prices, spec, address)
    client, budget = layered(
        switch, desk, around or Around(), limit=limit or partial(limit_of, spec), ready=switch.ready
    )
    recording = None
    if record is not None:
        tape = Tape(record, run, find_secrets(environ, spec.pass_env))
        recording = RecordingClient(client, tape, run, ledger, parts)
    return RunModels(client, budget, switch, recording)


def wires(spec: Spec, environ: Mapping[str, str], play: Callable[[Cassette], Wire]) -> Callable[[str], Wire]:
    """How the clients of the providers are made. The cassette, where the spec names one, is read at once."""
    cassette = read_cassette(Path(spec.cassette)) if spec.cassette else None

    def make(provider: str) -> Wire:
        if provider == "replay":
            if cassette is None:
                raise UsageError("provider 'replay' needs a cassette", remedy="name one: `cassette: FILE`")
            return play(cassette)
        return open_wire(provider, environ, headers=spec.model_headers, stream=spec.stream)

    return make
