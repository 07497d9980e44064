"""What secrets look like: in what an agent wrote, in what it would send out, and in the names of variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# What a committed secret looks like; each pattern names a vendor's documented shape.
SECRETS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    "an API key": re.compile(r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}\b"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
}
SHORT = 6  # a value of fewer characters stands in many a text by chance
_NAMES = re.compile(r"(?:key|token|secret|password|passwd|credential)s?(?:_|$)", re.IGNORECASE)
_RANDOM = re.compile(r"(?=[A-Za-z0-9+=]*[A-Za-z])(?=[A-Za-z0-9+=]*[0-9])[A-Za-z0-9+=]{20,}")


def secret_values(environ: Mapping[str, str], names: Iterable[str]) -> frozenset[str]:
    """The values that nobody outside should see: of the variables in `names`, and of all whose name says so."""
    told = {environ[name] for name in names if name in environ}
    hidden = {value for name, value in environ.items() if _NAMES.search(name)}
    return frozenset(value for value in told | hidden if len(_squeezed(value)) >= SHORT)


def secret_in(text: str, values: Iterable[str]) -> str:
    """What of a text that is to leave this machine looks secret, in words that do not repeat it; empty: nothing does."""
    squeezed = _squeezed(text)
    if any(_squeezed(value) in squeezed for value in values):
        return "the value of a variable"
    for what, pattern in SECRETS.items():
        if pattern.search(text):
            return f"what looks like {what}"
    return "what looks like a key" if _RANDOM.search(text) else ""


def _squeezed(text: str) -> str:
    return "".join(text.split()).lower()
