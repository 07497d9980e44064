"""How tests wait for what other processes do: they look again and again, and give up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(look: Callable[[], Any], seconds: float = 100) -> Any:
    """What `look` finds, as soon as it finds something; `AssertionError` where it has not in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found
