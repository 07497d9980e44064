"""What matters of a run as lines in the log of its flow run, so that Prefect's page of it tells the story."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aurea.delivery.context import Run
from aurea.domain.events import Event
from aurea.reporting.lines import event_text, matters, place
from aurea.reporting.text import cut
from tasks.flow_run import own_flow_run

# Below Prefect's own logger of flow runs, whose handler sends what comes here to the server in batches. With a level of
# its own: Prefect's chatter can stay off while these lines are kept.
LOGGER = "prefect.flow_runs.aurea"
WIDE = 160


@contextmanager
def told(run: Run) -> Iterator[None]:
    """Write one line per event that matters, with its item, for as long as the block lasts."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    flow_run = own_flow_run()
    about = {"flow_run_id": str(flow_run.id), "flow_run_name": flow_run.name, "flow_name": "deliver"}

    logger.info("%-12s  %s: %s", "run", run.id, cut(run.spec.objective, WIDE), extra=about)

    def tell(events: Sequence[Event]) -> None:
        for event in events:
            if event.run == run.id and matters(event):
                level = logging.getLevelNamesMapping()[type(event.fact).level.upper()]
                logger.log(level, "%-12s  %s", place(event), event_text(event), extra=about)

    leave = run.ledger.subscribe(tell)
    try:
        yield
    finally:
        leave()
