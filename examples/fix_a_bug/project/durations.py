"""Durations as people write them: `90s`, `15m`, `1h30m`."""

import re

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+)([smhd])")


def parse(text):
    """Seconds that `text` stands for; `ValueError` where it is no duration."""
    match = _PART.match(text.strip().lower())
    if match is None:
        raise ValueError(f"no duration: {text!r}")
    number, unit = match.groups()
    return int(number) * SECONDS[unit]


def spell(seconds):
    """`seconds` as `parse` reads them, largest unit first."""
    parts = []
    for unit in "dhms":
        number, seconds = divmod(seconds, SECONDS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
