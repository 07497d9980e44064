"""What can go wrong with a model call, in one taxonomy: whether to try again, whether it cost money, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aurea.domain.errors import AureaError, Blocked, Permanent, Transient

Kind = Literal[
    "rate_limit",
    "overloaded",
    "server",
    "connection",
    "timeout",
    "malformed",
    "circuit_open",
    "authentication",
    "not_found",
    "quota",
    "context_too_long",
    "refused",
    "rejected",
]


class ModelFault(AureaError):
    """A model call without an answer. `kind` says why; `maybe_billed`: the provider may have worked all the same.

    `sent`: a request went out. `out_of_time`: there was no own time left for another try.
    """

    kind: Kind
    maybe_billed: bool = False
    sent: bool = True
    out_of_time: bool = False


class TransientFault(ModelFault, Transient):
    """A model call that may well succeed when it is made again."""


class BlockedFault(ModelFault, Blocked):
    """A model call that fails until a person mends something outside: a key, a quota, a model name."""


class PermanentFault(ModelFault, Permanent):
    """A model call that would fail the same way again, for what it asks."""


@dataclass(frozen=True)
class Server:
    """Whom a call went to, for messages. `key_variable` is where its key comes from."""

    provider: str
    model: str
    address: str
    key_variable: str = ""

    def __str__(self) -> str:
        return f"{self.provider} model {self.model!r} at {self.address}"


# What the status of an answer says where nothing else in it says more.
STATUSES: dict[int, Kind] = {
    401: "authentication",
    402: "quota",
    403: "authentication",
    404: "not_found",
    408: "timeout",
    409: "overloaded",
    413: "context_too_long",
    425: "overloaded",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}

TRANSIENT: dict[Kind, str] = {
    "rate_limit": "limits the rate of requests",
    "overloaded": "is overloaded",
    "server": "failed on its side",
    "connection": "could not be reached",
    "timeout": "did not answer in time",
    "malformed": "sent an answer that is none",
    "circuit_open": "is left alone for a while, since it failed again and again",
}
BLOCKED: dict[Kind, tuple[str, str]] = {
    "authentication": ("does not accept the key", "check {key}, and that its owner may use this model"),
    "not_found": ("does not know the model", "name a model that it has (`model:`, `--model`), or mend its address"),
    "quota": ("says that the account has no quota or credit left", "top it up, or choose another provider or model"),
}
PERMANENT: dict[Kind, tuple[str, str]] = {
    "context_too_long": ("cannot take a conversation this long", "use a model with a larger context"),
    "refused": ("refused the request by its content rules", "change the wording, or choose another model"),
    "rejected": ("rejected the request", "check the model's options; the server says what it did not like"),
}
# The request was on its way and no status came back, so the provider may have done the work and charged for it.
DOUBTFUL: frozenset[Kind] = frozenset({"timeout", "malformed"})


def fault(
    kind: Kind,
    server: Server,
    detail: str = "",
    *,
    retry_after: float | None = None,
    maybe_billed: bool | None = None,
    remedy: str = "",
) -> TransientFault | BlockedFault | PermanentFault:
    """The error for a call to `server` that failed as `kind` says; `detail` is what the other side said.

    `remedy` goes before the usual one of its kind.
    """
    said = f": {detail.strip()}" if detail.strip() else ""
    error: TransientFault | BlockedFault | PermanentFault
    if kind in TRANSIENT:
        usual = "check that it runs and that its address is right" if kind == "connection" else ""
        error = TransientFault(f"{server} {TRANSIENT[kind]}{said}", remedy=remedy or usual, retry_after=retry_after)
    elif kind in BLOCKED:
        what, usual = BLOCKED[kind]
        usual = usual.format(key=server.key_variable or "its key")
        error = BlockedFault(f"{server} {what}{said}", remedy=remedy or usual)
    else:
        what, usual = PERMANENT[kind]
        error = PermanentFault(f"{server} {what}{said}", remedy=remedy or usual)
    error.kind = kind
    error.sent = kind != "circuit_open"
    error.maybe_billed = kind in DOUBTFUL if maybe_billed is None else maybe_billed
    return error
