"""Who gives a command."""

from __future__ import annotations

import getpass


def user_name() -> str:
    """The name of the user as the ledger records it; `unknown` where the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
