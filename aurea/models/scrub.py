"""What differs between two runs of the same thing, taken out of a text: hashes, times, places, numbers of the machine.

Only texts that programs made are scrubbed before they are compared, never what a user wrote: there, every word counts.
"""

from __future__ import annotations

import re

_RUN = r"\d{8}-\d{6}-\d{3}[a-z]{2}"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_UNIT = r"(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?|h|hours?)"

# In this order: what comes later would find parts of what comes before.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (rf"(?:/[^/\n]{{1,200}}){{0,20}}?/{_RUN}(?![\w-])", "<run>"),  # a place of a run, spaces and all
        (rf"\b{_RUN}\b", "<run>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
        (rf"\b{_DAY},? +{_MONTH} +\d{{1,2}} +\d{{2}}:\d{{2}}:\d{{2}}(?: +\d{{4}})?(?: +[+-]\d{{4}})?", "<time>"),
        (rf"\b{_MONTH} +\d{{1,2}} +(?:\d{{2}}:\d{{2}}|\d{{4}})\b", "<time>"),
        (
            r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?(?:Z|[+-]\d{2}:?\d{2}))?)?(?!\d)",
            "<time>",
        ),
        (r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?\b", "<time>"),
        (r"(?<![\w.])(?:/private)?/(?:tmp|var/tmp|var/folders)/[^\s'\"`:,;)\]>]+", "<temp>"),
        (r"(?<![\w.:/>])/(?:[\w.@+~-]+/)+", "<folder>/"),
        (r"(?:\b(?:127\.0\.0\.1|0\.0\.0\.0|localhost)|\[::1?\]):\d{1,5}\b", "<host>:<port>"),
        (r"(?i)\b(port|pid|process)([ =:#]{1,3})\d+\b", r"\1\2<number>"),
        (r"\b0x[0-9a-fA-F]{4,16}\b", "<address>"),
        (r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,64}\b", "<sha>"),
        (rf"(?<![\w.])\d{{1,15}}(?:\.\d{{1,15}})? ?{_UNIT}\b", "<duration>"),
        (r"(?<![\w.])\d{1,15}(?:\.\d{1,15})? ?(?:B|bytes?|[kKMGT]i?B)\b", "<size>"),
    )
)


def scrubbed(text: str) -> str:
    """`text` with what is different each time replaced by what it is."""
    for pattern, name in _RULES:
        text = pattern.sub(name, text)
    return text
