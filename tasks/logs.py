"""What matters of a run as lines in the log of its flow run, so that Prefect's page of it tells the story."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from aurea.delivery.context import Run
from aurea.domain.events import Event
from aurea.reporting.lines import event_text, matters, place
from aurea.reporting.text import cut
from tasks.flow_run import own_flow_run

# Below Prefect's own logger of flow runs, whose handler sends what comes here to the server in batches. With a level of
# its own: Prefect's chatter can stay off while these lines are kept.
LOGGER = "prefect.flow_runs.aurea"
SHOWN_AS = "aurea"
PAUSES = ("Finished in state Paused(", "Finished in state Suspended(")
WIDE = 160


def of_this_flow_run(flow: str = "deliver") -> dict[str, str]:
    """What a line needs beside it to stand in the log of the flow run that is going on here."""
    flow_run = own_flow_run()
    return {"flow_run_id": str(flow_run.id), "flow_run_name": flow_run.name, "flow_name": flow}


def log_of_flow_runs() -> logging.Logger:
    """The logger whose lines stand on Prefect's pages, under a name that fits the narrow column there."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    if not logger.filters:
        logger.addFilter(_rename)
        logging.getLogger(LOGGER.rpartition(".")[0]).addFilter(_no_error)
    return logger


def _rename(record: logging.LogRecord) -> bool:
    record.name = SHOWN_AS
    return True


def _no_error(record: logging.LogRecord) -> bool:
    """Not what Prefect calls an error: that a run waits for a person, which the line before says."""
    return not record.getMessage().startswith(PAUSES)


class _PassedOn(logging.Handler):
    """Takes the warnings of the core, such as that the ledger is away, into the log of a flow run."""

    def __init__(self, about: Mapping[str, str]) -> None:
        super().__init__(logging.WARNING)
        self._about = about

    def emit(self, record: logging.LogRecord) -> None:
        log_of_flow_runs().log(record.levelno, "%-12s  %s", "run", record.getMessage(), extra=self._about)


@contextmanager
def told(run: Run) -> Iterator[None]:
    """Write one line per event that matters, with its item, and the core's warnings, for as long as the block lasts."""
    logger, about = log_of_flow_runs(), of_this_flow_run()
    logger.info("%-12s  %s: %s", "run", run.id, cut(run.spec.objective, WIDE), extra=about)

    def tell(events: Sequence[Event]) -> None:
        for event in events:
            if event.run == run.id and matters(event):
                level = logging.getLevelNamesMapping()[type(event.fact).level.upper()]
                logger.log(level, "%-12s  %s", place(event), event_text(event), extra=about)

    core, passed_on = logging.getLogger("aurea"), _PassedOn(about)
    core.addHandler(passed_on)
    leave = run.ledger.subscribe(tell)
    try:
        yield
    finally:
        leave()
        core.removeHandler(passed_on)
