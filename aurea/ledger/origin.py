"""In which ledger a run is recorded, as its folder says: so that another ledger is not taken for one that was cut."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from aurea.ledger.files import write_atomic

FILE = "ledger.json"


@dataclass(frozen=True)
class Origin:
    """`where` a ledger is, without user and password, and the hash of its `first` row, which no other ledger has."""

    where: str
    first: str

    def is_of(self, other: Origin) -> bool:
        """Whether both are one ledger, moved perhaps, or emptied where it stands."""
        return self.where == other.where or (self.first != "" and self.first == other.first)


def write_origin(folder: Path, origin: Origin) -> None:
    """Let a run folder say where its run is recorded."""
    write_atomic(folder / FILE, json.dumps(asdict(origin)) + "\n")


def read_origin(folder: Path) -> Origin | None:
    """What the folder says; None where it says nothing, as those of older versions do."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Origin(str(found["where"]), str(found["first"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
