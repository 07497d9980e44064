"""The digest that names what a gate judged: the trailer `Aurea-Gate`."""

from __future__ import annotations

from collections.abc import Sequence

from aurea.domain.spec import Check
from aurea.ledger.chain import canonical, digest


def gate_digest(tree: str, checks: Sequence[Check]) -> str:
    """The digest of the canonical JSON of tree, check definitions and exit codes.

    Only a tree whose checks all ended with 0 lands, so the digest is known before they ran: the commit that is gated is
    the commit that lands.
    """
    document = {
        "tree": tree,
        "checks": [check.model_dump(mode="json") for check in checks],
        "exit_codes": {check.name: 0 for check in checks},
    }
    return digest(canonical(document))
